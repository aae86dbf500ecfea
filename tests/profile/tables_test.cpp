// Where frequencies come from: counts made integer, and the default profiles.
#include <gtest/gtest.h>

#include <skv/entropy/table.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/profiles.hpp"

namespace skv {
namespace {

void expect_sound(const std::vector<double>& counts, std::uint32_t escape) {
  const auto f = normalise_counts(counts, escape);
  ASSERT_EQ(f.size(), counts.size());
  ASSERT_EQ(std::accumulate(f.begin(), f.end(), 0u), kSlots);
  ASSERT_GE(f[escape], 1u);
  for (std::size_t t = 0; t < f.size(); ++t)
    ASSERT_TRUE(counts[t] != 0 || t == escape || f[t] == 0 || f[escape] == kSlots - 1)
        << "a slot for what never occurs";
  ASSERT_LT(*std::max_element(f.begin(), f.end()), kSlots);
}

TEST(normalise_counts, makes_frequencies_of_any_counts) {
  test::random_source random(1);
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t tokens = 2 + random.below(kMaxTokens - 1);
    std::vector<double> counts(tokens);
    for (double& c : counts)
      if (random.chance(0.6)) c = std::exp2(60 * random.uniform() - (round % 2 ? 30 : 0));
    expect_sound(counts, random.below(tokens));
  }
}

TEST(normalise_counts, takes_zeros_and_extremes) {
  expect_sound(std::vector<double>(20, 0.0), 19);
  expect_sound(std::vector<double>(kMaxTokens, 1.0), 0);
  expect_sound(std::vector<double>(kMaxTokens, 1e300), 3);
  expect_sound(std::vector<double>(kMaxTokens, 1e-300), 3);
  std::vector<double> one(20, 0.0);
  one[4] = 1e18;
  expect_sound(one, 19);
  EXPECT_EQ(normalise_counts(one, 19)[4], kSlots - 1);
  one[5] = 1;  // too rare for a slot: escaped
  EXPECT_EQ(normalise_counts(one, 19)[5], 0u);
}

TEST(normalise_counts, keeps_shares_that_are_whole_slots) {
  std::vector<double> counts = {256, 128, 64, 32, 16, 8, 4, 2, 1, 1};
  const auto f = normalise_counts(counts, 9);
  for (std::size_t t = 0; t < f.size(); ++t) EXPECT_EQ(f[t], counts[t]);
}

// Frequencies cost hardly more than shares that need not be integers.
TEST(normalise_counts, codes_almost_as_short_as_the_counts_would) {
  test::random_source random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> counts(12);
    for (double& c : counts) c = std::exp2(7 * random.uniform());
    const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
    const auto f = normalise_counts(counts, 11);
    double coded = 0, ideal = 0;
    for (std::size_t t = 0; t < f.size(); ++t) {
      ASSERT_GT(f[t], 0u);
      coded -= counts[t] * std::log2(f[t] / static_cast<double>(kSlots));
      ideal -= counts[t] * std::log2(counts[t] / total);
    }
    ASSERT_LT(coded, 1.001 * ideal);
    ASSERT_GT(coded, (1 - 1e-9) * ideal);
  }
}

TEST(default_profile, exists_for_every_coding_and_for_no_other) {
  for (const auto id : test::all_combinations()) {
    const auto p = default_profile(id.target, id.source, id.mean);
    ASSERT_EQ(static_cast<bool>(p), is_coded(id.target, id.source, id.mean)) << test::name_of(id);
    if (!p) {
      EXPECT_EQ(p.code(), status::invalid_argument);
      continue;
    }
    const table_shape shape = coding_table_shape(id.target, id.source, id.mean);
    EXPECT_EQ((*p)->contexts(), shape.contexts);
    EXPECT_EQ((*p)->content().frequencies.size(), std::size_t{shape.contexts} * shape.tokens);
    EXPECT_TRUE((*p)->content().scales.empty());
    EXPECT_EQ((*profile::parse((*p)->bytes()))->id(), (*p)->id());
  }
}

TEST(default_token_shares, sum_to_one) {
  for (const auto id : test::all_codings()) {
    const auto shares = default_token_shares(id.target, id.source, id.mean);
    const table_shape shape = coding_table_shape(id.target, id.source, id.mean);
    ASSERT_EQ(shares.size(), std::size_t{shape.contexts} * kMaxTokens);
    for (std::uint32_t c = 0; c < shape.contexts; ++c) {
      const double* row = shares.data() + std::size_t{c} * kMaxTokens;
      ASSERT_NEAR(std::accumulate(row, row + kMaxTokens, 0.0), 1.0, 1e-9) << test::name_of(id);
      ASSERT_GT(row[shape.escape], 0.0);
    }
  }
}

}  // namespace
}  // namespace skv
