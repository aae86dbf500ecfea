// Linear propagation on the CPU: means of a tensor from the tensors decoded before it.
#pragma once

#include <cstdint>
#include <map>
#include <skv/cpu/codec.hpp>
#include <skv/predict/predictor.hpp>
#include <span>
#include <vector>

namespace skv::cpu {

/// Innovations of some tokens of one tensor, [tokens][heads * head_dim].
using innovations = std::vector<std::int8_t>;

/// The steps of a profile's linear propagation. Immutable: several threads may use one at once.
///
/// Tensors go by their place in the profile's list, `index`; all tokens are at hand with all heads.
/// `positions` has an entry per token, the one that its K was turned by: any order, any u32.
/// Numbers are patterns in the profile's target format, bases and means in its mean format; bases
/// are only read if the model has them. Every instruction set gives the same integers.
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

  /// The means of a tensor: in `room`, [tokens][heads * head_dim], or the bases themselves if it is
  /// not predicted. `from` has the innovations of each source for the same tokens; an empty one
  /// stands for zeros (a layer that does not have these tokens).
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
  struct channels;
  channels channels_of(std::size_t index) const;

  profile_ptr profile_;
  isa isa_;
  std::vector<turning> turning_;
};

/// Consecutive tokens of a tensor, by position.
struct position_range {
  std::uint64_t first = 0;
  std::uint32_t count = 0;

  std::vector<std::uint32_t> list() const;
  friend bool operator==(position_range, position_range) = default;
};

/// The state of linear propagation through a run of positions, tensor by tensor: innovations that are
/// still to be used. Tensors are named by their place in the profile; one that lacks some tokens, or
/// all, counts as zeros there. Borrows `steps`.
class linear_chain {
 public:
  explicit linear_chain(const linear_steps& steps) : steps_(&steps) {}

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
  std::map<std::size_t, entry> seen_;
};

/// Linear propagation as a predictor (predict/predictor.hpp) over a base: `none` or a `reference`.
/// Its state are the innovations that are still to be used, of one tensor to three.
template <predictor Base>
class linear {
 public:
  static constexpr mean_source kSource = mean_source::given;

  /// `positions` of the tokens of all tensors that will be asked for. Tensors come in the profile's
  /// order; those left out count as zeros.
  linear(profile_ptr p, Base base, std::vector<std::uint32_t> positions)
      : steps_(std::move(p)), base_(std::move(base)), positions_(std::move(positions)) {}

  /// Null for a tensor that the profile does not know, or with more tokens than positions.
  row_view<const std::byte> predict(const tensor_shape& t) {
    bases_ = base_.predict(t);
    const auto index = steps_.find(t.id, t.heads, t.head_dim);
    if (!index || t.tokens > positions_.size()) return {};
    std::vector<const innovations*> from;
    for (const std::uint32_t s : steps_.model().tensors[*index].sources) {
      const auto at = seen_.find(s);
      from.push_back(at == seen_.end() ? &none_ : &at->second);
    }
    return steps_.predict(*index, std::span(positions_).first(t.tokens), from, bases_, means_);
  }

  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    const auto index = steps_.find(t.id, t.heads, t.head_dim);
    if (!index || t.tokens > positions_.size()) return;
    base_.update(t, exact);
    std::erase_if(seen_, [&](const auto& s) { return steps_.last_use(s.first) <= *index; });
    if (steps_.last_use(*index) > *index)
      seen_[*index] =
          steps_.innovate(*index, std::span(positions_).first(t.tokens), exact, bases_);
  }

 private:
  linear_steps steps_;
  Base base_;
  std::vector<std::uint32_t> positions_;
  std::map<std::size_t, innovations> seen_;
  innovations none_;
  row_view<const std::byte> bases_;
  std::vector<std::byte> means_;
};

}  // namespace skv::cpu
