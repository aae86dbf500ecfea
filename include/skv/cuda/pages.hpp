// How blocks of a paged cache lie in device memory: described, not assumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>
#include <skv/base/tensor.hpp>

namespace skv::cuda {

/// Where the blocks of a batch begin. A batch has items (pages of requests) and layers; a block is
/// one item in one layer. All pointers are device pointers.
struct block_places {
  std::byte* base = nullptr;
  std::int64_t layer_stride_bytes = 0;
  std::int64_t block_stride_bytes = 0;
  /// [items], the index of the item's block; null: item i is block i. A negative index is no block:
  /// the item is skipped.
  const std::int32_t* indices_dev = nullptr;
  /// [items], where the item's block begins in layer 0; then `base` and indices are not used.
  std::byte* const* pointers_dev = nullptr;

  SKV_HOST_DEVICE bool exists(std::uint32_t item) const {
    if (pointers_dev != nullptr) return pointers_dev[item] != nullptr;
    return indices_dev == nullptr || indices_dev[item] >= 0;
  }
  SKV_HOST_DEVICE std::byte* at(std::uint32_t layer, std::uint32_t item) const {
    const std::int64_t index = indices_dev == nullptr ? std::int64_t{item} : indices_dev[item];
    std::byte* const start =
        pointers_dev == nullptr ? base + index * block_stride_bytes : pointers_dev[item];
    return start + layer * layer_stride_bytes;
  }
};

/// Where a tensor lies in its block: channels are contiguous; tokens and heads have strides. The
/// offset may lead out of the block, into a second allocation with the same block strides.
struct tensor_place {
  std::int64_t offset_bytes = 0;
  std::int64_t token_stride_bytes = 0;
  std::int64_t head_stride_bytes = 0;
};

/// At most K, V and two more.
inline constexpr std::uint32_t kMaxTensors = 4;

/// A paged cache: blocks, and the tensors within each, in the order of the block_geometry.
struct paged_cache {
  block_places blocks;
  tensor_place tensors[kMaxTensors];
};

/// A tensor of every block, [tokens, heads, head_dim]; or bytes of any kind.
struct block_tensor {
  tensor_kind kind = tensor_kind::k;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  /// Not numbers: `opaque_bytes` contiguous bytes of each block, kept as they are (scales of an fp8
  /// cache, anything). Their place has an offset only.
  std::uint32_t opaque_bytes = 0;
};

/// What every block of a batch consists of.
struct block_geometry {
  std::uint32_t first_layer = 0;  ///< of the model; the profile has scales for each layer
  std::uint32_t layers = 1;
  std::uint32_t tokens = 16;  ///< per block
  block_tensor tensors[kMaxTensors];
  std::uint32_t tensor_count = 0;
  /// A tile is so many tokens of so many heads (0: about 8,192 numbers). Blocks coded with other
  /// tiles have other bytes.
  std::uint32_t tile_tokens = 0;
  std::uint32_t tile_heads = 0;
};

}  // namespace skv::cuda
