// The lanes that all others are tested against, against plain integers.
#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>

#include "support/lanes_equal_scalar.hpp"
#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::plain_lanes;

TEST(scalar_lanes, take_and_put_are_what_the_concept_says) {
  test::lanes_equal_scalar<scalar_lanes>::take();
  test::lanes_equal_scalar<scalar_lanes>::put();
}

TEST(scalar_lanes, every_lane_is_on_its_own) {
  test::random_source random(1);
  for (int round = 0; round < 200; ++round) {
    scalar_lanes::u32 a, b, n;
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      a.lane[i] = random.edgy();
      b.lane[i] = random.chance(0.2) ? a.lane[i] : random.edgy();
      n.lane[i] = random.below(32);
    }
    std::uint32_t total = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      const std::uint32_t x = a.lane[i], y = b.lane[i], s = n.lane[i];
      ASSERT_EQ((a + b).lane[i], x + y);
      ASSERT_EQ((a - b).lane[i], x - y);
      ASSERT_EQ((a * b).lane[i], x * y);
      ASSERT_EQ((a & b).lane[i], x & y);
      ASSERT_EQ((a | b).lane[i], x | y);
      ASSERT_EQ((a ^ b).lane[i], x ^ y);
      ASSERT_EQ((a << n).lane[i], x << s);
      ASSERT_EQ((a >> n).lane[i], x >> s);
      ASSERT_EQ((a == b).lane[i], x == y);
      ASSERT_EQ((a != b).lane[i], x != y);
      ASSERT_EQ((a >= b).lane[i], x >= y);
      ASSERT_EQ((a <= b).lane[i], x <= y);
      ASSERT_EQ((a > b).lane[i], x > y);
      ASSERT_EQ((a < b).lane[i], x < y);
      ASSERT_EQ(((a < b) & (b < n)).lane[i], x < y && y < s);
      ASSERT_EQ(((a < b) | (b < n)).lane[i], x < y || y < s);
      ASSERT_EQ((!(a < b)).lane[i], !(x < y));
      ASSERT_EQ(scalar_lanes::min(a, b).lane[i], plain_lanes::min(x, y));
      ASSERT_EQ(scalar_lanes::max(a, b).lane[i], plain_lanes::max(x, y));
      ASSERT_EQ(scalar_lanes::select(a < b, n, b).lane[i], x < y ? s : y);
      ASSERT_EQ(scalar_lanes::floor_log2(a).lane[i], plain_lanes::floor_log2(x));
      ASSERT_EQ(scalar_lanes::multiply_high(a, b).lane[i], plain_lanes::multiply_high(x, y));
      ASSERT_EQ(scalar_lanes::index().lane[i], i);
      total += x;
    }
    ASSERT_EQ(scalar_lanes::sum(a), total);
  }
}

}  // namespace
}  // namespace skv
