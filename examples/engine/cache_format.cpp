#include "engine/cache_format.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <skv/number/value.hpp>

#include "engine/bf16.hpp"
#include "engine/quantised.hpp"

namespace engine {
namespace {

struct interval {
  float low, high;
};

// The numbers that an e4m3 magnitude stands for: halfway to its neighbours; from 0 up for the
// smallest, all that saturates for the largest.
std::array<interval, 0x7f> magnitude_cells() {
  std::array<interval, 0x7f> cells{};
  const auto value = [](std::uint32_t m) { return skv::to_double(skv::e4m3, m); };
  for (std::uint32_t m = 0; m < cells.size(); ++m)
    cells[m] = {m == 0 ? 0.0F : static_cast<float>((value(m - 1) + value(m)) / 2),
                m == 0x7e ? std::numeric_limits<float>::max()
                          : static_cast<float>((value(m) + value(m + 1)) / 2)};
  return cells;
}

}  // namespace

void cache_format::keep(skv::tensor_id t, std::span<const std::uint16_t> numbers,
                        std::byte* out) const {
  if (id == skv::format_id::bf16) {
    std::memcpy(out, numbers.data(), numbers.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < numbers.size(); ++i)
    out[i] = std::byte{to_e4m3(from_bf16(numbers[i]) / scale(t))};
}

std::uint16_t cache_format::mean(skv::tensor_id t, float expected) const {
  const std::uint16_t m = to_bf16(id == skv::format_id::bf16 ? expected : expected / scale(t));
  return (m & 0x7fff) > 0x7f80 ? 0x7fc0 : m;
}

float cache_format::nearest(skv::tensor_id t, const std::byte* kept, float expected) const {
  if (id == skv::format_id::bf16) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, kept, sizeof bits);
    return (bits & 0x7f80) == 0x7f80 ? expected : from_bf16(bits);
  }
  static const auto cells = magnitude_cells();
  const auto bits = std::to_integer<std::uint8_t>(*kept);
  if ((bits & 0x7f) == 0x7f || std::isnan(expected)) return expected;
  const interval& cell = cells[bits & 0x7f];
  const float low = (bits & 0x80 ? -cell.high : cell.low) * scale(t);
  const float high = (bits & 0x80 ? -cell.low : cell.high) * scale(t);
  return rounded(std::clamp(expected, low, high));
}

}  // namespace engine
