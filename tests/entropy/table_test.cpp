#include <gtest/gtest.h>
#include <skv/entropy/table.hpp>

#include "support/frequencies.hpp"

namespace skv {
namespace {

std::uint32_t divide(std::uint32_t x, const divider& d) {
  return static_cast<std::uint32_t>((std::uint64_t{x + d.increment} * d.multiplier) >> 32) >>
         d.shift;
}

// Both the true and the computed quotient only step up at multiples, or one before or after them,
// and the error of the multiplier grows with x: the largest quotients decide. Others are sampled.
TEST(divider, is_exact_for_every_divisor_up_to_its_bound) {
  test::random_source random(1);
  for (std::uint32_t divisor = 1; divisor <= kSlots; ++divisor) {
    const divider d = divider::of(divisor);
    ASSERT_LE(d.shift, kProbabilityBits);
    ASSERT_LE(d.increment, 1u);
    const std::uint64_t bound = std::uint64_t{divisor} << (32 - kProbabilityBits);
    const auto quotients = static_cast<std::uint32_t>(bound / divisor);
    const auto check = [&](std::uint64_t x) {
      if (x >= bound || (x + d.increment) >> 32 != 0) return;
      const auto n = static_cast<std::uint32_t>(x);
      ASSERT_EQ(divide(n, d), n / divisor) << n << " / " << divisor;
    };
    const auto around = [&](std::uint64_t quotient) {
      for (std::uint64_t more = 0; more < 3; ++more) check(quotient * divisor + more - 1);
    };
    check(0);
    for (std::uint32_t i = 1; i < 2000; ++i) around(i);
    for (std::uint32_t i = 0; i < 2000; ++i) around(quotients - i);
    for (std::uint32_t i = 0; i < 4000; ++i) around(1 + random.below(quotients));
    for (std::uint32_t i = 0; i < 4000; ++i) check(random.next() % bound);
    for (std::uint32_t i = 0; i < 32; ++i) check((std::uint64_t{1} << i) - 1);
  }
}

// x + increment wraps for this one state; the quotient is multiplied by kSlots - divisor = 0.
TEST(divider, only_one_state_is_beyond_it) {
  const divider d = divider::of(kSlots);
  EXPECT_EQ(d.increment, 1u);
  EXPECT_EQ(divide(0xfffffffe, d), 0xfffffffe / kSlots);
  for (std::uint32_t divisor = 1; divisor < kSlots; ++divisor) {
    const std::uint64_t bound = std::uint64_t{divisor} << (32 - kProbabilityBits);
    EXPECT_LE(bound - 1 + divider::of(divisor).increment, 0xffffffffu) << divisor;
  }
}

// A constant expression: tables can be made while compiling.
static_assert(divider::of(3).multiplier != 0);

template <class Tokens>
void check_decode_table(const test::frequencies& f) {
  using namespace decode_entry;
  std::vector<std::uint32_t> entries(kSlots, 0xffffffff);
  fill_decode_table<Tokens>(f, entries);
  std::uint32_t slot = 0;
  for (std::uint32_t token = 0; token < Tokens::kCount; ++token)
    for (std::uint32_t i = 0; i < f[token]; ++i) {
      const std::uint32_t e = entries[slot++];
      ASSERT_EQ(e >> kFrequencyShift & 0x3ff, f[token]) << "token " << token;
      ASSERT_EQ(e & (kSlots - 1), i) << "token " << token;
      ASSERT_EQ(e >> kTokenShift & 0xfff, token);
      ASSERT_EQ(e >> kEscapeShift != 0, token == Tokens::kEscape);
    }
  ASSERT_EQ(slot, kSlots);
}

template <class Tokens>
void check_encode_table(const test::frequencies& f) {
  using namespace encode_entry;
  std::vector<std::uint32_t> words(kMaxTokens * kWords, 0xffffffff);
  fill_encode_table<Tokens>(f, words);
  std::uint32_t start = 0;
  for (std::uint32_t token = 0; token < Tokens::kCount; start += f[token++]) {
    const std::uint32_t at = token == Tokens::kEscape ? kEscapeAt : kFirst + token;
    const std::uint32_t packed = words[2 * at + 1];
    ASSERT_EQ(packed & kComplementMask, kSlots - f[token]) << "token " << token;
    if (f[token] == 0) continue;
    ASSERT_EQ(packed >> kStartShift & kStartMask, start) << "token " << token;
    const divider d{words[2 * at], packed >> kDivideShift & 31, packed >> kIncrementShift};
    const divider expected = divider::of(f[token]);
    ASSERT_EQ(d.multiplier, expected.multiplier) << "token " << token;
    ASSERT_EQ(d.shift, expected.shift) << "token " << token;
    ASSERT_EQ(d.increment, expected.increment) << "token " << token;
  }
  for (const std::uint32_t at : {0u, kAbove})
    ASSERT_EQ(words[2 * at + 1], kSlots) << "beside the tokens there is none with a frequency";
}

template <class Tokens>
void check_tables() {
  const auto check = [&](const test::frequencies& f) {
    check_decode_table<Tokens>(f);
    check_encode_table<Tokens>(f);
  };
  check(test::equal_frequencies(Tokens::kCount));
  for (std::uint32_t token = 0; token < Tokens::kCount; ++token)
    check(test::single_token(Tokens::kCount, token));
  test::random_source random(2);
  for (int i = 0; i < 100; ++i) check(test::random_frequencies(Tokens::kCount, random));
}

TEST(tables, entries_hold_what_they_are_made_of) {
  check_tables<residual_tokens>();
  check_tables<exponent_tokens>();
}

}  // namespace
}  // namespace skv
