// Tokens: what the tables give probabilities to. docs/format.md, section "Tokens".
#pragma once

#include <cstdint>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// What a token stands for: the values base ^ raw, raw being `bits` raw bits.
struct token_value {
  std::int32_t base;
  std::uint32_t bits;
};

/// Tokens of residuals: a hybrid-uint code of magnitudes, the sign in the lowest bit. Residuals are
/// 0, 1, 2, ... and, negative, -1 - 0, -1 - 1, ...; magnitudes below 8 have tokens of their own;
/// above, every half octave has two. From 64 on there is only the escape.
///
///   d = 5 -> token 10;   d = -1 -> token 1;   d = -14 = -1 - (12 + 1) -> token 19, raw bits 01
struct residual_tokens {
  static constexpr std::uint32_t kDirect = 8;
  static constexpr std::uint32_t kLimit = 64;
  static constexpr std::uint32_t kEscape = 28;
  static constexpr std::uint32_t kCount = kEscape + 1;

  static constexpr token_value value(std::uint32_t token) {
    const std::uint32_t half_octave = token / 2;
    token_value v{static_cast<std::int32_t>(half_octave), 0};
    if (half_octave >= kDirect) {
      v.bits = (half_octave - kDirect) / 2 + 2;
      v.base = static_cast<std::int32_t>((2 + half_octave % 2) << v.bits);
    }
    if (token % 2 != 0) v.base = ~v.base;
    return v;
  }

  template <class Lanes>
  struct split {
    typename Lanes::u32 token;
    typename Lanes::u32 bits;   ///< number of raw bits: the lowest ones of the magnitude
    typename Lanes::u32 above;  ///< ones above the raw bits
  };

  /// Splits the residual of a magnitude below kLimit and a sign (0 or 1). Of kLimit the token is
  /// beyond those that there are.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE split<Lanes> of(U32 magnitude, U32 sign) {
    // As a float, exponent and the highest mantissa bit count half octaves; from 4 on they are not
    // below the magnitude itself.
    const U32 half_octave = Lanes::min(magnitude, (Lanes::float_bits(magnitude) >> 22) - 252);
    const U32 bits = Lanes::zero_unless(half_octave >= U32(kDirect), (half_octave >> 1) - 2);
    return {half_octave + half_octave + sign, bits, U32(~0u) << bits};
  }
};

/// Tokens of exponents relative to the scale of their channel, coded where there is no prediction;
/// farther ones are escapes.
struct exponent_tokens {
  static constexpr std::uint32_t kBelow = 26;  ///< token of an exponent field equal to the scale's
  static constexpr std::uint32_t kEscape = 31;
  static constexpr std::uint32_t kCount = kEscape + 1;

  static constexpr token_value value(std::uint32_t token) {
    return {static_cast<std::int32_t>(token), 0};
  }
};

/// No alphabet has more tokens.
inline constexpr std::uint32_t kMaxTokens = 32;

}  // namespace skv
