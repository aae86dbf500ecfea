// Rows of numbers in pages, and which tile of a block is what.
#pragma once

#include <skv/lanes/warp.cuh>
#include <skv/tile/code_tile.hpp>

#include "plan.hpp"

namespace skv::cuda {

/// Rows of a tile in a page. `kOneRow`: the heads of a token follow each other; otherwise each has a
/// place of its own.
template <class Element, bool kOneRow>
struct page_rows {
  using element = std::remove_const_t<Element>;

  std::byte* data;
  std::int64_t token_stride_bytes;
  std::uint32_t head_dim;
  std::int64_t head_stride_bytes;

  template <class Lanes>
  SKV_DEVICE std::uint32_t load(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                                std::uint32_t count) const {
    if constexpr (kOneRow) return Lanes::template load<element>(row(token, first), part, count);
    return device::lane() < count ? std::uint32_t{*number(token, first)} : 0;
  }
  template <class Lanes>
  SKV_DEVICE void store(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                        std::uint32_t count, std::uint32_t a) const {
    if constexpr (kOneRow)
      Lanes::template store<element>(row(token, first), part, count, a);
    else if (device::lane() < count)
      *number(token, first) = static_cast<element>(a);
  }

 private:
  SKV_DEVICE std::byte* row(std::uint32_t token, std::uint32_t first) const {
    return data + token * token_stride_bytes + first * sizeof(element);
  }
  SKV_DEVICE element* number(std::uint32_t token, std::uint32_t first) const {
    const std::uint32_t i = first + device::lane();
    const std::uint32_t head = i / head_dim;
    return reinterpret_cast<element*>(data + token * token_stride_bytes +
                                      head * head_stride_bytes) +
           (i - head * head_dim);
  }
};

/// Channels of a tile's row, made on the host.
struct channel_rows {
  const channel<std::uint32_t>* channels;

  template <class Lanes, class Coding>
  SKV_DEVICE channel<std::uint32_t> load(std::uint32_t first, std::uint32_t /*part*/,
                                         std::uint32_t count) const {
    if (device::lane() >= count) return {1, 0};
    struct alignas(8) words {
      std::uint32_t floor, context;
    };
    const words w = *reinterpret_cast<const words*>(channels + first + device::lane());
    return {w.floor, w.context};
  }
};

/// One tile of a block.
struct tile_place {
  std::uint32_t tensor;
  std::uint32_t first_token, first_head;
  tile_shape shape;            ///< no tokens: nothing is there
  std::uint32_t opaque_first;  ///< opaque bytes from here on, shape.width of them

  SKV_DEVICE std::byte* in(const paged_cache& cache, std::byte* block) const {
    const tensor_place& t = cache.tensors[tensor];
    return block + t.offset_bytes + opaque_first +
           std::int64_t{first_token} * t.token_stride_bytes +
           std::int64_t{first_head} * t.head_stride_bytes;
  }
};

/// Tile `tile` of a block with `tokens` tokens.
SKV_DEVICE tile_place place_of(const block_plan& plan, std::uint32_t tile, std::uint32_t tokens) {
  tile_place p{};
  while (p.tensor + 1 < plan.tensor_count && tile >= plan.tensors[p.tensor + 1].first_tile)
    ++p.tensor;
  const tensor_plan& t = plan.tensors[p.tensor];
  const std::uint32_t i = tile - t.first_tile;
  if (t.opaque_bytes != 0) {
    p.opaque_first = i * plan.stage_bytes;
    const std::uint32_t left = t.opaque_bytes - p.opaque_first;
    p.shape = {1, left < plan.stage_bytes ? left : plan.stage_bytes};
    return p;
  }
  p.first_token = i / t.head_tiles * t.tile_tokens;
  p.first_head = i % t.head_tiles * t.tile_heads;
  const std::uint32_t tokens_left = tokens > p.first_token ? tokens - p.first_token : 0;
  const std::uint32_t heads_left = t.heads - p.first_head;
  p.shape = {tokens_left < t.tile_tokens ? tokens_left : t.tile_tokens,
             (heads_left < t.tile_heads ? heads_left : t.tile_heads) * t.head_dim};
  return p;
}

template <class Element, bool kOneRow>
SKV_DEVICE page_rows<Element, kOneRow> rows_of(const block_plan& plan, const tile_place& p,
                                               const paged_cache& cache, std::byte* block) {
  const tensor_place& t = cache.tensors[p.tensor];
  return {p.in(cache, block), t.token_stride_bytes, plan.tensors[p.tensor].head_dim,
          t.head_stride_bytes};
}

SKV_DEVICE channel_rows channels_of(const block_plan& plan, const tile_place& p,
                                    std::uint32_t layer) {
  const std::uint32_t start = plan.channel_starts_dev[layer * kMaxTensors + p.tensor];
  return {plan.channels_dev + start + p.first_head * plan.tensors[p.tensor].head_dim};
}

/// Copies `bytes` bytes to a multiple of four, from a multiple of two, and sets what is left of the
/// last four to 0: one warp.
SKV_DEVICE void copy_by_warp(std::byte* to, const std::byte* from, std::uint32_t bytes) {
  const auto* const halves = reinterpret_cast<const std::uint16_t*>(from);
  auto* const words = reinterpret_cast<std::uint32_t*>(to);
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
