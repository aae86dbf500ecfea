// Normalised rows of embeddings: integers near the real quotient, from any patterns.
#include <gtest/gtest.h>
#include <skv/number/value.hpp>
#include <skv/predict/embedding.hpp>

#include <bit>
#include <cmath>

#include "support/patterns.hpp"

namespace skv {
namespace {

double value_of(number_format f, std::uint32_t pattern) {
  if (f.id != kSingle.id) return to_double(f, pattern);
  const double value = std::bit_cast<float>(pattern);
  return std::isfinite(value) ? value : std::nan("");
}

std::vector<std::int32_t> normalised(number_format f, const std::vector<std::uint32_t>& patterns) {
  std::vector<std::int32_t> row(patterns.size(), 77);
  normalise(f, patterns, row);
  return row;
}

TEST(embedding, rows_are_divided_by_their_root_mean_square) {
  test::random_source random(1);
  for (const std::uint8_t id : {0, 1, 2, 3, 4}) {
    const number_format f = *find_embedding_format(id);
    for (int i = 0; i < 300; ++i) {
      const std::size_t width = 1 + random.below(600);
      const double scale = f.bits() > 8 ? std::exp2(random.below(8)) / 64 : 1;
      std::vector<std::uint32_t> patterns;
      double squares = 0;
      for (std::size_t c = 0; c < width; ++c) {
        const double x = scale * random.gaussian();
        patterns.push_back(f.id == kSingle.id ? std::bit_cast<std::uint32_t>(static_cast<float>(x))
                                              : test::to_pattern(f, x));
        squares += std::pow(value_of(f, patterns.back()), 2);
      }
      const double rms = std::sqrt(squares / static_cast<double>(width));
      const auto row = normalised(f, patterns);
      for (std::size_t c = 0; c < width && rms > 0; ++c)
        ASSERT_NEAR(row[c], 1024 * value_of(f, patterns[c]) / rms,
                    1 + std::fabs(row[c]) * 1e-3 + 512 / rms * std::ldexp(scale, -10))
            << "format " << int{id};
    }
  }
}

TEST(embedding, any_patterns_give_a_row) {
  test::random_source random(2);
  for (const std::uint8_t id : {0, 1, 2, 3, 4}) {
    const number_format f = *find_embedding_format(id);
    for (int i = 0; i < 2000; ++i) {
      std::vector<std::uint32_t> patterns(1 + random.below(50));
      for (std::uint32_t& p : patterns)
        p = f.id == kSingle.id ? random.edgy() : test::unusual_pattern(f, random);
      const auto row = normalised(f, patterns);
      for (std::size_t c = 0; c < row.size(); ++c) {
        ASSERT_LE(std::abs(row[c]), std::int32_t{kDeviationLimit});
        if (std::isnan(value_of(f, patterns[c]))) {
          ASSERT_EQ(row[c], 0);
        }
        if (row[c] != 0) {
          ASSERT_EQ(row[c] < 0, patterns[c] >> f.magnitude_bits() == 1);
        }
        const auto told =
            embedding_innovation(row[c], std::int16_t(random.bits()), std::uint8_t(random.bits()));
        ASSERT_LE(std::abs(told), 127);
      }
    }
  }
  EXPECT_EQ(normalised(bf16, {0, 0x8000, 0x7f80, 0x7fc0}), std::vector<std::int32_t>(4, 0));
  EXPECT_EQ(normalised(kSingle, {1}), std::vector<std::int32_t>{1024}) << "a subnormal alone";
}

TEST(embedding, innovations_round_halves_away_from_zero) {
  EXPECT_EQ(embedding_innovation(6, 0, 2), 2);
  EXPECT_EQ(embedding_innovation(-6, 0, 2), -2);
  EXPECT_EQ(embedding_innovation(5, 0, 2), 1);
  EXPECT_EQ(embedding_innovation(32767, -32768, 0), 127);
  EXPECT_EQ(embedding_innovation(-32767, 32767, 0), -127);
  EXPECT_EQ(embedding_innovation(32767, -32768, 255), 0);
}

}  // namespace
}  // namespace skv
