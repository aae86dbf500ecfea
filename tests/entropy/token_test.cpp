#include <gtest/gtest.h>
#include <skv/entropy/table.hpp>
#include <skv/entropy/token.hpp>

#include <set>

#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::plain_lanes;
using tokens = residual_tokens;

// The residual that a token stands for with its raw bits.
std::int32_t residual(token_value v, std::uint32_t raw) {
  return v.base ^ static_cast<std::int32_t>(raw);
}

TEST(residual_tokens, of_and_value_are_inverse) {
  for (std::uint32_t magnitude = 0; magnitude < tokens::kLimit; ++magnitude)
    for (const std::uint32_t sign : {0u, 1u}) {
      const auto s = tokens::of<plain_lanes>(magnitude, sign);
      ASSERT_LT(s.token, tokens::kEscape) << magnitude;
      const token_value v = tokens::value(s.token);
      ASSERT_EQ(v.bits, s.bits) << magnitude;
      ASSERT_EQ(s.above, ~0u << s.bits) << magnitude;
      const auto m = static_cast<std::int32_t>(magnitude);
      ASSERT_EQ(residual(v, magnitude & ~s.above), sign == 0 ? m : -1 - m);
    }
}

TEST(residual_tokens, cover_every_residual_once) {
  std::multiset<std::int32_t> covered;
  for (std::uint32_t token = 0; token < tokens::kEscape; ++token) {
    const token_value v = tokens::value(token);
    ASSERT_LE(v.bits, kBitsWithToken);
    for (std::uint32_t raw = 0; raw < 1u << v.bits; ++raw) covered.insert(residual(v, raw));
  }
  EXPECT_EQ(covered.size(), 2 * tokens::kLimit);
  for (std::int32_t d = -static_cast<std::int32_t>(tokens::kLimit);
       d < static_cast<std::int32_t>(tokens::kLimit); ++d)
    EXPECT_EQ(covered.count(d), 1u) << d;
}

TEST(residual_tokens, the_comment_is_right) {
  EXPECT_EQ(tokens::of<plain_lanes>(5u, 0u).token, 10u);
  EXPECT_EQ(tokens::of<plain_lanes>(0u, 1u).token, 1u);
  const auto s = tokens::of<plain_lanes>(13u, 1u);
  EXPECT_EQ(s.token, 19u);
  EXPECT_EQ(s.bits, 2u);
  EXPECT_EQ(13u & ~s.above, 1u);
}

TEST(exponent_tokens, are_their_values) {
  for (std::uint32_t token = 0; token < exponent_tokens::kEscape; ++token) {
    EXPECT_EQ(exponent_tokens::value(token).base, static_cast<std::int32_t>(token));
    EXPECT_EQ(exponent_tokens::value(token).bits, 0u);
  }
}

template <class Tokens>
void check_fields() {
  EXPECT_LE(Tokens::kCount, kMaxTokens);
  for (std::uint32_t token = 0; token < Tokens::kEscape; ++token) {
    const std::int32_t base = Tokens::value(token).base;
    EXPECT_TRUE(base >= -128 && base < 128) << token;
    EXPECT_LT(Tokens::value(token).bits, decode_entry::kEscapeBits) << token;
  }
}

TEST(tokens, fit_the_tables) {
  check_fields<residual_tokens>();
  check_fields<exponent_tokens>();
}

}  // namespace
}  // namespace skv
