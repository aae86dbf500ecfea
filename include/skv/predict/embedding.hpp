// The token's embedding as a row that linear propagation can look at. docs/format.md, section
// "Outside rows".
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <skv/number/format.hpp>
#include <skv/predict/linear.hpp>
#include <span>

namespace skv {

/// IEEE single: a format of embeddings alone.
inline constexpr number_format kSingle{format_id{0}, 8, 23};

/// The number format of an embedding by its wire id.
constexpr std::optional<number_format> find_embedding_format(std::uint8_t id) {
  return id == 0 ? std::optional(kSingle) : find_format(id);
}

/// A number as an integer times a power of two; 0 for what has no value.
struct scaled_significand {
  std::uint32_t significand = 0;
  std::uint32_t exponent = 1;
};

constexpr scaled_significand significand_of(number_format f, std::uint32_t pattern) {
  const std::uint32_t magnitude = pattern & f.magnitude_mask();
  const std::uint32_t exponent = magnitude >> f.mantissa_bits;
  const bool has_value =
      f.id == format_id::e4m3 ? magnitude != f.magnitude_mask() : exponent != f.max_exponent();
  if (!has_value) return {};
  const std::uint32_t e = std::max(exponent, 1u);
  return {magnitude - ((e - 1) << f.mantissa_bits), e};
}

/// floor(sqrt(a)), for a below 2^63.
inline std::uint64_t floor_sqrt(std::uint64_t a) {
  auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(a)));
  while (root * root > a) --root;
  while ((root + 1) * (root + 1) <= a) ++root;
  return root;
}

/// A row divided by its root mean square, in units of 2^-10 and within +-kDeviationLimit: integers
/// from `patterns`, at most 2^16 of them, alone. All 0 if no number of the row has a value but 0.
inline void normalise(number_format f, std::span<const std::uint32_t> patterns,
                      std::span<std::int32_t> row) {
  // Relative to the largest number's binade, 15 bits: |m| <= 2^15.
  int top = -1;
  for (const std::uint32_t p : patterns) {
    const auto [significand, exponent] = significand_of(f, p);
    if (significand != 0)
      top = std::max(top, static_cast<int>(exponent + std::bit_width(significand)) - 1);
  }
  if (top < 0) {
    std::ranges::fill(row, 0);
    return;
  }
  std::uint64_t squares = 0;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const auto [significand, exponent] = significand_of(f, patterns[i]);
    const int left = static_cast<int>(exponent) - top + 14;
    const int right = std::min(-left, 30);
    const auto size = static_cast<std::int32_t>(
        left >= 0 ? significand << left : (significand + (1u << (right - 1))) >> right);
    row[i] = patterns[i] >> f.magnitude_bits() ? -size : size;
    squares += static_cast<std::uint64_t>(size) * static_cast<std::uint64_t>(size);
  }
  // 2^8 times the root mean square, at least 2^14.
  const std::uint64_t norm = floor_sqrt((squares << 16) / patterns.size());
  for (std::int32_t& m : row) {
    const auto size = static_cast<std::uint64_t>(m < 0 ? -m : m);
    const auto normal = static_cast<std::int32_t>(
        std::min<std::uint64_t>(((size << 18) + norm / 2) / norm, kDeviationLimit));
    m = m < 0 ? -normal : normal;
  }
}

/// `innovation` (predict/linear.hpp) of a number of such a row.
constexpr std::int8_t embedding_innovation(std::int32_t number, std::int16_t centre,
                                           std::uint8_t shift) {
  const std::int32_t centred = number - centre;
  const auto size = static_cast<std::uint32_t>(centred < 0 ? -centred : centred);
  // Sizes stay below 2^17: whatever shifts by more leaves nothing.
  const std::uint32_t n = std::min<std::uint32_t>(shift, 24);
  const auto rounded =
      static_cast<std::int32_t>(std::min((size + ((1u << n) >> 1)) >> n, kInnovationLimit));
  return static_cast<std::int8_t>(centred < 0 ? -rounded : rounded);
}

}  // namespace skv
