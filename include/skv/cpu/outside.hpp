// Rows that both ends hold besides a cache, as linear propagation looks at them.
// docs/format.md, section "Outside rows".
#pragma once

#include <cstdint>
#include <optional>
#include <skv/cpu/linear.hpp>
#include <span>
#include <string>
#include <vector>

namespace skv::cpu {

/// A tensor of another model's cache on the same tokens, K as it was turned by the same positions.
/// Its last token is the cache's last; of the first ones some may lack.
struct draft_tensor {
  tensor_id id;
  format_id format{};
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;
  row_view<const std::byte> numbers;
};

/// What outside rows are made of. Borrows everything.
struct outside_inputs {
  const embedding_table* embedding = nullptr;
  std::span<const std::uint32_t> ids;  ///< of all tokens, for the embedding
  std::span<const draft_tensor> draft;
  std::string embedding_name = "the embedding", draft_name = "the draft";  ///< in messages
};

/// The outside rows of a cache. Immutable: several threads may use one at once. Borrows the
/// embedding and the draft's numbers.
class outside_rows {
 public:
  /// For a profile with outside rows, and tokens at `positions`. Fails with wrong_prediction,
  /// saying what is missing or is not what the profile was fitted with: an embedding of that shape,
  /// format and hash, an id for each token, the draft's tensors.
  static result<outside_rows> of(const linear_steps& steps, const outside_inputs& inputs,
                                 position_range positions);
  /// The same for tokens at any positions.
  static result<outside_rows> of(const linear_steps& steps, const outside_inputs& inputs,
                                 std::vector<std::uint32_t> positions);

  const linear_steps& steps() const { return steps_; }
  std::vector<std::uint32_t> positions() const;
  std::uint64_t first_position() const { return listed_.empty() ? range_.first : listed_.front(); }
  bool are_at(position_range positions) const { return listed_.empty() && range_ == positions; }

  /// Innovations of tokens [first, first + count) from one of the model's outside rows.
  innovations at(std::size_t outside, std::size_t first, std::size_t count) const;

  const std::string& draft_name() const { return draft_name_; }
  /// XXH3-64 of the numbers of the draft's tensors that the profile names, one after the other; 0
  /// if it names none. Reads all of them.
  std::uint64_t draft_hash() const;

 private:
  explicit outside_rows(const linear_steps& steps) : steps_(steps) {}

  linear_steps steps_;
  embedding_table embedding_;
  std::vector<std::uint32_t> ids_;
  std::string draft_name_;
  std::vector<draft_tensor> tensors_;  // as the model's list; empty ones for embeddings
  position_range range_;  // of all tokens; where `listed_` is not empty, of its indices
  std::vector<std::uint32_t> listed_;  // positions, unless they are consecutive
};

}  // namespace skv::cpu
