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

u32 slow_dropped_bits(number_format f, u32 q, u32 floor) {
  int log = 0;
  while (q >> (log + 1)) ++log;
  return static_cast<u32>(
      std::max(0, std::min(static_cast<int>(f.mantissa_bits) - log, static_cast<int>(floor) - 1)));
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
      const auto [q, above] = to_steps<F, plain_lanes>(u, floor << F.mantissa_bits);
      ASSERT_EQ(q, slow_steps(F, u, floor)) << "u " << u << ", floor " << floor;
      ASSERT_EQ(above, (std::max(floor, u >> F.mantissa_bits) - floor) << F.mantissa_bits);
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

TYPED_TEST(step_floor, steps_and_dropped_bits_are_the_pattern) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      const u32 q = to_steps<F, plain_lanes>(u, floor << F.mantissa_bits).steps;
      if (q == 0) continue;
      const u32 n = dropped_bits<F, plain_lanes>(q, floor << F.mantissa_bits);
      ASSERT_EQ(n, slow_dropped_bits(F, q, floor)) << "q " << q << ", floor " << floor;
      const u32 raw = u & ((1u << n) - 1);
      ASSERT_EQ((from_steps<F, plain_lanes>(q << n | raw, n, floor << F.mantissa_bits)), u)
          << "q " << q << ", n " << n << ", floor " << floor;
    }
}

// What a decoder may read: every q up to the largest with every raw value is a pattern of its own.
TYPED_TEST(step_floor, any_steps_and_raw_bits_are_a_pattern) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 q = 1; q <= max_steps<F, plain_lanes>(floor << F.mantissa_bits); ++q) {
      const u32 n = dropped_bits<F, plain_lanes>(q, floor << F.mantissa_bits);
      for (u32 raw = 0; raw < 1u << n; ++raw) {
        const u32 u = from_steps<F, plain_lanes>(q << n | raw, n, floor << F.mantissa_bits);
        ASSERT_LE(u, F.magnitude_mask());
        ASSERT_EQ((to_steps<F, plain_lanes>(u, floor << F.mantissa_bits).steps), q);
        ASSERT_EQ(u & ((1u << n) - 1), raw);
      }
    }
}

// Of any q, only M bits are ever dropped; the zero bin, q = 0, has one more if the floor allows.
TYPED_TEST(step_floor, dropped_bits_are_at_most_the_mantissa) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 q = 0; q < 1u << 16; ++q)
      ASSERT_LE((dropped_bits<F, plain_lanes>(q, floor << F.mantissa_bits)),
                F.mantissa_bits + (q == 0));
}

template <number_format F, u32 MinFloor>
void check_zero_bin_codes() {
  for (u32 floor = MinFloor; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      if (slow_steps(F, u, floor) != 0) break;
      const auto code = zero_bin_encode<F, plain_lanes, MinFloor>(u, floor << F.mantissa_bits);
      ASSERT_LE(code.width, 16u);
      if (code.deep) continue;
      ASSERT_EQ(code.bits >> code.width, 0u) << "u " << u << ", floor " << floor;
      for (const u32 above : {0u, 0xffffffffu, 0x5a5a5a5au}) {
        const u32 word = (code.bits | above << code.width) & 0xffff;
        const auto value =
            zero_bin_decode<F, plain_lanes, MinFloor>(word, floor << F.mantissa_bits);
        ASSERT_EQ(value.magnitude, u) << "floor " << floor << ", word " << word;
        ASSERT_EQ(value.width, code.width);
      }
    }
}

TYPED_TEST(step_floor, zero_bin_codes_come_back) { check_zero_bin_codes<TypeParam::kFormat, 1>(); }

// Without the cases that floors known to be larger cannot have: the same results.
TYPED_TEST(step_floor, a_known_smallest_floor_changes_nothing) {
  constexpr number_format F = TypeParam::kFormat;
  constexpr u32 M = F.mantissa_bits;
  check_zero_bin_codes<F, M + 1>();
  check_zero_bin_codes<F, M + 2>();
  for (u32 floor = M; floor <= F.max_exponent(); ++floor)
    for (u32 q = 1; q <= max_steps<F, plain_lanes>(floor << F.mantissa_bits); ++q) {
      const u32 expected = dropped_bits<F, plain_lanes>(q, floor << F.mantissa_bits);
      ASSERT_EQ((dropped_bits<F, plain_lanes, M>(q, floor << F.mantissa_bits)), expected);
      if (floor > M) {
        ASSERT_EQ((dropped_bits<F, plain_lanes, M + 1>(q, floor << F.mantissa_bits)), expected);
      }
    }
  for (u32 floor = M + 2; floor <= F.max_exponent(); ++floor) {
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      const auto code = zero_bin_encode<F, plain_lanes, M + 2>(u, floor << F.mantissa_bits);
      const auto expected = zero_bin_encode<F, plain_lanes>(u, floor << F.mantissa_bits);
      ASSERT_TRUE(code.bits == expected.bits && code.width == expected.width &&
                  code.deep == expected.deep);
    }
    for (u32 word = 0; word < 1u << 16; ++word) {
      const auto value = zero_bin_decode<F, plain_lanes, M + 2>(word, floor << F.mantissa_bits);
      const auto expected = zero_bin_decode<F, plain_lanes>(word, floor << F.mantissa_bits);
      ASSERT_TRUE(value.magnitude == expected.magnitude && value.width == expected.width);
    }
  }
}

TYPED_TEST(step_floor, only_the_deepest_zeros_have_no_code) {
  constexpr number_format F = TypeParam::kFormat;
  constexpr u32 M = F.mantissa_bits;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u) {
      if (slow_steps(F, u, floor) != 0) break;
      // The upper binade of the bin is that of half a step: exponent field floor - M - 1.
      const int depth =
          static_cast<int>(floor) - static_cast<int>(M) - 1 - static_cast<int>(u >> M);
      const bool deep = floor > M + 1 && depth >= static_cast<int>(kZeroBinDepth);
      ASSERT_EQ((zero_bin_encode<F, plain_lanes>(u, floor << F.mantissa_bits).deep != 0), deep)
          << "u " << u << ", floor " << floor;
    }
}

TYPED_TEST(step_floor, encoding_what_is_not_in_the_zero_bin_is_harmless) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 u = 0; u <= F.magnitude_mask(); ++u)
      ASSERT_LE((zero_bin_encode<F, plain_lanes>(u, floor << F.mantissa_bits).width), 16u);
}

TYPED_TEST(step_floor, any_word_is_a_magnitude_of_the_zero_bin) {
  constexpr number_format F = TypeParam::kFormat;
  for (u32 floor = 1; floor <= F.max_exponent(); ++floor)
    for (u32 word = 0; word < 1u << 16; ++word) {
      const auto value = zero_bin_decode<F, plain_lanes>(word, floor << F.mantissa_bits);
      ASSERT_LE(value.width, 16u);
      ASSERT_LE(value.magnitude, F.magnitude_mask());
      ASSERT_EQ(slow_steps(F, value.magnitude, floor), 0u)
          << "word " << word << ", floor " << floor;
    }
}

TEST(step_floor_example, the_comment_is_right) {
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x2Bu, 0x28u).steps), 11u);
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x1Bu, 0x28u).steps), 11u >> 2);
  EXPECT_EQ((to_steps<e4m3, plain_lanes>(0x33u, 0x28u).steps), 19u);
}

}  // namespace
}  // namespace skv
