// How the heads of a token that lie in one tile lie in a page: a kernel is compiled for each way.
#pragma once

#include "plan.hpp"

namespace skv::cuda {

enum class head_layout : std::uint8_t {
  one_row,    ///< they follow each other
  one_group,  ///< each is one group of steps, and those of a tile lie within 4 GiB, in their order
  apart,      ///< anything else
};
inline constexpr head_layout kHeadLayouts[] = {head_layout::one_row, head_layout::one_group,
                                               head_layout::apart};

constexpr const char* to_string(head_layout h) {
  constexpr const char* kNames[] = {"one_row", "one_group", "apart"};
  return kNames[static_cast<int>(h)];
}

/// Do the heads of all tensors lie so in a cache? (Of a tile that has one head, they are a row.)
inline bool has_heads(const block_plan& plan, const paged_cache& cache, number_format f,
                      head_layout layout) {
  for (std::uint32_t i = 0; i < plan.tensor_count; ++i) {
    const tensor_plan& t = plan.tensors[i];
    const std::int64_t stride = cache.tensors[i].head_stride_bytes;
    if (t.opaque_bytes != 0 || t.tile_heads == 1 || layout == head_layout::apart ||
        stride == std::int64_t{t.head_dim} * f.bytes())
      continue;
    if (layout == head_layout::one_row || t.head_dim != kGroupNumbers ||
        stride % kGroupNumbers != 0 || stride < 0 || stride > 0xffffffff / t.tile_heads)
      return false;
  }
  return true;
}

/// The layout whose kernel takes fewest instructions. `means`: null where none are read.
inline head_layout head_layout_of(const block_plan& plan, const paged_cache& numbers,
                                  number_format target, const paged_cache* means,
                                  number_format mean) {
  for (const head_layout layout : kHeadLayouts)
    if (has_heads(plan, numbers, target, layout) &&
        (means == nullptr || has_heads(plan, *means, mean, layout)))
      return layout;
  return head_layout::apart;
}

}  // namespace skv::cuda
