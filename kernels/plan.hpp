// A block cut into tiles, and the batch, as kernels get them: trivially copyable.
#pragma once

#include <skv/cuda/codec.hpp>
#include <skv/number/format.hpp>
#include <skv/profile/profile.hpp>
#include <skv/scale/per_channel.hpp>
#include <skv/tile/block_image.hpp>
#include <vector>

namespace skv::cuda {

/// The tiles of one tensor: token tile by token tile, in each head tile by head tile.
struct tensor_plan {
  std::uint32_t heads, head_dim;
  std::uint32_t tile_tokens, tile_heads;
  std::uint32_t head_tiles;  ///< in a row of tiles
  std::uint32_t first_tile;  ///< in the block
  std::uint32_t opaque_bytes;
  std::uint32_t head_inverse;  ///< of head_dim, for head_of
};

SKV_HOST_DEVICE constexpr std::uint32_t inverse_of(std::uint32_t head_dim) {
  return ~0u / head_dim;
}
/// The head that channel `channel` of a row lies in: exactly, for up to 65,536 channels. A division by
/// a number that is not known when the kernel is compiled takes twenty instructions; with the inverse it
/// takes two.
SKV_HOST_DEVICE inline std::uint32_t head_of(std::uint32_t channel, std::uint32_t inverse) {
#if defined(__CUDA_ARCH__)
  std::uint32_t next = channel + 1;
  asm("" : "+r"(next));  // kept for the head's next use, rather than its summands
  return __umulhi(next, inverse);
#else
  return static_cast<std::uint32_t>(std::uint64_t{channel + 1} * inverse >> 32);
#endif
}

struct block_plan {
  std::uint32_t layers;  ///< of the geometry; in a launch, of the batch
  std::uint32_t tokens;
  std::uint32_t tensor_count;
  tensor_plan tensors[kMaxTensors];
  std::uint32_t tiles;        ///< in a block
  std::uint32_t stage_bytes;  ///< room for one tile while it is coded, a multiple of 16
  /// [layers][kMaxTensors], where a tensor's channels begin in those of the kernel
  const std::uint32_t* channel_starts_dev;
};

/// A block of a batch: the `number`-th of its layers' items.
struct batch_block {
  std::uint32_t layer, item;
  std::size_t index;  ///< in the arrays of the batch

  SKV_HOST_DEVICE batch_block(const block_batch& batch, std::uint32_t items, std::uint32_t number)
      : layer(batch.first_layer + number / items),
        item(number % items),
        index(std::size_t{layer} * batch.items + item) {}
};

/// Tiles of a block start at multiples of this in their slot.
inline constexpr std::uint32_t kTileAlign = 4;

template <class T>
SKV_HOST_DEVICE constexpr T round_up(T a, T to) {
  return (a + to - 1) / to * to;
}

/// One tile of a block.
struct tile_place {
  std::uint32_t tensor;
  std::uint32_t first_token, first_head;
  tile_shape shape;            ///< no tokens: nothing is there
  std::uint32_t opaque_first;  ///< opaque bytes from here on, shape.width of them

  /// In a cache whose tensors all have blocks of their own.
  SKV_HOST_DEVICE std::byte* in(const paged_cache& cache, std::uint32_t layer,
                                std::uint32_t item) const {
    const tensor_place& t = cache.tensors[tensor];
    return t.blocks.at(layer, item) + t.offset_bytes + opaque_first +
           std::int64_t{first_token} * t.token_stride_bytes +
           std::int64_t{first_head} * t.head_stride_bytes;
  }
};

/// Does the item have a block, in all tensors, in a cache whose tensors all have blocks of their own?
SKV_HOST_DEVICE inline bool exists(const block_plan& plan, const paged_cache& cache,
                                   std::uint32_t layer, std::uint32_t item) {
  for (std::uint32_t i = 0; i < plan.tensor_count; ++i)
    if (!cache.tensors[i].blocks.exists(layer, item)) return false;
  return true;
}

/// The cache with blocks of its own for every tensor, as kernels want it.
inline paged_cache with_own_blocks(paged_cache cache) {
  for (std::uint32_t i = 0; i < kMaxTensors; ++i) cache.tensors[i].blocks = cache.blocks_of(i);
  return cache;
}

/// Tile `tile` of a block with `tokens` tokens.
SKV_HOST_DEVICE inline tile_place place_of(const block_plan& plan, std::uint32_t tile,
                                           std::uint32_t tokens) {
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

/// What make_plan gives beside the plan: arrays to be copied to the device.
struct plan_arrays {
  std::vector<std::uint32_t> channel_starts;
  std::vector<channel<std::uint32_t>> encode_channels, decode_channels;
};

/// Cuts blocks of a geometry into tiles. The plan's pointers are null.
/// Fails with invalid_argument (a shape that has no plan) or wrong_profile (no scales for it).
result<block_plan> make_plan(const profile& p, const block_geometry& g, plan_arrays& arrays);

}  // namespace skv::cuda
