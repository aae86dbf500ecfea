// Compressed blocks where the arrays of a batch say that they are, and how they are copied.
#pragma once

#include <skv/lanes/device.cuh>

#include "plan.hpp"

namespace skv::cuda {

/// A compressed block. `bytes` may be read if `is` is ok.
struct stored_block {
  std::byte* bytes;
  std::uint32_t size;
  status is;
};

/// Finds a block; trusts none of the arrays.
SKV_DEVICE stored_block find_stored(const block_plan& plan, const stored_places& in,
                                    const batch_block& b) {
  stored_block s{nullptr, in.sizes[b.index], in.statuses[b.index]};
  if (s.is > status::wrong_prediction) s.is = status::corrupt;
  if (s.is != status::ok) return s;
  if (s.size > std::size_t{plan.tiles} * plan.stage_bytes || s.size % kTileAlign != 0) {
    s.is = status::corrupt;
  } else if (s.size == 0) {
    // All as predicted, or no tokens: there is nothing to be read, wherever it is said to be.
  } else if (in.packed == nullptr) {
    if (s.size <= in.slot_bytes && in.slots.exists(b.layer, b.item))
      s.bytes = in.slots.at(b.layer, b.item);
    else
      s.is = status::corrupt;
  } else {
    const std::uint64_t offset = in.offsets[b.index];
    if (offset % kTileAlign == 0 && offset <= in.packed_bytes && s.size <= in.packed_bytes - offset)
      s.bytes = const_cast<std::byte*>(in.packed) + offset;
    else
      s.is = status::corrupt;
  }
  return s;
}

/// Copies line `i` of a block of `bytes` bytes: 16 of them, in one access where both places are
/// multiples of that, or what is left of them. Everything is a multiple of 4.
SKV_DEVICE void copy_line(std::byte* to, const std::byte* from, std::uint32_t i,
                          std::uint32_t bytes) {
  struct alignas(16) line {
    std::uint32_t words[4];
  };
  const std::uint32_t left = bytes - 16 * i;
  to = device::global(to);
  from = device::global(from);
  const auto places = reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from);
  if (left >= 16 && places % 16 == 0) {
    *reinterpret_cast<line*>(to) = *reinterpret_cast<const line*>(from);
    return;
  }
  for (std::uint32_t w = 0; w < 4 && 4 * w < left; ++w)
    reinterpret_cast<std::uint32_t*>(to)[w] = reinterpret_cast<const std::uint32_t*>(from)[w];
}

/// Calls f(i) for the lines of a block of `bytes` bytes: all threads of a block of the grid share
/// them. The `turn`-th block of a round begins with another warp, so that small ones use them all.
template <class F>
SKV_DEVICE void each_line(std::uint32_t bytes, std::uint32_t turn, F&& f) {
  const std::uint32_t lines = bytes / 16 + (bytes % 16 != 0);
  for (std::uint32_t i = (device::thread() + turn * kLanes) % device::threads(); i < lines;
       i += device::threads())
    f(i);
}

}  // namespace skv::cuda
