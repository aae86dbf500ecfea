// Numbers as patterns of a format, and rows of them as bytes.
#pragma once

#include <skv/number/format.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "support/random.hpp"

namespace skv::test {

/// The pattern nearest to a value; too large ones become the largest below the last exponent.
inline std::uint32_t to_pattern(number_format f, double value) {
  const std::uint32_t sign = std::signbit(value) ? 1u << f.magnitude_bits() : 0;
  if (value == 0) return sign;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(value), &exponent);  // [1/2, 1)
  const int field = std::max(exponent - 1 + static_cast<int>(f.bias()), 0);
  const std::uint32_t largest = (f.max_exponent() << f.mantissa_bits) - 1;
  if (field >= static_cast<int>(f.max_exponent())) return sign | largest;
  const int M = static_cast<int>(f.mantissa_bits);
  // Subnormals share the ulp of field 1; a carry into the next exponent is the right pattern too.
  const int shift = field == 0 ? exponent - 1 + static_cast<int>(f.bias()) + M : M + 1;
  const auto rounded = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(fraction, shift)));
  const std::uint32_t below =
      field == 0 ? 0 : (static_cast<std::uint32_t>(field) - 1) << f.mantissa_bits;
  return sign | std::min(below + rounded, largest);
}

/// Zeros, the smallest and largest magnitudes, infinities and NaNs of a format, or anything.
inline std::uint32_t unusual_pattern(number_format f, random_source& random) {
  const std::uint32_t top = f.max_exponent() << f.mantissa_bits;
  const std::uint32_t magnitudes[] = {
      0,   1,       1u << f.mantissa_bits, top - 1,
      top, top + 1, f.magnitude_mask(),    random.bits() & f.magnitude_mask()};
  return magnitudes[random.below(8)] | (random.below(2) << f.magnitude_bits());
}

inline void append_pattern(std::vector<std::byte>& to, number_format f, std::uint32_t pattern) {
  for (std::uint32_t i = 0; i < f.bytes(); ++i)
    to.push_back(static_cast<std::byte>(pattern >> (8 * i) & 0xff));
}
inline std::uint32_t pattern_at(const std::byte* bytes, number_format f, std::size_t index) {
  std::uint32_t pattern = 0;
  std::memcpy(&pattern, bytes + index * f.bytes(), f.bytes());
  return pattern;
}

}  // namespace skv::test
