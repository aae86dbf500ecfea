// Linear propagation on the CPU: means of a tensor from the tensors decoded before it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <skv/cpu/codec.hpp>
#include <skv/cpu/embedding_table.hpp>
#include <skv/predict/predictor.hpp>
#include <span>
#include <vector>

namespace skv::cpu {

/// Innovations of some tokens of one tensor, [tokens][heads * head_dim].
using innovations = std::vector<std::int8_t>;

/// The steps of a profile's linear propagation. Immutable: several threads may use one at once.
///
/// Tensors go by their place in the profile's list, `index`, and outside rows by theirs in the
/// model's, `outside`; all tokens are at hand with all heads. `positions` has an entry per token,
/// the one that its K was turned by: any order, any u32. Numbers are patterns in the profile's
/// target format, bases and means in its mean format; bases are only read if the model has them.
/// Every instruction set gives the same integers.
class linear_steps {
 public:
  /// `p` must have a linear model. An `isa` that is not available falls back to one that is.
  explicit linear_steps(profile_ptr p, isa set = best_isa());

  const linear_model& model() const { return *profile_->content().linear; }
  bool has_bases() const { return model().base == mean_source::given; }

  /// The place of a tensor. Fails with wrong_profile, as profile::codes does.
  result<std::size_t> find(tensor_id id, std::uint32_t heads, std::uint32_t head_dim) const;

  /// What a tensor, seen exactly, tells those that are predicted from it.
  innovations innovate(std::size_t index, std::span<const std::uint32_t> positions,
                       row_view<const std::byte> numbers, row_view<const std::byte> bases) const;
  /// What a tensor of a draft's cache tells.
  innovations innovate_draft(std::size_t outside, std::span<const std::uint32_t> positions,
                             row_view<const std::byte> numbers) const;
  /// What the embeddings of token ids tell; nothing (zeros) if there is none of that id.
  innovations innovate_embedding(std::size_t outside, std::span<const std::uint32_t> ids,
                                 const embedding_table& table) const;

  /// The means of a tensor: in `room`, [tokens][heads * head_dim], or the bases themselves if it is
  /// not predicted. `from` has the innovations of each source for the same tokens, wherever they
  /// come from; an empty one stands for zeros (a layer that does not have these tokens).
  row_view<const std::byte> predict(std::size_t index, std::span<const std::uint32_t> positions,
                                    std::span<const innovations* const> from,
                                    row_view<const std::byte> bases,
                                    std::vector<std::byte>& room) const;

  /// The last tensor that is predicted from this one; its own index if none is.
  std::size_t last_use(std::size_t index) const { return turning_[index].last_use; }

 private:
  // How the channels of a tensor turn, expanded; empty if they do not.
  struct turning {
    std::vector<std::uint32_t> partners;                           // [width]
    std::vector<std::uint32_t> frequencies_high, frequencies_low;  // [head_dim]
    std::size_t last_use = 0;
  };
  struct source_part {
    std::size_t width, part, first_channel;
  };
  struct channels;
  source_part part_of_source(std::uint32_t source, std::uint32_t shard) const;
  turning turning_of(std::uint8_t number, std::uint32_t heads, std::uint32_t head_dim) const;
  channels channels_of(std::size_t index) const;

  profile_ptr profile_;
  isa isa_;
  std::vector<turning> turning_, outside_turning_;
};

/// Consecutive tokens of a tensor, by position.
struct position_range {
  std::uint64_t first = 0;
  std::uint32_t count = 0;

  std::vector<std::uint32_t> list() const;
  friend bool operator==(position_range, position_range) = default;
};

class outside_rows;

/// The state of linear propagation through a run of positions, tensor by tensor: innovations that
/// are still to be used. Tensors are named by their place in the profile; one that lacks some
/// tokens, or all, counts as zeros there. Borrows `steps`, and `outside`, which must be there, for
/// consecutive positions, if the model has outside rows.
class linear_chain {
 public:
  explicit linear_chain(const linear_steps& steps, const outside_rows* outside = nullptr)
      : steps_(&steps), outside_(outside) {}

  /// Takes what an exact tensor tells, and drops what nothing after it is predicted from.
  void add(std::size_t index, position_range range, row_view<const std::byte> numbers,
           row_view<const std::byte> bases);
  /// Takes innovations, and drops nothing.
  void keep(std::size_t index, position_range range, innovations told) {
    seen_[index] = {range, std::move(told)};
  }
  /// As linear_steps::predict.
  row_view<const std::byte> means(std::size_t index, position_range range,
                                  row_view<const std::byte> bases,
                                  std::vector<std::byte>& room) const;

 private:
  struct entry {
    position_range range;
    innovations told;
  };
  const linear_steps* steps_;
  const outside_rows* outside_;
  std::map<std::size_t, entry> seen_;
};

}  // namespace skv::cpu
