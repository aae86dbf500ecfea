// A block cut into tiles, and the batch, as kernels get them: trivially copyable.
#pragma once

#include <skv/cuda/codec.hpp>
#include <skv/number/format.hpp>
#include <skv/profile/profile.hpp>
#include <skv/scale/per_channel.hpp>
#include <vector>

namespace skv::cuda {

/// The tiles of one tensor: token tile by token tile, in each head tile by head tile.
struct tensor_plan {
  std::uint32_t heads, head_dim;
  std::uint32_t tile_tokens, tile_heads;
  std::uint32_t head_tiles;  ///< in a row of tiles
  std::uint32_t first_tile;  ///< in the block
  std::uint32_t opaque_bytes;
};

struct block_plan {
  std::uint32_t layers, tokens;
  std::uint32_t tensor_count;
  tensor_plan tensors[kMaxTensors];
  std::uint32_t tiles;        ///< in a block
  std::uint32_t stage_bytes;  ///< room for one tile while it is coded, a multiple of 16
  /// [layers][kMaxTensors], where a tensor's channels begin in `channels_dev`
  const std::uint32_t* channel_starts_dev;
  const channel<std::uint32_t>* channels_dev;
};

/// Tiles of a block start at multiples of this in their slot.
inline constexpr std::uint32_t kTileAlign = 4;

template <class T>
SKV_HOST_DEVICE constexpr T round_up(T a, T to) {
  return (a + to - 1) / to * to;
}

/// What make_plan gives beside the plan: arrays to be copied to the device.
struct plan_arrays {
  std::vector<std::uint32_t> channel_starts;
  std::vector<channel<std::uint32_t>> channels;
};

/// Cuts blocks of a geometry into tiles. The plan's pointers are null.
/// Fails with invalid_argument (a shape that has no plan) or wrong_profile (no scales for it).
result<block_plan> make_plan(const profile& p, const block_geometry& g, plan_arrays& arrays);

}  // namespace skv::cuda
