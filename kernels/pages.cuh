// Rows of numbers in pages.
#pragma once

#include <skv/lanes/warp.cuh>
#include <skv/tile/code_tile.hpp>

#include "head_layout.hpp"

namespace skv::cuda {

/// The numbers of one group of steps in a page: those of the lane, as its `numbers` are where its own begin.
template <class Element>
struct page_group {
  using element = std::remove_const_t<Element>;

  Element* numbers;
  std::uint32_t start;  ///< the group's first number in its row

  template <class Lanes>
  SKV_DEVICE std::uint32_t load(std::uint32_t /*token*/, std::uint32_t first,
                                std::uint32_t /*part*/, std::uint32_t count) const {
    return device::lane() < count ? std::uint32_t{numbers[first - start]} : 0;
  }
  template <class Lanes>
  SKV_DEVICE void store(std::uint32_t /*token*/, std::uint32_t first, std::uint32_t /*part*/,
                        std::uint32_t count, std::uint32_t a) const {
    if (device::lane() < count) numbers[first - start] = static_cast<element>(a);
  }
};

/// Rows of a tile in a page. Made by the lane that uses it: `data` is where the lane's own numbers begin,
/// so that the address of one is a single multiply-add.
template <class Element, head_layout kHeads, bool kAreMeans>
struct page_rows {
  /// Of whole groups; with places to compute for each, a step needs more registers.
  static constexpr std::int32_t kStepsAtOnce = kHeads == head_layout::apart ? 2 : kGroupSteps;
  using element = std::remove_const_t<Element>;

  std::byte* data;
  std::int64_t token_stride_bytes;
  /// apart: from the end of a head to the next one; one_group: from a group to the next one, for each number
  std::int64_t head_gap_bytes;
  std::uint32_t head_inverse;  ///< of tensor_plan

  /// A lane's place in a group is computed once for all steps.
  SKV_DEVICE auto in_group(std::uint32_t token, std::uint32_t first) const
      requires(kHeads == head_layout::one_group) {
    return page_group<Element>{group(token, first), first};
  }
  /// The row's place is. That of means is not kept: decoding would need more registers than there are.
  SKV_DEVICE page_rows in_group(std::uint32_t token, std::uint32_t /*first*/) const
      requires(kHeads == head_layout::apart) {
    std::byte* const row = data + token * token_stride_bytes;
    return {kAreMeans ? row : device::keep(row), 0, head_gap_bytes, head_inverse};
  }

  template <class Lanes>
  SKV_DEVICE std::uint32_t load(std::uint32_t token, std::uint32_t first, std::uint32_t /*part*/,
                                std::uint32_t count) const {
    return device::lane() < count ? std::uint32_t{*number(token, first)} : 0;
  }
  template <class Lanes>
  SKV_DEVICE void store(std::uint32_t token, std::uint32_t first, std::uint32_t /*part*/,
                        std::uint32_t count, std::uint32_t a) const {
    if (device::lane() < count) *number(token, first) = static_cast<element>(a);
  }

 private:
  SKV_DEVICE Element* group(std::uint32_t token, std::uint32_t start) const {
    // In 32 bits, which take fewer instructions.
    const std::uint32_t in_row = start * static_cast<std::uint32_t>(head_gap_bytes);
    return reinterpret_cast<Element*>(data + token * token_stride_bytes + in_row);
  }
  SKV_DEVICE element* number(std::uint32_t token, std::uint32_t first) const {
    if constexpr (kHeads == head_layout::one_group) {
      const std::uint32_t in_group = first % kGroupNumbers;
      return const_cast<element*>(group(token, first - in_group)) + in_group;
    } else {
      auto* const row = reinterpret_cast<element*>(data + token * token_stride_bytes);
      // A signed index: that of an unrolled step is then the first one's and an immediate.
      element* const in_row = row + static_cast<std::int32_t>(first);
      if constexpr (kHeads == head_layout::one_row) return in_row;
      const std::uint32_t head = head_of(first + device::lane(), head_inverse);
      return reinterpret_cast<element*>(reinterpret_cast<std::byte*>(in_row) +
                                        head * head_gap_bytes);
    }
  }
};

/// Channels of a tile's row, made on the host, from the lane's own on.
struct channel_rows {
  const channel<std::uint32_t>* channels;

  template <class Lanes, class Coding, std::uint32_t /*kTableShift*/>
  SKV_DEVICE channel<std::uint32_t> load(std::uint32_t first, std::uint32_t /*part*/,
                                         std::uint32_t count) const {
    if (device::lane() >= count) return {1, 0};
    struct alignas(8) words {
      std::uint32_t floor, top;
    };
    const words w = *reinterpret_cast<const words*>(channels + static_cast<std::int32_t>(first));
    return {w.floor, w.top};
  }
};

/// The same place, of which the compiler knows that it is the whole warp's: out of a shuffle. No step
/// then prepares for lanes that part ways.
SKV_DEVICE tile_place of_warp(tile_place p) {
  p.shape = {device::shuffle(p.shape.tokens, 0), device::shuffle(p.shape.width, 0)};
  return p;
}

/// `keep`: the compiler keeps the address rather than its summands, which need more registers; where
/// there are enough, it knows better.
template <class Element, head_layout kHeads, bool kAreMeans = false>
SKV_DEVICE auto rows_of(const block_plan& plan, const tile_place& p, const paged_cache& cache,
                        std::uint32_t layer, std::uint32_t item, bool keep = true) {
  constexpr std::int64_t kBytes = sizeof(Element);
  const tensor_place& t = cache.tensors[p.tensor];
  const tensor_plan& of = plan.tensors[p.tensor];
  std::byte* data = p.in(cache, layer, item) + device::lane() * sizeof(Element);
  data = keep ? device::keep(data) : device::global(data);
  std::int64_t gap = t.head_stride_bytes - of.head_dim * kBytes;
  if constexpr (kHeads == head_layout::one_group)  // those of another size are a row
    gap = of.head_dim == kGroupNumbers ? t.head_stride_bytes / std::int64_t{kGroupNumbers} : kBytes;
  return page_rows<Element, kHeads, kAreMeans>{data, t.token_stride_bytes, gap, of.head_inverse};
}

/// `keep`: as above.
SKV_DEVICE channel_rows channels_of(const block_plan& plan, const channel<std::uint32_t>* channels,
                                    const tile_place& p, std::uint32_t layer, bool keep = true) {
  const std::uint32_t start = plan.channel_starts_dev[layer * kMaxTensors + p.tensor];
  const channel<std::uint32_t>* const mine =
      channels + start + p.first_head * plan.tensors[p.tensor].head_dim + device::lane();
  return {keep ? device::keep(mine) : mine};
}

/// Copies `bytes` bytes to a multiple of four, from a multiple of two, and sets what is left of the
/// last four to 0: one warp.
SKV_DEVICE void copy_by_warp(std::byte* to, const std::byte* from, std::uint32_t bytes) {
  from = device::global(from);
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(from);
  auto* const words = reinterpret_cast<std::uint32_t*>(device::global(to));
  const std::uint32_t whole = bytes / 4;
  for (std::uint32_t i = device::lane(); i < whole; i += kLanes)
    words[i] = halves[2 * i] | std::uint32_t{halves[2 * i + 1]} << 16;
  if (device::lane() == 0 && whole * 4 != bytes) {
    std::uint32_t last = 0;
    for (std::uint32_t i = whole * 4; i < bytes; ++i)
      last |= static_cast<std::uint32_t>(from[i]) << (i % 4 * 8);
    words[whole] = last;
  }
}

}  // namespace skv::cuda
