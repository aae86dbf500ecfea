// Caches that were compressed, dropped and restored: the same bits, and the same text after them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/cache_file.hpp"
#include "engine/coding.hpp"
#include "models.hpp"
#include "run.hpp"

namespace engine::test {
namespace {

constexpr std::uint32_t kPrompts = 22, kNewTokens = 20;

std::vector<std::int32_t> fixture_tokens(const std::string& name) {
  auto tokens = read_tokens(std::filesystem::path(SKV_TEST_DATA) / "tiny" / name);
  if (!tokens) throw std::runtime_error(tokens.failure().message);
  return *std::move(tokens);
}

const predictor_options kAnchoredFp8{weight_format::fp8, true, true, true};

// The embedded model with codings fitted to the fixture's calibration texts.
struct scene {
  model m = must_load(tiny_folder());
  workers one{1}, two{2};
  std::vector<coding> codings;

  scene() {
    std::vector<recording> recordings;
    for (const char* name :
         {"calibration/target/000.safetensors", "calibration/target/001.safetensors"})
      recordings.push_back(*record(m, two, fixture_tokens(name)));
    codings = *fit_without_model(recordings, m.config);
    for (const auto options :
         {kAnchoredFp8, predictor_options{weight_format::int8, false, false, false},
          predictor_options{weight_format::int4, true, true, false}}) {
      auto more = *fit_with_model(m, two, recordings, options, options == kAnchoredFp8);
      std::ranges::move(more, std::back_inserter(codings));
    }
  }

  // Texts of different lengths and beginnings.
  static std::vector<std::int32_t> prompt(std::uint32_t i) {
    const auto tokens = fixture_tokens("evaluation/target/000.safetensors");
    const std::uint32_t first = 3 * i, count = 2 + (7 * i) % 31;
    std::vector<std::int32_t> p = {1};
    p.insert(p.end(), tokens.begin() + first + 1,
             tokens.begin() + std::min<std::size_t>(first + count, tokens.size()));
    return p;
  }
};

scene& shared() {
  static scene s;
  return s;
}

TEST(restore, continues_as_if_nothing_had_been_compressed) {
  scene& s = shared();
  ASSERT_GE(s.codings.size(), 6u);
  std::set<std::string> names;
  for (const coding& by : s.codings) names.insert(by.name);
  EXPECT_EQ(names.size(), s.codings.size());
  for (std::uint32_t i = 0; i < kPrompts; ++i) {
    const auto prompt = scene::prompt(i);
    const auto cached = std::span(prompt).first(prompt.size() - 1);
    const auto count = static_cast<std::uint32_t>(cached.size());
    page_pool pool(s.m.config, 8);
    kv_cache cache(pool);
    forward_pass pass(s.m, s.one);
    ASSERT_TRUE(prefill(pass, cache, cached));
    const auto exact = numbers_of(cache, s.m.config);
    auto expected = prompt;
    ASSERT_TRUE(decode(pass, cache, expected, kNewTokens));
    cache.resize(count);

    for (const coding& by : s.codings) {
      SCOPED_TRACE(by.name + ", prompt " + std::to_string(i));
      std::vector<std::size_t> bytes;
      for (const auto& [there, back] : {std::pair{&s.one, &s.two}, {&s.two, &s.one}}) {
        const auto compressed = offload(by, *there, cached, cache, s.m.config);
        ASSERT_TRUE(compressed) << compressed.failure().message;
        bytes.push_back(compressed->bytes());
        cache.resize(0);
        EXPECT_EQ(pool.free_pages(), pool.pages());
        ASSERT_TRUE(cache.resize(count));
        ASSERT_NE(numbers_of(cache, s.m.config), exact) << "the pages were overwritten";
        const auto ok = reload(by, *back, cached, *compressed, cache, s.m.config);
        ASSERT_TRUE(ok) << ok.failure().message;
        ASSERT_TRUE(numbers_of(cache, s.m.config) == exact);
        forward_pass again(s.m, *back);
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
  scene& s = shared();
  const auto tokens = fixture_tokens("evaluation/target/000.safetensors");
  page_pool pool(s.m.config, 8);
  kv_cache cache(pool);
  forward_pass pass(s.m, s.two);
  ASSERT_TRUE(prefill(pass, cache, tokens));
  std::map<std::string, double> bits;
  for (const coding& by : s.codings)
    bits[by.name] = 8.0 *
                    static_cast<double>(offload(by, s.two, tokens, cache, s.m.config)->bytes()) /
                    static_cast<double>(tokens.size() * 12 * s.m.config.kv_width());
  EXPECT_LT(bits["none"], 11.5);
  EXPECT_LT(bits[to_string(kAnchoredFp8)], 6);
  EXPECT_LT(bits["int8"], bits["none"] / 2);
}

TEST(restore, another_model_is_refused) {
  scene& s = shared();
  const auto tokens = fixture_tokens("evaluation/target/000.safetensors");
  page_pool pool(s.m.config, 8);
  kv_cache cache(pool);
  forward_pass pass(s.m, s.two);
  ASSERT_TRUE(prefill(pass, cache, tokens));
  const auto by = std::ranges::find(s.codings, to_string(kAnchoredFp8), &coding::name);
  ASSERT_NE(by, s.codings.end());
  const auto compressed = offload(*by, s.two, tokens, cache, s.m.config);
  ASSERT_TRUE(compressed);

  // One weight of the first layer's gate projection.
  model other = s.m;
  const auto& gate = static_cast<const bf16_matrix&>(*s.m.layers[0].gate);
  std::vector<std::uint16_t> weights;
  for (std::uint32_t o = 0; o < gate.outputs(); ++o)
    for (std::uint32_t i = 0; i < gate.inputs(); ++i) weights.push_back(gate.at(o, i));
  weights[5000] = to_bf16(-1);
  other.layers[0].gate = std::make_shared<bf16_matrix>(gate.outputs(), gate.inputs(), weights);
  coding wrong = *by;
  wrong.predictor = std::make_shared<const predictor_model>(
      predictor_model(other, kAnchoredFp8, by->predictor->maps()));
  EXPECT_NE(wrong.predictor->identity(), by->predictor->identity());
  const auto outcome = reload(wrong, s.two, tokens, *compressed, cache, s.m.config);
  EXPECT_EQ(outcome.code(), skv::status::wrong_prediction) << outcome.failure().message;

  // And other tokens, which is the same to the codec.
  auto others = tokens;
  others[40] = 7;
  EXPECT_EQ(reload(*by, s.two, others, *compressed, cache, s.m.config).code(),
            skv::status::wrong_prediction);
}

}  // namespace
}  // namespace engine::test
