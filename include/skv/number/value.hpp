// The real number that a pattern stands for. For calibration and reports only: no coded bit ever
// depends on it.
#pragma once

#include <cmath>
#include <skv/number/format.hpp>

namespace skv {

/// The value of a pattern; NaN and infinities of formats that have them come out as NaN.
inline double to_double(number_format f, std::uint32_t pattern) {
  const std::uint32_t magnitude = pattern & f.magnitude_mask();
  const std::uint32_t exponent = magnitude >> f.mantissa_bits;
  const bool ieee = f.id != format_id::e4m3;  // e4m3 has no infinities and one NaN
  if (ieee ? exponent == f.max_exponent() : magnitude == f.magnitude_mask()) return std::nan("");
  const std::uint32_t mantissa = magnitude & ((1u << f.mantissa_bits) - 1);
  const double significand = exponent == 0 ? mantissa : mantissa + (1u << f.mantissa_bits);
  const int scale =
      static_cast<int>(exponent == 0 ? 1 : exponent) - static_cast<int>(f.bias() + f.mantissa_bits);
  const double value = std::ldexp(significand, scale);
  return pattern >> f.magnitude_bits() ? -value : value;
}

}  // namespace skv
