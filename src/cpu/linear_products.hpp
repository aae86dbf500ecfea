// Matrix products of any size out of those of one instruction set.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "linear_kernels.hpp"

namespace skv::cpu {

/// `multiply` for matrices of any size: a large one goes through a copy of some outputs' weights at
/// a time, which stays in the cache while all tokens see it. `room` is resized.
inline void multiply_in_blocks(const linear_kernels& kernels, const multiply_arguments& a,
                               std::vector<std::int8_t>& room) {
  constexpr std::size_t kLargeMatrix = 1u << 18;
  constexpr std::uint32_t kOutputsAtOnce = 64;
  if (std::size_t{a.input_groups} * a.outputs * 4 <= kLargeMatrix) return kernels.multiply(a);
  room.resize(std::size_t{a.input_groups} * 4 * kOutputsAtOnce);
  for (std::uint32_t first = 0; first < a.outputs; first += kOutputsAtOnce) {
    multiply_arguments part = a;
    part.outputs = std::min(kOutputsAtOnce, a.outputs - first);
    part.weights = room.data();
    part.sums = a.sums + first;
    for (std::size_t g = 0; g < a.input_groups; ++g)
      std::memcpy(room.data() + 4 * g * part.outputs, a.weights + 4 * (g * a.outputs + first),
                  std::size_t{4} * part.outputs);
    kernels.multiply(part);
  }
}

}  // namespace skv::cpu
