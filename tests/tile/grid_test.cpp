// The grid of means that are finer than the numbers, in exact real arithmetic: docs/format.md,
// section "Residuals".
#include <gtest/gtest.h>
#include <skv/predict/list.hpp>
#include <skv/tile/residual.hpp>

#include <algorithm>
#include <cmath>

#include "support/effort.hpp"
#include "support/plain_lanes.hpp"

namespace skv {
namespace {

using test::plain_lanes;
using u32 = std::uint32_t;

struct slow_grid {
  int mean;      ///< in steps
  int position;  ///< quarters of a half step away from it
  bool flip;
  int above;  ///< octaves by which an ulp exceeds the step
};

// Steps and fractions of a step from 0: a step is 1 below the floor's first binade and then doubles
// with every binade, as the numbers' own ulp does.
double steps_of(number_format mean, u32 magnitude, int log2_step, int binade_steps) {
  const u32 field = magnitude >> mean.mantissa_bits;
  const u32 mantissa = magnitude & ((1u << mean.mantissa_bits) - 1);
  const int exponent = static_cast<int>(std::max(field, 1u)) - static_cast<int>(mean.bias());
  double x =
      std::ldexp(mantissa + (field ? std::ldexp(1, static_cast<int>(mean.mantissa_bits)) : 0),
                 exponent - static_cast<int>(mean.mantissa_bits) - log2_step);
  double below = 0;  // steps up to the binade of x
  while (x >= 2 * binade_steps) {
    x /= 2;
    below += binade_steps;
  }
  return below + x;
}

slow_grid make_slow_grid(number_format target, number_format mean, u32 code, u32 magnitude) {
  const int M = static_cast<int>(target.mantissa_bits), bias = static_cast<int>(target.bias());
  const int finer = static_cast<int>(mean.mantissa_bits) - M;
  const int floor =
      std::clamp(static_cast<int>(code / kScaleLevels) - static_cast<int>(kScaleOrigin) -
                     static_cast<int>(kStepShift) + bias + M,
                 1, static_cast<int>(target.max_exponent()));
  // A mean below the step's own precision is truncated to it.
  const double unit = std::ldexp(1, -finer);
  double x = std::floor(steps_of(mean, magnitude, floor - bias - M, 1 << M) / unit) * unit;
  // Below the floor numbers are truncated to their step, so its centre is half a step up; not where
  // a step is the smallest number and nothing is truncated.
  if (x < 1 << M && floor > 1) x = std::max(x, 0.5) - 0.5;
  const int largest = static_cast<int>(target.magnitude_mask()) - ((floor - 1) << M);
  slow_grid g;
  g.mean = static_cast<int>(std::min(std::floor(x + 0.5), static_cast<double>(largest)));
  const double left = x - g.mean;
  g.flip = left < 0;
  g.position = static_cast<int>(std::min(std::floor(std::fabs(left) * 8), 3.0));
  g.above = std::max(0, (g.mean >> M) - 1);
  return g;
}

template <number_format Target, number_format Mean>
void check() {
  if constexpr (Target != Mean) {
    for (u32 code = 0; code < 256; ++code)
      for (u32 mean = code % 7; mean < 1u << Mean.bits(); mean += 7 * test::kStride) {
        using coding = residual_coding<Target, Mean>;
        const auto g = coding::template make_grid<plain_lanes, 0>(
            coding::template to_channel<plain_lanes, 0>(code), mean);
        const auto scaled = coding::template make_grid<plain_lanes, 6>(
            coding::template to_channel<plain_lanes, 6>(code), mean);
        ASSERT_EQ(scaled.context, g.context << 6) << "code " << code << ", mean " << mean;
        const slow_grid s = make_slow_grid(Target, Mean, code, mean & Mean.magnitude_mask());
        const u32 scale = scale_context<plain_lanes, 0, 0>(top_context<Target, plain_lanes>(code),
                                                           static_cast<u32>(s.above));
        ASSERT_EQ(g.mean, static_cast<u32>(s.mean)) << "code " << code << ", mean " << mean;
        ASSERT_EQ(g.flip != 0, s.flip) << "code " << code << ", mean " << mean;
        ASSERT_EQ(g.context, scale / 2 * 4 + static_cast<u32>(s.position))
            << "code " << code << ", mean " << mean;
      }
  }
}

TEST(grid, of_finer_means_is_the_formula) {
  coded_pairs::any([](auto pair) {
    using Pair = decltype(pair);
    check<Pair::kTarget, Pair::kMean>();
    return testing::Test::HasFatalFailure();
  });
}

}  // namespace
}  // namespace skv
