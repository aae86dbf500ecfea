// bf16 as the upper half of a float.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace engine {

inline float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The nearest, ties to even; every NaN becomes the same one, since machines differ in theirs.
inline std::uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// The bf16 number nearest to x, as a float.
inline float rounded(float x) { return from_bf16(to_bf16(x)); }

}  // namespace engine
