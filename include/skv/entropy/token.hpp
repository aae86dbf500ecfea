// Tokens: what the tables give probabilities to. docs/format.md, section "Tokens".
#pragma once

#include <cstdint>

namespace skv {

/// Both alphabets have a token for each of `kEscape` successive integers, in ascending order, and the
/// escape for all others: a number behind it is coded by itself.
template <std::uint32_t Below>
struct token_alphabet {
  static constexpr std::uint32_t kBelow = Below;  ///< the token of 0
  static constexpr std::uint32_t kEscape = 29;
  static constexpr std::uint32_t kCount = kEscape + 1;

  static constexpr std::int32_t value(std::uint32_t token) {
    return static_cast<std::int32_t>(token) - static_cast<std::int32_t>(kBelow);
  }
};

/// Tokens of residuals, -14 ... 14.
using residual_tokens = token_alphabet<14>;

/// Tokens of exponents relative to the scale of their channel, -25 ... 3, coded where there is no
/// prediction.
using exponent_tokens = token_alphabet<25>;

/// A context's tables have room for as many: the tokens, and one at either end for what has none.
inline constexpr std::uint32_t kMaxTokens = 32;

}  // namespace skv
