// Number formats as data: one text of the codec serves all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <skv/base/config.hpp>
#include <string_view>

namespace skv {

/// The wire ids of docs/format.md, section "Number formats".
enum class format_id : std::uint8_t { bf16 = 1, fp16 = 2, e4m3 = 3, e5m2 = 4 };

/// A binary floating-point format: one sign bit, an exponent field, a mantissa field. What the
/// largest exponents mean (infinity, NaN, numbers) does not matter here: patterns are ordered
/// integers to the codec, and every one of them comes back.
struct number_format {
  format_id id;
  std::uint32_t exponent_bits;
  std::uint32_t mantissa_bits;

  SKV_HOST_DEVICE constexpr std::uint32_t magnitude_bits() const {
    return exponent_bits + mantissa_bits;
  }
  SKV_HOST_DEVICE constexpr std::uint32_t bits() const { return magnitude_bits() + 1; }
  SKV_HOST_DEVICE constexpr std::uint32_t bytes() const { return bits() / 8; }
  SKV_HOST_DEVICE constexpr std::uint32_t magnitude_mask() const {
    return (1u << magnitude_bits()) - 1;
  }
  SKV_HOST_DEVICE constexpr std::uint32_t bias() const { return (1u << (exponent_bits - 1)) - 1; }
  /// The largest value of the exponent field.
  SKV_HOST_DEVICE constexpr std::uint32_t max_exponent() const { return (1u << exponent_bits) - 1; }
  friend constexpr bool operator==(number_format, number_format) = default;
};

inline constexpr number_format bf16{format_id::bf16, 8, 7};
inline constexpr number_format fp16{format_id::fp16, 5, 10};
inline constexpr number_format e4m3{format_id::e4m3, 4, 3};
inline constexpr number_format e5m2{format_id::e5m2, 5, 2};

inline constexpr number_format kFormats[] = {bf16, fp16, e4m3, e5m2};

/// The format with a wire id; nothing for an id of no format.
constexpr std::optional<number_format> find_format(std::uint8_t id) {
  for (const number_format& f : kFormats)
    if (static_cast<std::uint8_t>(f.id) == id) return f;
  return std::nullopt;
}

constexpr std::string_view to_string(format_id id) {
  switch (id) {
    case format_id::bf16: return "bf16";
    case format_id::fp16: return "fp16";
    case format_id::e4m3: return "e4m3";
    case format_id::e5m2: return "e5m2";
  }
  return "unknown format";
}

template <std::uint32_t Bits>
struct pattern_of_bits {
  using type = std::uint8_t;
};
template <>
struct pattern_of_bits<16> {
  using type = std::uint16_t;
};

template <number_format Format>
struct pattern {
  static constexpr number_format kFormat = Format;
  using type = typename pattern_of_bits<kFormat.bits()>::type;
};

/// The unsigned integer that holds one pattern of a format.
template <number_format Format>
using pattern_of = typename pattern<Format>::type;

}  // namespace skv
