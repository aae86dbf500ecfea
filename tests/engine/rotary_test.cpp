// Frequencies and their scalings: values that transformers 5.24 gives for the same configurations.
#include "engine/rotary.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "engine/elementary.hpp"

namespace engine::test {
namespace {

using kind = rope_scaling::kind;

model_config config(kind type, double theta, double factor, double original) {
  model_config c;
  c.head_dim = 64;
  c.rope_theta = theta;
  c.scaling.type = type;
  c.scaling.factor = factor;
  c.scaling.original_positions = original;
  return c;
}

void expect_frequencies(const model_config& c, std::vector<std::pair<std::size_t, double>> values) {
  const rotary r(c);
  ASSERT_EQ(r.frequencies().size(), 32u);
  for (const auto& [pair, value] : values)
    EXPECT_NEAR(r.frequencies()[pair], value, 2e-7 * value) << pair;
}

TEST(rotary, plain_frequencies) {
  const auto c = config(kind::none, 500000, 1, 0);
  expect_frequencies(c, {{0, 1}, {1, 0.663601279}, {16, 0.00141421345}, {31, 3.01385808e-06}});
  for (std::size_t i = 0; i < 32; ++i)
    EXPECT_NEAR(rotary(c).frequencies()[i], std::pow(500000.0, -static_cast<double>(i) / 32),
                2e-7 * std::pow(500000.0, -static_cast<double>(i) / 32));
}

TEST(rotary, linear_scaling) {
  expect_frequencies(config(kind::linear, 500000, 4, 0),
                     {{0, 0.25}, {1, 0.16590032}, {16, 0.000353553361}, {31, 7.53464519e-07}});
}

TEST(rotary, dynamic_scaling_is_none_below_the_trained_length) {
  EXPECT_EQ(rotary(config(kind::dynamic, 10000, 2, 2048)).frequencies(),
            rotary(config(kind::none, 10000, 1, 0)).frequencies());
}

TEST(rotary, llama3_scaling) {
  auto c = config(kind::llama3, 500000, 8, 8192);
  expect_frequencies(c, {{0, 1},
                         {14, 0.00321144611},
                         {15, 0.00137189368},
                         {16, 0.000524846022},
                         {17, 0.000178507791},
                         {18, 7.78465546e-05},
                         {31, 3.7673226e-07}});
}

TEST(rotary, yarn_scaling) {
  auto c = config(kind::yarn, 1000000, 4, 32768);
  expect_frequencies(c, {{0, 1},
                         {11, 0.00865964312},
                         {12, 0.00515479548},
                         {15, 0.00102661771},
                         {19, 9.12806499e-05},
                         {20, 4.44569851e-05},
                         {31, 3.84981632e-07}});
  c = config(kind::yarn, 10000, 40, 4096);
  c.scaling.beta_fast = 16;
  c.scaling.beta_slow = 2;
  c.scaling.truncate = false;
  expect_frequencies(c, {{12, 0.0316227786},
                         {13, 0.0233312435},
                         {16, 0.00579010462},
                         {19, 0.000734386675},
                         {20, 0.000123952457},
                         {31, 3.33380353e-06}});
}

TEST(rotary, turns_there_and_back) {
  for (const bool interleaved : {false, true}) {
    auto c = config(kind::none, 10000, 1, 0);
    c.rope_interleaved = interleaved;
    const rotary r(c);
    std::vector<float> x(128), cosines(32), sines(32);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    const auto before = x;
    r.angles(1000, cosines.data(), sines.data());
    r.turn(cosines.data(), sines.data(), 2, x.data());
    for (std::size_t i = 0; i < 32; ++i) {
      const std::size_t one = interleaved ? 2 * i : i, two = interleaved ? 2 * i + 1 : i + 32;
      const double angle = static_cast<double>(1000 * r.frequencies()[i]);
      EXPECT_NEAR(x[one], before[one] * std::cos(angle) - before[two] * std::sin(angle), 2e-6);
      EXPECT_NEAR(x[64 + two],
                  before[64 + two] * std::cos(angle) + before[64 + one] * std::sin(angle), 2e-6);
    }
    r.turn(cosines.data(), sines.data(), 2, x.data(), -1);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], before[i], 2e-6);
  }
}

TEST(elementary, functions_are_those_of_the_library_to_the_last_digits) {
  for (double x = 1e-9; x < 1e6; x *= 1.37) {
    EXPECT_NEAR(logarithm(x), std::log(x), 1e-15 * (1 + std::abs(std::log(x)))) << x;
    const auto [s, c] = sine_cosine(x);
    EXPECT_NEAR(s, std::sin(x), 4e-16) << x;
    EXPECT_NEAR(c, std::cos(x), 4e-16) << x;
  }
  for (double x = -600; x < 600; x += 0.37)
    EXPECT_NEAR(exponential(x) / std::exp(x), 1, 1e-15) << x;
  EXPECT_EQ(exponential(0), 1);
  EXPECT_EQ(sine_cosine(0).sine, 0);
  EXPECT_EQ(sine_cosine(0).cosine, 1);
}

}  // namespace
}  // namespace engine::test
