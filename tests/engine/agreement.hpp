// How far two tensors of bf16 numbers that should be equal but for the order of sums are apart.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "engine/bf16.hpp"

namespace engine::test {

struct agreement {
  double identical = 0;   ///< share of the numbers
  double largest = 0;     ///< difference, in units of the root mean square
  double mean_error = 0;  ///< root mean square, in the same units
};

inline agreement compare(std::span<const std::uint16_t> a, std::span<const std::uint16_t> b) {
  double same = 0, square = 0, error = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = from_bf16(a[i]), y = from_bf16(b[i]);
    same += a[i] == b[i];
    square += y * y;
    error += (x - y) * (x - y);
    largest = std::max(largest, std::abs(x - y));
  }
  const auto n = static_cast<double>(a.size());
  const double rms = std::sqrt(square / n);
  return {same / n, largest / rms, std::sqrt(error / n) / rms};
}

}  // namespace engine::test
