// What the kernels of linear propagation are given.
#pragma once

#include <skv/cuda/linear.hpp>

namespace skv::cuda {

/// A product is made in tiles of so many tokens and outputs, from so many inputs at a time. Weights and
/// innovations are laid out for it.
inline constexpr std::uint32_t kTileTokens = 128, kTileOutputs = 128, kChunkInputs = 64;
/// Tokens whose innovations a block makes at a time.
inline constexpr std::uint32_t kRunTokens = 32;
inline constexpr std::uint32_t kChunkWeights = kTileOutputs * kChunkInputs;

/// A channel of a tensor, or a hidden value (of which only the factors count). Channels are in an order
/// of their own: pairs that turn together stand side by side, at an even place, and others come after
/// them.
struct alignas(8) linear_channel {
  std::uint32_t frequency_high, frequency_low;
  std::uint16_t head, channel;
  std::uint16_t multiplier;  ///< of its sum, if the tensor is predicted
  std::int16_t centre;
  std::uint8_t unit;
  std::uint8_t sum_shift;
  std::uint8_t shift;  ///< of its innovation
};

/// Rows of int8 that a product has as inputs: of all tokens of a batch, [items][tokens][row_bytes].
struct linear_source {
  std::uint64_t first_byte;  ///< in the workspace, times the batch's tokens
  std::uint32_t row_bytes;
  std::uint32_t shard_bytes;  ///< from a shard's inputs in a row to the next one's
  std::uint32_t chunks;       ///< of a shard
};

/// A product, of all shards. Pointers are of the device.
struct linear_product_plan {
  const std::byte* weights;       ///< [shards][output tiles][chunks][kChunkWeights]
  const linear_source* sources;   ///< [source_count]
  const linear_channel* outputs;  ///< [shards][output tiles][kTileOutputs]
  std::uint32_t source_count, chunks;
  std::uint32_t shards, output_count;  ///< of a shard
  std::uint32_t output_tiles;          ///< of a shard

  SKV_HOST_DEVICE std::uint32_t tiles_of_rows() const { return shards * output_tiles; }
};

/// The tokens of a batch, as rows.
struct linear_rows {
  linear_batch batch;
  std::uint32_t layer;   ///< of the caches
  std::uint32_t tokens;  ///< of a block
  std::uint32_t rows;    ///< of all items that there can be
};

/// Hidden values, the middle of a product of low rank.
struct hide_parameters {
  linear_rows tokens;
  linear_product_plan product;
  std::byte* room;
  std::byte* hidden;  ///< [rows][hidden_row_bytes]
  std::uint32_t hidden_row_bytes, hidden_shard_bytes;
};

struct predict_parameters {
  linear_rows tokens;
  linear_product_plan product;
  const std::byte* room;
  tensor_place bases, means;
  const std::uint32_t* sines_dev;
  bool has_bases, turns;
  bool is_predicted;  ///< otherwise means are bases
};

struct update_parameters {
  linear_rows tokens;
  tensor_place numbers, bases;
  const linear_channel* channels;  ///< [shards][shard_channels]
  const std::uint32_t* sines_dev;
  std::byte* innovations;  ///< [rows][row_bytes]
  std::uint32_t row_bytes;
  std::uint32_t shards, shard_bytes, shard_channels;
  std::uint32_t channel_count;  ///< of a shard
  bool has_bases, turns;
};

struct take_parameters {
  linear_rows tokens;
  outside_table table;
  std::byte* innovations;  ///< [rows][row_bytes]
  std::uint32_t row_bytes, width;
};

}  // namespace skv::cuda
