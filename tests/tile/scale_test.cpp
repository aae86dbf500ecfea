// Scales: floors and contexts against signed integers, for every code and exponent.
#include <gtest/gtest.h>
#include <skv/scale/per_channel.hpp>

#include <algorithm>
#include <limits>

#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::plain_lanes;

template <number_format F>
void check_floors() {
  for (std::uint32_t code = 0; code < 256; ++code) {
    // The exponent field whose ulp is 2^(floor(log2 sigma) - shift).
    const int log2_step = static_cast<int>(code / kScaleLevels) - static_cast<int>(kScaleOrigin) -
                          static_cast<int>(kStepShift);
    const int field = log2_step + static_cast<int>(F.bias() + F.mantissa_bits);
    const int expected = std::clamp(field, 1, static_cast<int>(F.max_exponent()));
    ASSERT_EQ((floor_exponent<F, plain_lanes>(code)), static_cast<std::uint32_t>(expected)) << code;
  }
}

template <number_format F>
void check_contexts() {
  for (std::uint32_t code = 0; code < 256; ++code)
    for (std::uint32_t exponent = floor_exponent<F, plain_lanes>(code);
         exponent <= F.max_exponent(); ++exponent) {
      const int log2_ulp = static_cast<int>(exponent) - static_cast<int>(F.bias()) -
                           static_cast<int>(F.mantissa_bits);
      const int levels = static_cast<int>(kScaleLevels);
      const int above =
          static_cast<int>(code) - levels * (log2_ulp + static_cast<int>(kScaleOrigin));
      const int expected = std::clamp(above + static_cast<int>(kContextsBelow), 0,
                                      static_cast<int>(kScaleContexts) - 1);
      const std::uint32_t octaves = exponent - floor_exponent<F, plain_lanes>(code);
      const std::uint32_t top = top_context<F, plain_lanes>(code);
      const auto context = static_cast<std::uint32_t>(expected);
      ASSERT_EQ((scale_context<plain_lanes, 0, 0>(top, octaves)), context)
          << "code " << code << ", exponent " << exponent;
      ASSERT_EQ((scale_context<plain_lanes, 9, 7>(top << 9, octaves << 7)), context << 9);
      ASSERT_EQ((scale_context<plain_lanes, 6, 10>(top << 6, octaves << 10)), context << 6);
    }
}

TEST(scale, floors_are_the_formula) {
  check_floors<bf16>();
  check_floors<fp16>();
  check_floors<e4m3>();
  check_floors<e5m2>();
}

TEST(scale, contexts_are_the_formula) {
  check_contexts<bf16>();
  check_contexts<fp16>();
  check_contexts<e4m3>();
  check_contexts<e5m2>();
}

// The highest context is that of a mean below the step: nothing is clamped away above it.
TEST(scale, the_contexts_suffice) {
  for (std::uint32_t code = 0; code < 256; ++code) {
    const std::uint32_t floor = floor_exponent<bf16, plain_lanes>(code);
    const int above = static_cast<int>(code) -
                      4 * (static_cast<int>(floor) - 127 - 7 + static_cast<int>(kScaleOrigin));
    ASSERT_LT(above + static_cast<int>(kContextsBelow), static_cast<int>(kScaleContexts)) << code;
  }
}

TEST(scale, codes_are_quarter_octaves_above_2_to_the_minus_40) {
  EXPECT_EQ(to_scale_code(1.0), 160);
  EXPECT_EQ(to_scale_code(2.0), 164);
  EXPECT_EQ(to_scale_code(0.5), 156);
  EXPECT_EQ(to_scale_code(std::exp2(0.25)), 161);
  EXPECT_EQ(to_scale_code(std::exp2(0.13)), 161);
  EXPECT_EQ(to_scale_code(std::exp2(0.12)), 160);
  EXPECT_EQ(to_scale_code(std::exp2(-40)), 0);
  EXPECT_EQ(to_scale_code(std::exp2(23.75)), 255);
}

TEST(scale, any_double_has_a_code) {
  EXPECT_EQ(to_scale_code(0.0), 0);
  EXPECT_EQ(to_scale_code(-1.0), 0);
  EXPECT_EQ(to_scale_code(std::exp2(-41)), 0);
  EXPECT_EQ(to_scale_code(std::numeric_limits<double>::denorm_min()), 0);
  EXPECT_EQ(to_scale_code(std::numeric_limits<double>::quiet_NaN()), 0);
  EXPECT_EQ(to_scale_code(std::numeric_limits<double>::infinity()), 255);
  EXPECT_EQ(to_scale_code(std::exp2(24)), 255);
}

}  // namespace
}  // namespace skv
