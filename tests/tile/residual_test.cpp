// Residual coding as arithmetic: every number against many predictions, pushed and popped.
#include <gtest/gtest.h>
#include <skv/predict/list.hpp>
#include <skv/tile/residual.hpp>

#include <set>
#include <vector>

#include "support/effort.hpp"
#include "support/push_pop.hpp"

namespace skv {
namespace {

using test::fault;
using test::plain_lanes;
using u32 = std::uint32_t;

/// One scale code for every floor, with every fraction of an octave at some floor.
template <number_format Target>
std::vector<u32> code_of_every_floor() {
  std::vector<u32> codes;
  std::set<u32> seen;
  for (u32 code = 0; code < 256; ++code)
    if (seen.insert(floor_exponent<Target, plain_lanes>(code)).second)
      codes.push_back(code + static_cast<u32>(seen.size()) % kScaleLevels);
  return codes;
}

template <number_format Mean>
std::vector<u32> some_means(int random_ones) {
  constexpr u32 M = Mean.mantissa_bits, sign = 1u << Mean.magnitude_bits();
  const u32 top = Mean.max_exponent() << M, one = Mean.bias() << M;
  std::vector<u32> means = {
      0,       1,        (1u << M) - 1, 1u << M,    one,
      one + 1, top - 1,  top,           top + 1,    Mean.magnitude_mask(),
      sign,    sign | 1, sign | one,    sign | top, sign | Mean.magnitude_mask()};
  test::random_source random(3);
  for (int i = 0; i < random_ones; ++i)  // of the sizes that scales speak of
    means.push_back((random.bits() & sign) |
                    ((random.below(Mean.max_exponent() + 1) << M) | random.below(1u << M)));
  return means;
}

template <number_format Target, number_format Mean>
void round_trips(const std::vector<u32>& means) {
  using coding = residual_coding<Target, Mean>;
  const test::table_pair tables = test::varied_tables<coding>();
  test::random_source random(1);
  constexpr u32 kStride = Target.bits() == 16 ? test::kStride : 1;
  for (const u32 code : code_of_every_floor<Target>())
    for (const u32 mean : means)
      for (u32 number = random.below(kStride); number < 1u << Target.bits(); number += kStride) {
        const u32 state = test::any_state(random);
        const fault f = test::push_and_pop<coding>(tables, state, code, mean, number);
        ASSERT_EQ(static_cast<int>(f), 0)
            << "number " << number << ", mean " << mean << ", code " << code << ", state " << state;
      }
}

template <number_format Mean>
std::vector<u32> all_means() {
  std::vector<u32> means(1u << Mean.bits());
  for (u32 i = 0; i < means.size(); ++i) means[i] = i;
  return means;
}

TEST(residual, every_bf16_number_comes_back) { round_trips<bf16, bf16>(some_means<bf16>(5)); }
TEST(residual, every_fp16_number_comes_back) { round_trips<fp16, fp16>(some_means<fp16>(5)); }
TEST(residual, every_e4m3_number_and_mean) { round_trips<e4m3, e4m3>(all_means<e4m3>()); }
TEST(residual, every_e5m2_number_and_mean) { round_trips<e5m2, e5m2>(all_means<e5m2>()); }
TEST(residual, e4m3_with_bf16_means) { round_trips<e4m3, bf16>(some_means<bf16>(1000)); }
TEST(residual, e5m2_with_bf16_means) { round_trips<e5m2, bf16>(some_means<bf16>(1000)); }
TEST(residual, e4m3_with_fp16_means) { round_trips<e4m3, fp16>(some_means<fp16>(1000)); }
TEST(residual, e5m2_with_fp16_means) { round_trips<e5m2, fp16>(some_means<fp16>(1000)); }

// Every grid that a decoder can be asked for, whatever the codes and means that it is given.
template <number_format Target, number_format Mean>
void check_grids() {
  using coding = residual_coding<Target, Mean>;
  for (u32 code = 0; code < 256; ++code)
    for (u32 mean = 0; mean < 1u << Mean.bits(); ++mean) {
      const auto g = coding::template make_grid<plain_lanes, 0>(
          coding::template to_channel<plain_lanes, 0>(code), mean);
      const u32 floor = g.floor >> Target.mantissa_bits;
      ASSERT_TRUE(floor >= 1 && floor <= Target.max_exponent()) << code;
      ASSERT_EQ(g.floor, floor << Target.mantissa_bits);
      ASSERT_LT(g.context, coding::kContexts) << "code " << code << ", mean " << mean;
      ASSERT_LE(g.mean, (max_steps<Target, plain_lanes>(g.floor))) << code << ", mean " << mean;
      ASSERT_EQ(g.sign, mean >> Mean.magnitude_bits() << Target.magnitude_bits());
      ASSERT_TRUE(g.flip == 0 || (g.flip == ~0u && Target != Mean));
    }
}

TEST(residual, every_grid_is_in_range) {
  const bool failed = coded_pairs::any([](auto pair) {
    using Pair = decltype(pair);
    check_grids<Pair::kTarget, Pair::kMean>();
    return testing::Test::HasFatalFailure();
  });
  EXPECT_FALSE(failed);
}

// A mean with the value of a number has its grid point, and a finer one a half step away flips.
TEST(residual, a_finer_mean_is_put_on_the_grid_of_the_numbers) {
  using coding = residual_coding<e4m3, bf16>;
  const auto to_bf16 = [](u32 u) {  // normal magnitudes of e4m3
    return ((u >> 3) + (bf16.bias() - e4m3.bias())) << 7 | (u & 7) << 4;
  };
  for (u32 u = 1u << 3; u < e4m3.magnitude_mask(); ++u)
    for (const u32 sign : {0u, 1u}) {
      const u32 code = 40;  // floor 1: nothing is below the step
      ASSERT_EQ((floor_exponent<e4m3, plain_lanes>(code)), 1u);
      const u32 number = sign << 7 | u, mean = sign << 15 | to_bf16(u);
      const auto at = [&](u32 m) {
        return coding::make_grid<plain_lanes, 0>(coding::to_channel<plain_lanes, 0>(code), m);
      };
      ASSERT_EQ(at(mean).mean, u);
      ASSERT_EQ(at(mean).flip, 0u);
      ASSERT_EQ(test::whole_plan<coding>(code, mean, number).alphabet_token(),
                residual_tokens::kBelow);
      ASSERT_EQ(at(mean + 7).mean, u) << "less than half a step above";
      ASSERT_EQ(at(mean + 7).flip, 0u);
      ASSERT_EQ(at(mean + 8).mean, u + 1) << "half a step above";
      ASSERT_EQ(at(mean + 8).flip, ~0u);
      ASSERT_EQ(at(mean).context % 4, 0u);
      ASSERT_EQ(at(mean + 3).context % 4, 1u);
      ASSERT_EQ(at(mean + 7).context % 4, 3u);
      ASSERT_EQ(at(mean + 8).context % 4, 3u);
      // Residual 1 is the neighbour on the mean's side of its point, whichever side that is.
      ASSERT_EQ(test::whole_plan<coding>(code, mean + 8, number).alphabet_token(),
                residual_tokens::kBelow + 1);
      ASSERT_EQ(test::whole_plan<coding>(code, mean + 7, number + 1).alphabet_token(),
                residual_tokens::kBelow + 1);
    }
}

}  // namespace
}  // namespace skv
