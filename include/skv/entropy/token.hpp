// Tokens: what the tables give probabilities to. docs/format.md, section "Tokens".
#pragma once

#include <cstdint>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// What a token stands for: the values base ... base + 2^bits - 1, told apart by raw bits.
struct token_value {
  std::uint32_t base;
  std::uint32_t bits;
};

/// Tokens of residuals: a hybrid-uint code of zigzag integers. Values below 16 have a token each;
/// above, every half octave has one. From 128 on there is only the escape.
///
///   z = 5 -> token 5;   z = 27 = 24 + 3 -> token 17, 3 raw bits 011;   z = 128 -> escape
struct residual_tokens {
  static constexpr std::uint32_t kDirect = 16;
  static constexpr std::uint32_t kLimit = 128;
  static constexpr std::uint32_t kEscape = 22;
  static constexpr std::uint32_t kCount = kEscape + 1;

  static constexpr token_value value(std::uint32_t token) {
    if (token < kDirect) return {token, 0};
    const std::uint32_t bits = (token - kDirect) / 2 + 3;
    return {(2 + token % 2) << bits, bits};
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  struct split {
    U32 token;
    U32 bits;  ///< number of raw bits
  };

  /// The token of `z` and its number of raw bits, which are the low bits of z; z < kLimit.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE split<Lanes> of(U32 z) {
    const auto direct = z < U32(kDirect);
    const U32 bits = Lanes::select(direct, U32(0), Lanes::floor_log2(z) - 1);
    return {(z >> bits) + Lanes::select(direct, U32(0), bits + bits + (kDirect / 2)), bits};
  }
};

/// Tokens of exponents relative to the scale of their channel, coded where there is no prediction;
/// farther ones are escapes.
struct exponent_tokens {
  static constexpr std::uint32_t kBelow = 26;  ///< token of an exponent field equal to the scale's
  static constexpr std::uint32_t kEscape = 31;
  static constexpr std::uint32_t kCount = kEscape + 1;

  static constexpr token_value value(std::uint32_t token) { return {token, 0}; }
};

/// No alphabet has more tokens.
inline constexpr std::uint32_t kMaxTokens = 32;

/// Signed integers of small magnitude as small unsigned ones: 0, -1, 1, -2, ... -> 0, 1, 2, 3, ...
template <class U32>
SKV_INLINE U32 zigzag(U32 d) {
  return (d << 1) ^ (U32(0) - (d >> 31));
}
template <class U32>
SKV_INLINE U32 unzigzag(U32 z) {
  return (z >> 1) ^ (U32(0) - (z & 1));
}

}  // namespace skv
