// How blocks of a paged cache lie in device memory: described, not assumed. docs/layouts.md has the layouts of
// engines. Strides and offsets are bytes. The structures own nothing, and a call copies them: they may go away
// when it returns, and a captured graph keeps their values. What they point to is read when the work runs, by
// every replay anew: it must stay until then, and may be changed in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>
#include <skv/base/tensor.hpp>

namespace skv::cuda {

/// Where the blocks of a batch begin. A batch has items (pages of requests) and layers; a block is
/// one item in one layer. All pointers are device pointers, also those in arrays: the host never reads behind
/// them, and nobody checks that indices and pointers in arrays lead to memory that is there.
///
/// Either by a number: layer l begins at `base + l * layer_stride_bytes`, or at `layer_bases_dev[l]`, and in it
/// block b at `b * block_stride_bytes`. Or by a pointer: `pointers_dev[l * pointer_layer_stride + item] +
/// l * layer_stride_bytes`. Layers count from the geometry's first.
struct block_places {
  std::byte* base = nullptr;
  std::int64_t layer_stride_bytes = 0;
  std::int64_t block_stride_bytes = 0;
  /// [items], the number of the item's block, one list for all layers; null: item i is block i. A negative number
  /// is no block: the item is skipped (ok, of size 0).
  const std::int32_t* indices_dev = nullptr;
  /// [items], the same for every layer, or, with as many for each layer, [layers][pointer_layer_stride]; then of the
  /// others only the layers' stride counts. A null pointer is no block.
  std::byte* const* pointers_dev = nullptr;
  std::int64_t pointer_layer_stride = 0;
  /// [layers] of the geometry, for layers in allocations of their own; then `base` and the layers' stride count
  /// for nothing.
  std::byte* const* layer_bases_dev = nullptr;

  /// Has anything been said?
  SKV_HOST_DEVICE bool are_given() const {
    return base != nullptr || layer_bases_dev != nullptr || pointers_dev != nullptr;
  }
  /// Is everything that counts, and that the host can see, a multiple of `bytes`?
  bool are_aligned(std::int64_t bytes) const {
    const auto is = [bytes](std::int64_t a) { return a % bytes == 0; };
    if (pointers_dev != nullptr) return is(layer_stride_bytes);
    if (layer_bases_dev != nullptr) return is(block_stride_bytes);
    return is(static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(base))) &&
           is(layer_stride_bytes) && is(block_stride_bytes);
  }
  SKV_HOST_DEVICE bool exists(std::uint32_t layer, std::uint32_t item) const {
    if (pointers_dev != nullptr) return pointer(layer, item) != nullptr;
    return indices_dev == nullptr || indices_dev[item] >= 0;
  }
  SKV_HOST_DEVICE std::byte* at(std::uint32_t layer, std::uint32_t item) const {
    if (pointers_dev != nullptr) return pointer(layer, item) + layer * layer_stride_bytes;
    const std::int64_t number = indices_dev == nullptr ? std::int64_t{item} : indices_dev[item];
    std::byte* const start =
        layer_bases_dev == nullptr ? base + layer * layer_stride_bytes : layer_bases_dev[layer];
    return start + number * block_stride_bytes;
  }

 private:
  SKV_HOST_DEVICE std::byte* pointer(std::uint32_t layer, std::uint32_t item) const {
    return pointers_dev[layer * pointer_layer_stride + item];
  }
};

/// Where a tensor lies in its block: channels are contiguous; tokens and heads have strides. Everything is a
/// multiple of the size of a number.
struct tensor_place {
  std::int64_t offset_bytes = 0;  ///< from the block's start, also beyond its end
  std::int64_t token_stride_bytes = 0;
  std::int64_t head_stride_bytes = 0;  ///< of no account where there is one head
  /// Its own blocks, if it does not lie in those of its cache: K and V, or scales, in arrays of their own. An
  /// item that one of a codec's tensors lacks is skipped in all of them.
  block_places blocks = {};
};

/// At most K, V and two more.
inline constexpr std::uint32_t kMaxTensors = 4;

/// A paged cache: blocks, and the tensors within each, in the order of the block_geometry.
struct paged_cache {
  block_places blocks;  ///< not needed where every tensor has its own
  tensor_place tensors[kMaxTensors];

  /// Those that a tensor lies in: its own, or the cache's.
  const block_places& blocks_of(std::uint32_t tensor) const {
    const block_places& own = tensors[tensor].blocks;
    return own.are_given() ? own : blocks;
  }
};

/// A tensor of every block, [tokens, heads, head_dim]; or bytes of any kind.
struct block_tensor {
  tensor_kind kind = tensor_kind::k;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  /// Not numbers: `opaque_bytes` contiguous bytes of each block, kept as they are (scales of an fp8
  /// cache, anything), however many tokens it has. Their place has an offset, and no strides; kind, heads and
  /// head_dim count for nothing, and means have no place for them.
  std::uint32_t opaque_bytes = 0;
};

/// What every block of a batch consists of. Those who encode and decode need the same one. At most 65536 numbers in
/// a row of a token, 1 MiB in a tile, 4096 tiles and 2 GiB in a block.
struct block_geometry {
  std::uint32_t first_layer = 0;  ///< of the model; the profile has scales for each layer
  std::uint32_t layers = 1;       ///< 1 to 65536
  std::uint32_t tokens = 16;      ///< per block, 1 to 65536
  block_tensor tensors[kMaxTensors];
  std::uint32_t tensor_count = 0;
  /// A tile is so many tokens of so many heads (0: about 8,192 numbers). Blocks coded with other
  /// tiles have other bytes.
  std::uint32_t tile_tokens = 0;
  std::uint32_t tile_heads = 0;
};

}  // namespace skv::cuda
