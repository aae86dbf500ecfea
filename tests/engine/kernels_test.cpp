// The loops of every instruction set: right, and the same to the last bit.
#include "engine/kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/bf16.hpp"
#include "engine/matrix.hpp"
#include "support/random.hpp"

namespace engine::test {
namespace {

using skv::cpu::isa;

std::vector<isa> sets() {
  std::vector<isa> s;
  for (const isa set : {isa::scalar, isa::portable, isa::avx2, isa::avx512})
    if (skv::cpu::is_available(set)) s.push_back(set);
  return s;
}

std::vector<float> random_floats(std::size_t count, double scale, std::uint64_t seed) {
  skv::test::random_source random(seed);
  std::vector<float> x;
  for (std::size_t i = 0; i < count; ++i)
    x.push_back(static_cast<float>(scale * random.gaussian()));
  return x;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

TEST(kernels, products_are_added_one_after_the_other) {
  for (const std::uint32_t rows : {1u, 2u, 5u, 11u, 37u}) {
    const std::uint32_t count = 29, stride = 31;
    const auto x = random_floats(rows * stride, 1, 1), w = random_floats(count * kLanes, 1, 2);
    const auto start = random_floats(rows * kLanes, 1, 3);
    auto expected = start;
    for (std::uint32_t r = 0; r < rows; ++r)
      for (std::uint32_t i = 0; i < count; ++i)
        for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
          const volatile float product = x[r * stride + i] * w[i * kLanes + lane];
          expected[r * kLanes + lane] += product;
        }
    for (const isa set : sets()) {
      auto sums = start;
      kernels_for(set).add_products(x.data(), stride, rows, w.data(), count, sums.data());
      EXPECT_TRUE(same_bits(sums, expected)) << to_string(set) << " " << rows;
    }
  }
}

TEST(kernels, softmax_of_any_length) {
  for (std::uint32_t count = 1; count < 70; ++count) {
    auto x = random_floats(80, count % 3 == 0 ? 40 : 2, count);
    const auto before = x;
    std::vector<float> first;
    for (const isa set : sets()) {
      x = before;
      kernels_for(set).softmax(x.data(), count);
      if (first.empty()) first = x;
      EXPECT_TRUE(same_bits(x, first)) << to_string(set) << " " << count;
    }
    float largest = before[0];
    double sum = 0;
    for (std::uint32_t i = 0; i < count; ++i) largest = std::max(largest, before[i]);
    const auto power = [&](std::uint32_t i) {
      const float below = before[i] - largest;  // a float, as what goes into the exponential
      return std::exp(static_cast<double>(below));
    };
    for (std::uint32_t i = 0; i < count; ++i) sum += power(i);
    for (std::uint32_t i = 0; i < count; ++i) {
      const double e = power(i) / sum;
      EXPECT_NEAR(first[i], e, 1e-6 * e + 1e-37) << i;
    }
    for (std::uint32_t i = count; i < (count + 15) / 16 * 16; ++i) EXPECT_EQ(first[i], 0);
  }
}

TEST(kernels, softmax_of_huge_scores_has_no_more_terms_than_it_is_given) {
  for (const float huge : {1e12f, -1e12f, 3e38f, -3e38f})
    for (std::uint32_t count = 1; count < 20; ++count)
      for (const isa set : sets()) {
        std::vector<float> x(32, huge);
        kernels_for(set).softmax(x.data(), count);
        for (std::uint32_t i = 0; i < count; ++i)
          EXPECT_EQ(x[i], 1 / static_cast<float>(count)) << huge << " " << to_string(set);
      }
}

TEST(kernels, silu_everywhere) {
  std::vector<float> before = {0, -0.0f, 1e30f, -1e30f, 88, -88, -87.5f, 3e-39f};
  for (const float f : random_floats(1000, 20, 9)) before.push_back(f);
  std::vector<float> first;
  for (const isa set : sets()) {
    auto x = before;
    kernels_for(set).silu(x.data(), x.size());
    if (first.empty()) first = x;
    EXPECT_TRUE(same_bits(x, first)) << to_string(set);
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double x = before[i], y = x / (1 + std::exp(-x));
    // Far out on the left, where it vanishes, the exponential stops growing.
    EXPECT_NEAR(first[i], y, x < -87 ? 2e-36 * std::abs(x) : 1e-6 * std::abs(y)) << x;
  }
}

TEST(bf16, rounds_to_the_nearest_and_ties_to_even) {
  EXPECT_EQ(to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x7f7fffffu)), 0x7f80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x7fffffffu)), 0x7fc0);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0xffc12345u)), 0x7fc0);
  for (std::uint32_t bits = 0; bits < 0x7f81; ++bits)
    EXPECT_EQ(to_bf16(from_bf16(static_cast<std::uint16_t>(bits))), bits);
}

TEST(matrix, product_is_the_sum_in_order) {
  for (const auto& [outputs, inputs, rows] :
       {std::tuple{1u, 1u, 1u}, {16u, 256u, 3u}, {37u, 300u, 5u}, {50u, 17u, 300u}}) {
    std::vector<std::uint16_t> weights;
    for (const float f : random_floats(std::size_t{outputs} * inputs, 1, outputs))
      weights.push_back(to_bf16(f));
    const bf16_matrix w(outputs, inputs, weights);
    EXPECT_EQ(w.at(outputs - 1, inputs - 1), weights.back());
    const auto x = random_floats(std::size_t{rows} * inputs, 1, 5);
    const auto bias = random_floats(outputs, 1, 6);
    std::vector<float> plain(std::size_t{rows} * outputs), biased(plain);
    for (std::uint32_t r = 0; r < rows; ++r)
      for (std::uint32_t o = 0; o < outputs; ++o) {
        float sum = 0;
        for (std::uint32_t i = 0; i < inputs; ++i) {
          const volatile float product =
              x[std::size_t{r} * inputs + i] * from_bf16(weights[std::size_t{o} * inputs + i]);
          sum += product;
        }
        plain[std::size_t{r} * outputs + o] = sum;
        biased[std::size_t{r} * outputs + o] = rounded(sum + bias[o]);
      }
    for (const isa set : sets()) {
      workers team(3, set);
      std::vector<float> y(plain.size());
      multiply(team, w, x, rows, y);
      EXPECT_TRUE(same_bits(y, plain)) << to_string(set);
      multiply_rounded(team, w, bias, x, rows, y);
      EXPECT_TRUE(same_bits(y, biased)) << to_string(set);
    }
  }
}

}  // namespace
}  // namespace engine::test
