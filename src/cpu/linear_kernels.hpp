// The steps of linear propagation as functions without template parameters, one table of them per
// instruction set. All give the same integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/view.hpp>
#include <skv/number/format.hpp>

namespace skv::cpu {

/// What the steps know of a tensor's channels: arrays of `width` entries.
struct linear_channels {
  std::uint32_t width = 0, head_dim = 0;
  const std::uint8_t* units = nullptr;
  const std::int16_t* centres = nullptr;
  const std::uint8_t* shifts = nullptr;
  const std::uint32_t* partners = nullptr;          ///< null if nothing turns
  const std::uint32_t* frequencies_high = nullptr;  ///< head_dim entries: all heads turn alike
  const std::uint32_t* frequencies_low = nullptr;
};

/// u32 entries of room that a step needs.
constexpr std::size_t linear_scratch(std::uint32_t width) { return 4 * (std::size_t{width} + 32); }

struct innovate_arguments {
  linear_channels channels;
  std::uint32_t tokens;
  const std::uint32_t* positions;
  row_view<const std::byte> numbers, bases;  ///< no bases: null
  std::int8_t* innovations;                  ///< [tokens][width]
  std::uint32_t* scratch;
};

/// sums[t][o] = sum over i of inputs[t][i] * weights(i, o). Inputs in groups of four; the weights
/// of a group lie together: [input groups][outputs][4].
struct multiply_arguments {
  std::uint32_t tokens, input_groups, outputs;
  const std::int8_t* inputs;
  std::size_t input_stride;
  const std::int8_t* weights;
  std::int32_t* sums;
  std::size_t sum_stride;
};

/// Sums of one row become int8 again: the middle of a product of low rank.
struct narrow_arguments {
  std::uint32_t tokens, width;
  const std::int32_t* sums;  ///< [tokens][width]
  const std::uint16_t* multipliers;
  const std::uint8_t* shifts;
  std::int8_t* values;
  std::size_t value_stride;
};

struct correct_arguments {
  linear_channels channels;
  std::uint32_t tokens;
  const std::uint32_t* positions;
  const std::int32_t* sums;  ///< [tokens][width]; null: none, only centres
  const std::uint16_t* multipliers;
  const std::uint8_t* sum_shifts;
  row_view<const std::byte> bases;  ///< no bases: null
  std::byte* means;                 ///< [tokens][width] patterns
  std::uint32_t* scratch;
};

struct linear_kernels {
  void (*innovate)(const innovate_arguments&);
  void (*multiply)(const multiply_arguments&);
  void (*narrow)(const narrow_arguments&);
  void (*correct)(const correct_arguments&);
};

/// Null functions for a pair of formats that has no coding.
namespace scalar {
linear_kernels find_linear_kernels(format_id target, format_id mean);
}
namespace portable {
linear_kernels find_linear_kernels(format_id target, format_id mean);
}
namespace avx2 {
linear_kernels find_linear_kernels(format_id target, format_id mean);
}
namespace avx512 {
linear_kernels find_linear_kernels(format_id target, format_id mean);
}

}  // namespace skv::cpu
