// The integer steps of linear propagation against plain arithmetic on wider integers and reals.
#include <gtest/gtest.h>
#include <skv/number/value.hpp>
#include <skv/predict/linear.hpp>

#include <cmath>
#include <numbers>

#include "support/effort.hpp"
#include "support/patterns.hpp"
#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::kStride;
using L = test::plain_lanes;

std::int32_t as_signed(std::uint32_t a) { return static_cast<std::int32_t>(a); }
std::uint32_t as_bits(std::int64_t a) { return static_cast<std::uint32_t>(a); }

// To the nearest, halves away from zero.
std::int64_t rounded(std::int64_t a, std::uint32_t shift) {
  const std::int64_t size = shift == 0 ? std::abs(a)
                            : shift > 40
                                ? 0
                                : (std::abs(a) + (std::int64_t{1} << (shift - 1))) >> shift;
  return a < 0 ? -size : size;
}
std::int64_t clipped(std::int64_t a, std::int64_t limit) { return std::clamp(a, -limit, limit); }

template <class F>
void for_each_format(const F& f) {
  f.template operator()<bf16>();
  f.template operator()<fp16>();
  f.template operator()<e4m3>();
  f.template operator()<e5m2>();
}

// Halves away from zero, as doubles have it: all values are exact in them.
TEST(linear, fixed_point_is_the_nearest_and_saturates) {
  for_each_format([]<number_format F>() {
    for (std::uint32_t pattern = 0; pattern < 1u << F.bits(); pattern += kStride)
      for (std::uint32_t unit = 0; unit < 256; unit += F.bits() == 16 ? 7 : 1) {
        const auto fixed = to_fixed<F, L>(pattern, unit);
        const double value = to_double(F, pattern);
        ASSERT_EQ(fixed.has_no_value != 0, std::isnan(value)) << pattern;
        if (std::isnan(value)) continue;
        const double scaled = std::ldexp(value, static_cast<int>(unit) - 128);
        // What needs more than 28 - M bits to the left of a significand is the limit.
        const std::uint32_t magnitude = pattern & F.magnitude_mask();
        const int left = static_cast<int>(std::max(magnitude >> F.mantissa_bits, 1u) + unit) - 128 -
                         static_cast<int>(F.bias() + F.mantissa_bits);
        double expected = std::round(scaled);
        if (left > static_cast<int>(28 - F.mantissa_bits) && value != 0)
          expected = std::copysign(static_cast<double>(kFixedLimit), value);
        ASSERT_EQ(as_signed(fixed.value), expected) << pattern << ", unit " << unit;
        ASSERT_LE(std::abs(as_signed(fixed.value)), std::int32_t{kFixedLimit});
      }
  });
}

TEST(linear, patterns_come_back_from_fixed_point_and_are_the_nearest) {
  test::random_source random(1);
  for_each_format([&]<number_format F>() {
    for (int i = 0; i < 200000; ++i) {
      const std::uint32_t unit = random.below(256);
      const auto value = as_signed(random.bits() >> (2 + random.below(30)));
      const std::int32_t v = random.chance(0.5) ? value : -value;
      const std::uint32_t pattern = from_fixed<F, L>(as_bits(v), unit);
      ASSERT_EQ(pattern >> F.bits(), 0u);
      ASSERT_LE(pattern & F.magnitude_mask(), max_finite(F));
      ASSERT_TRUE(v != 0 || pattern == 0);
      // No neighbour is nearer; what rounds up to beyond the largest is the largest.
      const double wanted =
          std::fabs(std::ldexp(static_cast<double>(v), 128 - static_cast<int>(unit)));
      const std::uint32_t magnitude = pattern & F.magnitude_mask();
      ASSERT_EQ(pattern >> F.magnitude_bits(), v < 0 ? 1u : 0u);
      const double got = to_double(F, magnitude), off = std::fabs(got - wanted);
      if (magnitude > 0) {
        ASSERT_GE(std::fabs(to_double(F, magnitude - 1) - wanted), off);
      }
      if (magnitude < max_finite(F)) {
        const double above = std::fabs(to_double(F, magnitude + 1) - wanted);
        ASSERT_TRUE(above > off || (above == off && got > wanted)) << v << ", unit " << unit;
      }
    }
    // What is exact in a unit is the same again.
    for (std::uint32_t pattern = 0; pattern < 1u << F.bits(); pattern += kStride) {
      const std::uint32_t magnitude = pattern & F.magnitude_mask();
      if (magnitude == 0 || magnitude > max_finite(F)) continue;
      const std::uint32_t e = std::max(magnitude >> F.mantissa_bits, 1u);
      for (const std::uint32_t s : {0u, 3u, 28u - F.mantissa_bits}) {
        const int unit =
            static_cast<int>(s + 128 + F.bias() + F.mantissa_bits) - static_cast<int>(e);
        if (unit < 0 || unit > 255) continue;
        const auto u = static_cast<std::uint32_t>(unit);
        ASSERT_EQ((from_fixed<F, L>(to_fixed<F, L>(pattern, u).value, u)), pattern) << unit;
      }
    }
  });
}

TEST(linear, sines_are_nearest_integers) {
  for (std::uint32_t k = 0; k < kSineSteps; ++k) {
    const double exact = 32768 * std::sin(2 * std::numbers::pi * k / kSineSteps);
    const auto entry = as_signed(kSines.entries[2 * k]);
    ASSERT_EQ(entry, std::lround(exact)) << k;
    // What a library's sine may be off, and more, does not change the integer.
    ASSERT_GT(std::fabs(std::fabs(exact - std::floor(exact)) - 0.5), 1e-6) << k;
    const auto next = as_signed(kSines.entries[2 * ((k + 1) % kSineSteps)]);
    ASSERT_EQ(as_signed(kSines.entries[2 * k + 1]), next - entry);
  }
  for (std::uint64_t phase = 0; phase < std::uint64_t{1} << 32; phase += 9973 * kStride) {
    const double exact = 32768 * std::sin(2 * std::numbers::pi * std::ldexp(double(phase), -32));
    ASSERT_NEAR(as_signed(sine<L>(kSines.entries.data(), std::uint32_t(phase))), exact, 1.2);
  }
}

// Up to 2^24 and beyond: the phase is exact whatever the position.
TEST(linear, phases_are_exact) {
  test::random_source random(2);
  for (int i = 0; i < 200000; ++i) {
    const std::uint32_t position = i % 2 ? random.below(1u << 24) : random.edgy();
    const std::uint64_t frequency = i % 3 ? random.next() : 0 - random.next() % 1000;
    const std::uint64_t product = position * frequency;
    ASSERT_EQ(phase_at<L>(position, std::uint32_t(frequency >> 32), std::uint32_t(frequency)),
              std::uint32_t(product >> 32));
  }
}

TEST(linear, turning_there_and_back_is_the_identity_but_for_rounding) {
  test::random_source random(3);
  for (int i = 0; i < 200000; ++i) {
    const auto component = [&] {
      return std::int32_t(random.below(2 * kDeviationLimit + 1)) - std::int32_t(kDeviationLimit);
    };
    const std::int32_t x = component(), y = component();
    const std::uint32_t phase = random.bits();
    const std::uint32_t s = sine<L>(kSines.entries.data(), phase);
    const std::uint32_t c = sine<L>(kSines.entries.data(), phase + (1u << 30));
    const std::uint32_t other = sine<L>(kSines.entries.data(), 0 - phase);
    const auto back_x = as_signed(turned<L>(as_bits(x), as_bits(y), c, s));
    const auto back_y = as_signed(turned<L>(as_bits(y), as_bits(x), c, other));
    const double angle = 2 * std::numbers::pi * std::ldexp(double(phase), -32);
    ASSERT_NEAR(back_x, x * std::cos(angle) + y * std::sin(angle), 4);
    ASSERT_NEAR(back_y, y * std::cos(angle) - x * std::sin(angle), 4);
    if (std::hypot(x, y) > kDeviationLimit) continue;
    ASSERT_NEAR(as_signed(turned<L>(as_bits(back_x), as_bits(back_y), c, 0 - s)), x, 6);
    ASSERT_NEAR(as_signed(turned<L>(as_bits(back_y), as_bits(back_x), c, 0 - other)), y, 6);
  }
}

TEST(linear, what_has_no_value_deviates_by_nothing) {
  test::random_source random(4);
  for (int i = 0; i < 100000; ++i) {
    const std::uint32_t x = random.below(1u << 16), b = random.below(1u << 16);
    const std::uint32_t unit = 110 + random.below(60);
    const auto a = to_fixed<bf16, L>(x, unit), c = to_fixed<bf16, L>(b, unit);
    const std::int64_t expected =
        a.has_no_value | c.has_no_value
            ? 0
            : clipped(std::int64_t{as_signed(a.value)} - as_signed(c.value), kDeviationLimit);
    ASSERT_EQ(as_signed(deviation<bf16, bf16, L>(x, b, unit)), expected);
  }
  for (const std::uint32_t no_value : {0x7f80u, 0xff80u, 0x7fc0u, 0xffffu}) {
    EXPECT_EQ((deviation<bf16, bf16, L>(no_value, 0x3f80u, 140u)), 0u);
    EXPECT_EQ((deviation<bf16, bf16, L>(0x3f80u, no_value, 140u)), 0u);
    EXPECT_EQ((corrected<bf16, L>(no_value, 12345u, 140u)), no_value);
  }
}

TEST(linear, innovations_and_sums_saturate_and_round_as_written) {
  test::random_source random(5);
  for (int i = 0; i < 300000; ++i) {
    const auto d = clipped(as_signed(random.edgy()), kDeviationLimit);
    const auto centre = clipped(as_signed(random.edgy()), kDeviationLimit);
    const std::uint32_t shift = random.below(256);
    ASSERT_EQ(as_signed(innovation<L>(as_bits(d), as_bits(centre), shift)),
              clipped(rounded(d - centre, shift), kInnovationLimit));
    const std::int64_t sum = clipped(as_signed(random.edgy()), (1 << 30) - 1);
    const std::uint32_t multiplier = random.below(1u << 15);
    ASSERT_EQ(as_signed(scaled_sum<L>(as_bits(sum), multiplier, shift)),
              rounded(clipped(rounded(sum, shift), kDeviationLimit) * multiplier, 12))
        << sum << " " << multiplier << " " << shift;
  }
}

TEST(linear, means_of_large_and_small_bases_stay_in_the_format) {
  test::random_source random(6);
  for_each_format([&]<number_format F>() {
    for (int i = 0; i < 100000; ++i) {
      const std::uint32_t base = random.below(1u << F.bits()), unit = random.below(256);
      const std::uint32_t correction = as_bits(clipped(as_signed(random.bits()) >> 14, 1 << 17));
      const std::uint32_t mean = corrected<F, L>(base, correction, unit);
      ASSERT_EQ(mean >> F.bits(), 0u);
      const auto fixed = to_fixed<F, L>(base, unit);
      const bool keeps = fixed.has_no_value || std::abs(as_signed(fixed.value)) == kFixedLimit;
      ASSERT_EQ(mean, keeps ? base : (from_fixed<F, L>(fixed.value + correction, unit)));
    }
  });
}

}  // namespace
}  // namespace skv
