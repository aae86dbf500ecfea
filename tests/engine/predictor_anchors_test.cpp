// Anchors: maps as bytes, what they do, and that fitting finds them.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/anchor_fit.hpp"
#include "engine/anchors.hpp"
#include "engine/bf16.hpp"
#include "support/random.hpp"

namespace engine {
namespace {

std::shared_ptr<const quantised_matrix> random_map(std::uint32_t outputs, std::uint32_t inputs,
                                                   std::uint64_t seed) {
  skv::test::random_source random(seed);
  std::vector<std::uint16_t> w;
  for (std::uint32_t i = 0; i < outputs * inputs; ++i)
    w.push_back(to_bf16(static_cast<float>(random.gaussian())));
  return std::make_shared<quantised_matrix>(bf16_matrix(outputs, inputs, w), weight_format::int8);
}

model_config small_config() {
  model_config c;
  c.layers = 2;
  c.hidden = 20;
  c.kv_heads = 3;
  c.head_dim = 2;
  return c;
}

anchors some_anchors() {
  anchors a;
  a.layers = {{random_map(20, 6, 1), random_map(20, 12, 2)}, {random_map(20, 6, 3), nullptr}};
  return a;
}

TEST(anchors, come_back_from_their_bytes) {
  const model_config c = small_config();
  const anchors a = some_anchors();
  const auto bytes = a.serialise(c);
  EXPECT_EQ(bytes.size(), 20 + 4 + 2 * 20 * (4 + 6) + 20 * (4 + 12));
  const auto back = anchors::parse(bytes, c);
  ASSERT_TRUE(back) << back.failure().message;
  EXPECT_EQ(back->serialise(c), bytes);
  EXPECT_EQ(back->layers[1].after_v, nullptr);
  std::vector<float> x(12), y(20), z(20);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 5;
  workers team(1);
  multiply(team, *a.layers[0].after_v, x, 1, y);
  multiply(team, *back->layers[0].after_v, x, 1, z);
  EXPECT_EQ(y, z);
}

TEST(anchors, bytes_that_make_no_sense_are_refused) {
  const model_config c = small_config();
  const auto whole = some_anchors().serialise(c);
  for (std::size_t n = 0; n < whole.size(); ++n)
    ASSERT_EQ(anchors::parse(std::span(whole).first(n), c).code(), skv::status::truncated) << n;
  const auto code_with = [&](std::size_t at, unsigned value) {
    auto bad = whole;
    bad[at] = std::byte(value);
    return anchors::parse(bad, c).code();
  };
  EXPECT_EQ(code_with(0, 'X'), skv::status::corrupt);
  EXPECT_EQ(code_with(4, 2), skv::status::unsupported);
  EXPECT_EQ(code_with(6, 1), skv::status::corrupt);
  EXPECT_EQ(code_with(8, 3), skv::status::wrong_profile);
  EXPECT_EQ(code_with(12, 21), skv::status::wrong_profile);
  EXPECT_EQ(code_with(16, 7), skv::status::wrong_profile);
  EXPECT_EQ(code_with(20, 2), skv::status::corrupt) << "a map is there or it is not";
  EXPECT_EQ(code_with(20, 0), skv::status::corrupt) << "its bytes are something else then";
  auto bad = whole;
  bad[23] = std::byte{0x80};  // of the first scale: 0x7f80.... is an infinity
  bad[24] = std::byte{0x7f};
  EXPECT_EQ(anchors::parse(bad, c).code(), skv::status::corrupt);
  bad = whole;
  bad.push_back(std::byte{0});
  EXPECT_EQ(anchors::parse(bad, c).code(), skv::status::corrupt);
}

TEST(anchors, corrections_are_in_units_of_the_rows_root_mean_square) {
  // y[0] = 0.5 x[0], y[1] = -x[1].
  const std::uint16_t w[] = {to_bf16(0.5F), 0, 0, to_bf16(-1.0F)};
  const bf16_matrix map(2, 2, w);
  workers team(1);
  std::vector<float> hidden = {3, 4, 0, 0, 1, INFINITY};
  const float r = 3 + 0.5F * std::sqrt(12.5F);
  correct(team, map, std::vector<float>{1, 0, 5, 5, 1, 1}, hidden);
  EXPECT_EQ(hidden[0], r);
  EXPECT_EQ(hidden[1], 4);
  EXPECT_EQ(hidden[2], 0) << "a row of zeros has no unit";
  EXPECT_EQ(hidden[4], 1) << "what would not be finite stays";
  EXPECT_EQ(root_mean_square(std::vector<float>{3, 4}), std::sqrt(12.5F));
}

TEST(anchor_fit, finds_the_map_and_only_if_there_is_one) {
  skv::test::random_source random(5);
  const auto normal = [&] { return static_cast<float>(random.gaussian()); };
  const Eigen::MatrixXf map = Eigen::MatrixXf::NullaryExpr(7, 9, normal);
  anchor_fit related(7, 9), unrelated(7, 9);
  for (int fold = 0; fold < kFolds; ++fold) {
    const Eigen::MatrixXf x = Eigen::MatrixXf::NullaryExpr(60, 7, normal);
    const Eigen::MatrixXf noise = Eigen::MatrixXf::NullaryExpr(60, 9, normal);
    related.add(x, x * map + 0.1F * noise, fold);
    unrelated.add(x, noise, fold);
  }
  const fitted_map found = related.solve();
  ASSERT_NE(found.all, nullptr);
  EXPECT_LT(found.error_after, 0.03 * found.error_before);
  for (const auto& fitted : {found.all, found.without_fold[0], found.without_fold[3]})
    for (std::uint32_t i = 0; i < 7; ++i) {
      float weights[kPanel];
      fitted->expand(0, i, 1, weights);
      for (std::uint32_t o = 0; o < 9; ++o) EXPECT_NEAR(weights[o], map(i, o), 0.08);
    }
  const fitted_map nothing = unrelated.solve();
  EXPECT_EQ(nothing.all, nullptr);
  EXPECT_EQ(anchor_fit(3, 4).solve().all, nullptr) << "nothing was observed";
}

}  // namespace
}  // namespace engine
