// The loops that most time goes into, compiled for every instruction set.
#pragma once

#include <cstdint>
#include <skv/cpu/codec.hpp>

namespace engine {

/// Numbers that are worked on together.
inline constexpr std::uint32_t kLanes = 16;

/// No function depends on the instruction set in any bit: sums run in the order that is given here,
/// and every operation is rounded by itself.
struct kernels {
  /// sums[rows][16] += x[rows][count] w[count][16], terms in ascending order. Rows of x lie
  /// `x_stride` floats apart.
  void (*add_products)(const float* x, std::size_t x_stride, std::uint32_t rows, const float* w,
                       std::uint32_t count, float* sums);

  /// The softmax of x[0, count), in place; x[count, next multiple of 16) becomes 0. The sum has 16
  /// partial ones, of every 16th term each, which are folded by halves.
  void (*softmax)(float* x, std::uint32_t count);

  /// x / (1 + e^-x), for any count.
  void (*silu)(float* x, std::size_t count);
};

/// `set` must be available on this machine.
const kernels& kernels_for(skv::cpu::isa set);

}  // namespace engine
