// Caches that were compressed, dropped and restored: the same bits, and the same text after them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/coding.hpp"
#include "predictor_scene.hpp"
#include "run.hpp"

namespace engine::test {
namespace {

constexpr std::uint32_t kPrompts = 22, kNewTokens = 20;

const predictor_options kAnchoredFp8{weight_format::fp8, true, true, true};

// Codings fitted to the calibration texts.
struct coding_scene : predictor_scene {
  workers one{1};
  std::vector<coding> codings = must(fit_without_model(calibration, target.config));

  coding_scene() {
    for (const auto options :
         {kAnchoredFp8, predictor_options{weight_format::int8, false, false, false},
          predictor_options{weight_format::int4, true, true, false}}) {
      auto more = must(fit_with_model(target, team, calibration, options, options == kAnchoredFp8));
      std::ranges::move(more, std::back_inserter(codings));
    }
  }
  const coding& named(const std::string& name) const {
    const auto by = std::ranges::find(codings, name, &coding::name);
    if (by == codings.end()) throw std::runtime_error("no coding " + name);
    return *by;
  }

  // Texts of different lengths and beginnings.
  std::vector<std::int32_t> prompt(std::uint32_t i) const {
    const auto& tokens = evaluation.tokens;
    const std::uint32_t first = 3 * i, count = 2 + (7 * i) % 31;
    std::vector<std::int32_t> p = {1};
    p.insert(p.end(), tokens.begin() + first + 1,
             tokens.begin() + std::min<std::size_t>(first + count, tokens.size()));
    return p;
  }
};

coding_scene& shared() {
  static coding_scene s;
  return s;
}

// The cache of some tokens, in pages of a pool of its own.
struct prefilled {
  page_pool pool;
  kv_cache cache{pool};
  forward_pass pass;

  prefilled(const model& m, workers& team, std::span<const std::int32_t> tokens)
      : pool(m.config, 8), pass(m, team) {
    must(prefill(pass, cache, tokens));
  }
};

TEST(restore, continues_as_if_nothing_had_been_compressed) {
  coding_scene& s = shared();
  const model_config& config = s.target.config;
  ASSERT_GE(s.codings.size(), 6u);
  std::set<std::string> names;
  for (const coding& by : s.codings) names.insert(by.name);
  EXPECT_EQ(names.size(), s.codings.size());
  for (std::uint32_t i = 0; i < kPrompts; ++i) {
    const auto prompt = s.prompt(i);
    const auto cached = std::span(prompt).first(prompt.size() - 1);
    const auto count = static_cast<std::uint32_t>(cached.size());
    prefilled begun(s.target, s.one, cached);
    auto& [pool, cache, pass] = begun;
    const auto exact = numbers_of(cache, config);
    auto expected = prompt;
    ASSERT_TRUE(decode(pass, cache, expected, kNewTokens));
    cache.resize(count);

    for (const coding& by : s.codings) {
      SCOPED_TRACE(by.name + ", prompt " + std::to_string(i));
      std::vector<std::size_t> bytes;
      for (const auto& [there, back] : {std::pair{&s.one, &s.team}, {&s.team, &s.one}}) {
        const auto compressed = offload(by, *there, cached, cache, config);
        ASSERT_TRUE(compressed) << compressed.failure().message;
        bytes.push_back(compressed->bytes());
        cache.resize(0);
        EXPECT_EQ(pool.free_pages(), pool.pages());
        ASSERT_TRUE(cache.resize(count));
        ASSERT_NE(numbers_of(cache, config), exact) << "the pages were overwritten";
        const auto ok = reload(by, *back, cached, *compressed, cache, config);
        ASSERT_TRUE(ok) << ok.failure().message;
        ASSERT_TRUE(numbers_of(cache, config) == exact);
        forward_pass again(s.target, *back);
        auto made = prompt;
        ASSERT_TRUE(decode(again, cache, made, kNewTokens));
        EXPECT_EQ(made, expected);
        cache.resize(count);
      }
      EXPECT_EQ(bytes[0], bytes[1]);
    }
  }
}

TEST(restore, a_model_predicts_better_than_none) {
  coding_scene& s = shared();
  const model_config& config = s.target.config;
  const auto& tokens = s.evaluation.tokens;
  const prefilled text(s.target, s.team, tokens);
  std::map<std::string, double> bits;
  for (const coding& by : s.codings)
    bits[by.name] = 8.0 *
                    static_cast<double>(offload(by, s.team, tokens, text.cache, config)->bytes()) /
                    static_cast<double>(tokens.size() * 12 * config.kv_width());
  EXPECT_LT(bits["none"], 11.5);
  EXPECT_LT(bits[to_string(kAnchoredFp8)], 6);
  EXPECT_LT(bits["int8"], bits["none"] / 2);
}

TEST(restore, another_model_is_refused_before_a_number_is_decoded) {
  coding_scene& s = shared();
  const model_config& config = s.target.config;
  const auto& tokens = s.evaluation.tokens;
  prefilled text(s.target, s.team, tokens);
  const coding& by = s.named(to_string(kAnchoredFp8));
  const auto compressed = offload(by, s.team, tokens, text.cache, config);
  ASSERT_TRUE(compressed);
  text.cache.resize(0);
  ASSERT_TRUE(text.cache.resize(static_cast<std::uint32_t>(tokens.size())));
  const auto empty = numbers_of(text.cache, config);
  const auto refusal = [&](const coding& wrong) {
    const auto outcome = reload(wrong, s.team, tokens, *compressed, text.cache, config);
    EXPECT_EQ(outcome.code(), skv::status::wrong_prediction);
    EXPECT_TRUE(numbers_of(text.cache, config) == empty) << "the pages are as they were";
    return outcome ? "" : outcome.failure().message;
  };
  // A weight of the last tensor, which all others do without.
  model other = s.target;
  other.layers[5].v = changed(*s.target.layers[5].v, 63, 127);
  coding wrong = by;
  wrong.predictor = std::make_shared<predictor_model>(other, kAnchoredFp8, by.predictor->maps());
  EXPECT_THAT(refusal(wrong), testing::HasSubstr("was compressed with the predictor fp8+exact_kv"));
  EXPECT_THAT(refusal(s.named("int8")), testing::HasSubstr("this one is int8 ("));
  EXPECT_THAT(refusal(s.named("none")), testing::HasSubstr("none is given"));
  EXPECT_TRUE(reload(by, s.team, tokens, *compressed, text.cache, config));

  const auto without = offload(s.named("none"), s.team, tokens, text.cache, config);
  ASSERT_TRUE(without);
  EXPECT_THAT(reload(by, s.team, tokens, *without, text.cache, config).failure().message,
              testing::HasSubstr("does not say which predictor"));
}

TEST(restore, other_tokens_are_noticed) {
  coding_scene& s = shared();
  const auto& tokens = s.evaluation.tokens;
  prefilled text(s.target, s.team, tokens);
  const coding& by = s.named(to_string(kAnchoredFp8));
  const auto compressed = offload(by, s.team, tokens, text.cache, s.target.config);
  ASSERT_TRUE(compressed);
  auto others = tokens;
  others[40] = 7;
  EXPECT_EQ(reload(by, s.team, others, *compressed, text.cache, s.target.config).code(),
            skv::status::wrong_prediction);
}

}  // namespace
}  // namespace engine::test
