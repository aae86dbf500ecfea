#include <gtest/gtest.h>
#include <skv/entropy/table.hpp>
#include <skv/entropy/token.hpp>

namespace skv {
namespace {

template <class Tokens>
void check_range(std::int32_t first, std::int32_t last) {
  EXPECT_EQ(Tokens::value(0), first);
  EXPECT_EQ(Tokens::value(Tokens::kBelow), 0);
  EXPECT_EQ(Tokens::value(Tokens::kEscape - 1), last);
  EXPECT_EQ(Tokens::kCount, Tokens::kEscape + 1);
  EXPECT_LE(encode_entry::kFirst + Tokens::kEscape, encode_entry::kAbove);
  for (std::uint32_t token = 0; token < Tokens::kEscape; ++token)
    EXPECT_EQ(Tokens::value(token), first + static_cast<std::int32_t>(token));
}

TEST(tokens, stand_for_successive_integers) {
  check_range<residual_tokens>(-14, 14);
  check_range<exponent_tokens>(-25, 3);
}

}  // namespace
}  // namespace skv
