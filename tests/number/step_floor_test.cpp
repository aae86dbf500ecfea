// Every magnitude of every format under every floor, against docs/format.md, "Step-floored
// integers", written out slowly.
#include <gtest/gtest.h>
#include <skv/number/step_floor.hpp>

#include <algorithm>

#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::plain_lanes;
using u32 = std::uint32_t;

// A magnitude is significand * 2^exponent ulps of the smallest subnormal's binade, and q the whole
// steps in it: real arithmetic, no bit patterns.
u32 slow_steps(number_format f, u32 u, u32 floor) {
  const u32 per_binade = 1u << f.mantissa_bits;
  const u32 field = u / per_binade, mantissa = u % per_binade;
  const u32 exponent = field == 0 ? 1 : field;
  const u32 significand = field == 0 ? mantissa : mantissa + per_binade;
  if (exponent >= floor) return u - (floor - 1) * per_binade;
  u32 q = significand;
  for (u32 e = exponent; e < floor; ++e) q /= 2;  // floor of a floor: truncation at any depth
  return q;
}

u32 slow_dropped(number_format f, u32 u, u32 floor) {
  const u32 exponent = std::max(u >> f.mantissa_bits, 1u);
  return floor > exponent ? floor - exponent : 0;
}

template <class Format>
struct step_floor : testing::Test {};
template <number_format F>
struct of {
  static constexpr number_format kFormat = F;
};
using formats = testing::Types<of<bf16>, of<fp16>, of<e4m3>, of<e5m2>>;
TYPED_TEST_SUITE(step_floor, formats);

TYPED_TEST(step_floor, to_steps_is_the_formula) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      const auto s = to_steps<F, plain_lanes>(u, floor << F.mantissa_bits);
      ASSERT_EQ(s.steps, slow_steps(F, u, floor)) << "u " << u << ", floor " << floor;
      ASSERT_EQ(s.above, (std::max(floor, u >> F.mantissa_bits) - floor) << F.mantissa_bits);
      ASSERT_EQ(s.dropped, slow_dropped(F, u, floor)) << "u " << u << ", floor " << floor;
    }
}

TYPED_TEST(step_floor, to_steps_is_monotone_and_skips_nothing) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor) {
    u32 before = to_steps<F, plain_lanes>(0u, floor << F.mantissa_bits).steps;
    ASSERT_EQ(before, 0u);
    for (u32 u = 1; u <= F.magnitude_mask(); ++u) {
      const u32 q = to_steps<F, plain_lanes>(u, floor << F.mantissa_bits).steps;
      ASSERT_LE(before, q) << "u " << u << ", floor " << floor;
      ASSERT_LE(q, before + 1) << "u " << u << ", floor " << floor;
      before = q;
    }
    ASSERT_EQ(before, (max_steps<F, plain_lanes>(floor << F.mantissa_bits))) << "floor " << floor;
  }
}

// q and the bits that it dropped, as digits in front of any others, give the pattern again.
template <number_format F, u32 MinFloor>
void check_digits() {
  constexpr u32 M = F.mantissa_bits;
  u32 others = 1;
  for (u32 floor = MinFloor; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      const auto s = to_steps<F, plain_lanes, MinFloor>(u, floor << M);
      ASSERT_EQ(s.steps, slow_steps(F, u, floor));
      if (s.dropped >= kMaxDigits) continue;
      others = others * 5 + 3;
      // The digits from the highest bit on: the last one of the significand is the last one.
      const u32 low = s.significand & ((1u << s.dropped) - 1);
      u32 digits = others;
      for (u32 i = 0; i < s.dropped; ++i) digits = digits >> 1 | (low >> i & 1) << 31;
      const u32 n = count_digits<F, plain_lanes, MinFloor>(s.steps, digits, floor << M);
      ASSERT_EQ(n, s.dropped) << "u " << u << ", floor " << floor << ", digits " << digits;
      const u32 q_and_dropped = plain_lanes::append_top(s.steps, digits, n);
      ASSERT_EQ((from_steps<F, plain_lanes>(q_and_dropped, n, floor << M)), u) << floor;
    }
}

TYPED_TEST(step_floor, steps_and_digits_are_the_pattern) { check_digits<TypeParam::kFormat, 1>(); }

// Without the cases that floors known to be larger cannot have: the same results.
TYPED_TEST(step_floor, a_known_smallest_floor_changes_nothing) {
  constexpr number_format F = TypeParam::kFormat;
  check_digits<F, F.mantissa_bits + 1>();
  check_digits<F, F.mantissa_bits + 2>();
  if constexpr (F.max_exponent() > kMaxDigits) {
    check_digits<F, kMaxDigits - 1>();
    check_digits<F, kMaxDigits>();
    check_digits<F, kMaxDigits + 1>();
  }
}

// What a decoder may read: every q up to the largest with any digits is a pattern with that q.
TYPED_TEST(step_floor, any_steps_and_digits_are_a_pattern) {
  constexpr number_format F = TypeParam::kFormat;
  u32 digits = 1;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 q = 0; q <= max_steps<F, plain_lanes>(floor << F.mantissa_bits); ++q)
      for (int i = 0; i < (q < 64 ? 32 : 1); ++i) {
        digits = digits * 0x9E3779B5 + 77;
        const u32 n = count_digits<F, plain_lanes>(q, digits >> i, floor << F.mantissa_bits);
        ASSERT_LE(n, kMaxDigits);
        const u32 u = from_steps<F, plain_lanes>(plain_lanes::append_top(q, digits >> i, n), n,
                                                 floor << F.mantissa_bits);
        ASSERT_LE(u, F.magnitude_mask());
        ASSERT_EQ((to_steps<F, plain_lanes>(u, floor << F.mantissa_bits).steps), q)
            << "floor " << floor << ", digits " << (digits >> i);
      }
}

// Digits that no encoder writes: never more than there is room for.
TYPED_TEST(step_floor, digits_of_anything_are_few) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 q = 0; q < 1u << 16; ++q)
      for (const u32 digits : {0u, 1u, 0xffffffffu, 0x00010000u, 0x80000000u})
        ASSERT_LE((count_digits<F, plain_lanes>(q, digits, floor << F.mantissa_bits)), kMaxDigits);
}

TEST(step_floor_example, the_comment_is_right) {
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x2Bu, 0x28u).steps), 11u);
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x1Bu, 0x28u).steps), 11u >> 2);
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x33u, 0x28u).steps), 19u);
}

}  // namespace
}  // namespace skv
