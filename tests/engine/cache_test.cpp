// Pages, and the files that caches and tokens are kept in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/cache_file.hpp"
#include "engine/generate.hpp"
#include "models.hpp"
#include "run.hpp"
#include "support/cache_file.hpp"

namespace engine::test {
namespace {

using skv::tensor_kind;
using testing::HasSubstr;

model_config small_config() {
  model_config c;
  c.layers = 2;
  c.kv_heads = 3;
  c.head_dim = 4;
  return c;
}

std::vector<std::uint16_t> counted(std::size_t count, std::uint16_t from) {
  std::vector<std::uint16_t> x(count);
  for (auto& n : x) n = from++;
  return x;
}

TEST(kv_cache, keeps_what_is_written_across_pages) {
  const auto c = small_config();
  page_pool pool(c, 4);
  kv_cache a(pool), b(pool);
  ASSERT_TRUE(a.resize(17));
  ASSERT_TRUE(b.resize(20));
  ASSERT_TRUE(a.resize(30)) << "the page that is there has room";
  EXPECT_EQ(pool.free_pages(), 0u);
  EXPECT_FALSE(a.resize(33));
  EXPECT_EQ(a.tokens(), 30u);
  for (std::uint32_t layer = 0; layer < 2; ++layer)
    for (const auto kind : {tensor_kind::k, tensor_kind::v}) {
      const auto key = static_cast<std::uint16_t>(1000 * layer + 500 * (kind == tensor_kind::v));
      a.write(layer, kind, 0, counted(5 * 12, key));
      a.write(layer, kind, 5, counted(25 * 12, static_cast<std::uint16_t>(key + 60)));
      b.write(layer, kind, 0, counted(20 * 12, static_cast<std::uint16_t>(key + 7)));
    }
  for (std::uint32_t layer = 0; layer < 2; ++layer)
    for (const auto kind : {tensor_kind::k, tensor_kind::v}) {
      const auto key = static_cast<std::uint16_t>(1000 * layer + 500 * (kind == tensor_kind::v));
      std::vector<std::uint16_t> x(30 * 12), y(7 * 12);
      a.read(layer, kind, 0, x);
      EXPECT_EQ(x, counted(30 * 12, key));
      b.read(layer, kind, 12, y);
      EXPECT_EQ(y, counted(7 * 12, static_cast<std::uint16_t>(key + 7 + 12 * 12)));
    }
}

TEST(kv_cache, pages_that_are_dropped_hold_nothing) {
  const auto c = small_config();
  page_pool pool(c, 2);
  {
    kv_cache a(pool);
    ASSERT_TRUE(a.resize(32));
    a.write(1, tensor_kind::v, 0, counted(32 * 12, 1));
  }
  EXPECT_EQ(pool.free_pages(), 2u);
  for (const std::uint16_t x : std::as_const(pool).rows(1, 1, tensor_kind::v)) EXPECT_EQ(x, 0x7fc0);
}

TEST(cache_file, is_what_skv_reads) {
  model_folder f;
  const model m = f.make(1);
  workers team(1);
  const auto tokens = random_tokens(21, m.config.vocabulary, 2);
  page_pool pool(m.config, 2);
  kv_cache cache(pool);
  forward_pass pass(m, team);
  ASSERT_TRUE(prefill(pass, cache, tokens));
  const auto path = f.folder / "cache.safetensors";
  ASSERT_TRUE(write_cache(path, m.config, tokens, cache));
  const skv::test::cache_file file(skv::test::read_bytes(path));
  ASSERT_EQ(file.tensors().size(), 6u);
  const auto numbers = numbers_of(cache, m.config);
  for (const auto& t : file.tensors()) {
    EXPECT_EQ(t.tokens, 21u);
    EXPECT_EQ(t.heads, 2u);
    EXPECT_EQ(t.head_dim, 10u);
    const auto& expected = numbers[2 * t.id.layer + (t.id.kind == tensor_kind::v)];
    EXPECT_TRUE(std::ranges::equal(file.bytes().subspan(t.begin, t.end - t.begin),
                                   std::as_bytes(std::span(expected))));
  }
  const auto back = read_tokens(path);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, tokens);
}

TEST(tokens, are_read_from_text) {
  skv::io::scratch_folder folder;
  const auto path = folder / "ids";
  skv::io::fill_file(path, " 1 22\n\t333 ");
  EXPECT_EQ(*read_tokens(path), (std::vector<std::int32_t>{1, 22, 333}));
  skv::io::fill_file(path, "1 x2");
  EXPECT_THAT(read_tokens(path).failure().message, HasSubstr("'x2' is not a token id"));
  skv::io::fill_file(path, "1 99999999999");
  EXPECT_EQ(read_tokens(path).code(), skv::status::corrupt);
  EXPECT_EQ(read_tokens(folder / "none").code(), skv::status::io_error);
  skv::io::fill_file(folder / "x.safetensors", "short");
  EXPECT_THAT(read_tokens(folder / "x.safetensors").failure().message, HasSubstr("x.safetensors"));
}

TEST(generate, refuses_what_it_cannot_run) {
  model_folder f;
  f.config["rope_scaling"] = R"({"type": "dynamic", "factor": 2.0})";
  f.config["max_position_embeddings"] = "20";
  const model m = f.make(1);
  workers team(1);
  forward_pass pass(m, team);
  page_pool pool(m.config, 1);
  kv_cache cache(pool);
  const auto message = [&](std::vector<std::int32_t> tokens) {
    const auto outcome = prefill(pass, cache, tokens);
    EXPECT_EQ(cache.tokens(), 0u);
    return outcome ? "" : outcome.failure().message;
  };
  EXPECT_THAT(message({}), HasSubstr("no token"));
  EXPECT_THAT(message({1, 90}), HasSubstr("token 90"));
  EXPECT_THAT(message({-1}), HasSubstr("token -1"));
  EXPECT_THAT(message(std::vector<std::int32_t>(17, 1)), HasSubstr("pages"));
  EXPECT_THAT(message(std::vector<std::int32_t>(21, 1)), HasSubstr("dynamic"));
}

TEST(generate, goes_on_until_an_end_token) {
  model_folder f;
  model m = f.make(2);
  workers team(1);
  const auto go = [&](std::uint32_t count) {
    forward_pass pass(m, team);
    page_pool pool(m.config, 8);
    kv_cache cache(pool);
    std::vector<std::int32_t> tokens = {5, 6, 7};
    EXPECT_TRUE(decode(pass, cache, tokens, count));
    return tokens;
  };
  const auto tokens = go(40);
  ASSERT_EQ(tokens.size(), 43u);
  // The first new token that has not been there before ends the text.
  const auto at = std::ranges::find_if(tokens.begin() + 10, tokens.end(), [&](std::int32_t t) {
    return std::find(tokens.begin() + 3, tokens.end(), t) >= tokens.begin() + 10;
  });
  ASSERT_NE(at, tokens.end());
  m.config.end_tokens = {1000, *at};
  EXPECT_EQ(go(40), std::vector(tokens.begin(), at + 1));
}

}  // namespace
}  // namespace engine::test
