// Linear propagation as a predictor, with tensors in memory.
#include <gtest/gtest.h>
#include <skv/cpu/linear_predictor.hpp>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/predict/none.hpp>
#include <skv/predict/reference.hpp>

#include "linear_cases.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::linear_case;
using test::random_cache;

// Encoder and decoder drive it alike; layers may be left out.
template <class MakePredictor>
void expect_round_trip(const profile_ptr& p, const random_cache& cache, std::uint32_t tokens,
                       const std::vector<std::size_t>& order, const MakePredictor& make) {
  const cpu::codec coder(p);
  auto encoding = make(), decoding = make();
  for (const std::size_t i : order) {
    const tensor_scales& s = p->content().scales[i];
    const tensor_shape t{s.id, tokens - static_cast<std::uint32_t>(i), s.heads, s.head_dim};
    const auto e = cpu::encode_tensor(coder, encoding, t, cache.rows(i));
    ASSERT_TRUE(e) << e.failure().message;
    byte_string out(cache.row_bytes[i] * t.tokens);
    const auto d = cpu::decode_tensor(coder, decoding, t, *e,
                                      row_view<std::byte>{out.data(), cache.row_bytes[i]});
    ASSERT_TRUE(d) << d.failure().message;
    ASSERT_TRUE(std::equal(out.begin(), out.end(), cache.numbers[i].begin()));
  }
}

TEST(linear_predictor, drives_an_encoder_and_a_decoder) {
  for (const linear_case& c : test::linear_cases()) {
    if (c.latent) continue;
    SCOPED_TRACE(test::text_of(c));
    constexpr std::uint32_t kCachedTokens = 23;
    test::random_source random(1);
    std::vector<std::uint32_t> positions;
    for (std::uint32_t i = 0; i < kCachedTokens; ++i) positions.push_back(random.below(1u << 24));
    const test::random_outside outside(kCachedTokens, 5);
    auto p = test::random_linear_profile(c);
    if (c.outside) p = test::with_hash(p, outside.table.hash());
    const random_cache cache(*p, kCachedTokens, 3);
    const auto with_base = [&](auto base) {
      for (const auto& order : {std::vector<std::size_t>{0, 1, 2, 3, 4, 5}, {1, 4, 5}})
        expect_round_trip(p, cache, kCachedTokens, order, [&] {
          return c.outside ? cpu::linear(*cpu::outside_rows::of(cpu::linear_steps(p),
                                                                outside.inputs(), positions),
                                         base)
                           : cpu::linear(p, base, positions);
        });
    };
    if (c.base == mean_source::none)
      with_base(none{});
    else
      with_base(reference([&](const tensor_shape& t) {
        for (std::size_t i = 0; i < p->content().scales.size(); ++i)
          if (p->content().scales[i].id == t.id) return cache.base_rows(i);
        return row_view<const std::byte>{};
      }));
  }
}

TEST(linear_predictor, has_no_means_for_what_it_does_not_know) {
  linear_case c;
  c.base = mean_source::none;
  cpu::linear l(test::random_linear_profile(c), none{}, {0, 1, 2});
  EXPECT_EQ(l.predict({{9, tensor_kind::k}, 3, 2, 12}).data, nullptr);
  EXPECT_EQ(l.predict({{0, tensor_kind::k}, 3, 2, 13}).data, nullptr);
  EXPECT_EQ(l.predict({{0, tensor_kind::k}, 4, 2, 12}).data, nullptr) << "more than positions";
  EXPECT_NE(l.predict({{0, tensor_kind::k}, 3, 2, 12}).data, nullptr);
  c.outside = true;
  cpu::linear outside(test::random_linear_profile(c), none{}, {0, 1, 2});
  EXPECT_EQ(outside.predict({{0, tensor_kind::k}, 3, 2, 12}).data, nullptr);
}

}  // namespace
}  // namespace skv
