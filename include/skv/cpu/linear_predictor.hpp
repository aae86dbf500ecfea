// Linear propagation as a predictor.
#pragma once

#include <map>
#include <optional>
#include <skv/cpu/outside.hpp>
#include <vector>

namespace skv::cpu {

/// Linear propagation as a predictor (predict/predictor.hpp) over a base: `none` or a `reference`.
/// Its state are the innovations that are still to be used, of one tensor to three.
template <predictor Base>
class linear {
 public:
  static constexpr mean_source kSource = mean_source::given;

  /// `positions` of the tokens of all tensors that will be asked for: of those of a tensor with
  /// fewer tokens the first ones. Tensors come in the profile's order; those left out, or tokens
  /// that a tensor lacks, count as zeros.
  linear(profile_ptr p, Base base, std::vector<std::uint32_t> positions)
      : steps_(std::move(p)), base_(std::move(base)), positions_(std::move(positions)) {}

  /// The same with outside rows, for the positions that they are for.
  linear(outside_rows outside, Base base)
      : steps_(outside.steps()),
        base_(std::move(base)),
        outside_(std::move(outside)),
        positions_(outside_->positions()) {}

  /// Null for a tensor that the profile does not know, or with more tokens than positions, or if
  /// outside rows are wanted that were not given.
  row_view<const std::byte> predict(const tensor_shape& t) {
    bases_ = base_.predict(t);
    const auto index = steps_.find(t.id, t.heads, t.head_dim);
    const std::size_t tensors = steps_.model().tensors.size();
    if (!index || t.tokens > positions_.size() || (!outside_ && !steps_.model().outside.empty()))
      return {};
    const auto& sources = steps_.model().tensors[*index].sources;
    std::vector<innovations> own(sources.size());
    std::vector<const innovations*> from;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const auto at = seen_.find(sources[i]);
      if (sources[i] >= tensors) {
        own[i] = outside_->at(sources[i] - tensors, 0, t.tokens);
      } else if (at != seen_.end()) {
        if (at->second.tokens >= t.tokens) {
          from.push_back(&at->second.told);
          continue;
        }
        own[i] = at->second.told;
        own[i].resize(own[i].size() / at->second.tokens * t.tokens);
      }
      from.push_back(&own[i]);
    }
    return steps_.predict(*index, std::span(positions_).first(t.tokens), from, bases_, means_);
  }

  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    const auto index = steps_.find(t.id, t.heads, t.head_dim);
    if (!index || t.tokens == 0 || t.tokens > positions_.size()) return;
    base_.update(t, exact);
    std::erase_if(seen_, [&](const auto& s) { return steps_.last_use(s.first) <= *index; });
    if (steps_.last_use(*index) > *index)
      seen_[*index] = {
          t.tokens, steps_.innovate(*index, std::span(positions_).first(t.tokens), exact, bases_)};
  }

 private:
  struct entry {
    std::uint32_t tokens = 0;
    innovations told;
  };
  linear_steps steps_;
  Base base_;
  std::optional<outside_rows> outside_;
  std::vector<std::uint32_t> positions_;
  std::map<std::size_t, entry> seen_;
  row_view<const std::byte> bases_;
  std::vector<std::byte> means_;
};

}  // namespace skv::cpu
