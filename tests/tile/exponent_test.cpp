// Exponent coding as arithmetic: every number under every scale code.
#include <gtest/gtest.h>
#include <skv/tile/exponent.hpp>

#include "support/effort.hpp"
#include "support/push_pop.hpp"

namespace skv {
namespace {

using test::fault;
using test::plain_lanes;
using u32 = std::uint32_t;

template <class Format>
struct exponent : testing::Test {};
template <number_format F>
struct of {
  static constexpr number_format kFormat = F;
};
using formats = testing::Types<of<bf16>, of<fp16>, of<e4m3>, of<e5m2>>;
TYPED_TEST_SUITE(exponent, formats);

TYPED_TEST(exponent, every_number_comes_back) {
  constexpr number_format F = TypeParam::kFormat;
  using coding = exponent_coding<F>;
  const test::table_pair tables = test::varied_tables<coding>();
  test::random_source random(1);
  for (u32 code = 0; code < 256; ++code)
    for (u32 number = 0; number < 1u << F.bits(); number += test::kStride) {
      const u32 state = test::any_state(random);
      const fault f = test::push_and_pop<coding>(tables, state, code, random.bits(), number);
      ASSERT_EQ(static_cast<int>(f), 0)
          << "number " << number << ", code " << code << ", state " << state;
    }
}

TYPED_TEST(exponent, tokens_count_from_the_scale) {
  constexpr number_format F = TypeParam::kFormat;
  using coding = exponent_coding<F>;
  for (u32 code = 0; code < 256; ++code)
    for (u32 field = 0; field <= F.max_exponent(); ++field) {
      const auto p = test::whole_plan<coding>(code, 0, field << F.mantissa_bits);
      const int log2_number = static_cast<int>(field) - static_cast<int>(F.bias());
      const int log2_scale = static_cast<int>(code / 4) - static_cast<int>(kScaleOrigin);
      const int token = log2_number - log2_scale + static_cast<int>(exponent_tokens::kBelow);
      const bool has_token = token >= 0 && token < static_cast<int>(exponent_tokens::kEscape);
      ASSERT_EQ(p.alphabet_token(), has_token ? static_cast<u32>(token) : exponent_tokens::kEscape)
          << "code " << code << ", field " << field;
      ASSERT_EQ(p.context, code % 4);
    }
}

TYPED_TEST(exponent, sign_and_mantissa_are_raw) {
  constexpr number_format F = TypeParam::kFormat;
  using coding = exponent_coding<F>;
  for (u32 number = 0; number < 1u << F.bits(); ++number) {
    const u32 raw = coding::template raw_bits<plain_lanes>(number);
    ASSERT_LT(raw, 1u << coding::kRawBits);
    ASSERT_EQ(raw & ((1u << F.mantissa_bits) - 1), number & ((1u << F.mantissa_bits) - 1));
    ASSERT_EQ(raw >> F.mantissa_bits, number >> F.magnitude_bits());
    ASSERT_EQ(coding::template plane_byte<plain_lanes>(number), raw & 0xff);
  }
}

TEST(exponent_planes, formats_with_eight_raw_bits_have_one) {
  EXPECT_TRUE(exponent_coding<bf16>::kPlane);
  EXPECT_TRUE(exponent_coding<fp16>::kPlane);
  EXPECT_FALSE(exponent_coding<e4m3>::kPlane);
  EXPECT_FALSE(exponent_coding<e5m2>::kPlane);
}

}  // namespace
}  // namespace skv
