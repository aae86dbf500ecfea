// Linear propagation through the C ABI: the predictor's means, and caches that come back.
#include <gmock/gmock.h>

#include <skv/cpu/linear_predictor.hpp>
#include <skv/predict/reference.hpp>

#include "c_api/linear_pass.hpp"

namespace skv {
namespace {

using namespace test;
using testing::HasSubstr;

using pass_case = linear_pass_case;
constexpr std::uint32_t kTokens = pass_case::kTokens;

TEST(c_linear, makes_the_means_of_the_predictor) {
  for (const linear_case& kind : linear_cases()) {
    SCOPED_TRACE(text_of(kind));
    const pass_case c(kind);
    const auto& scales = c.used_profile->content().scales;
    const reference bases([&](const tensor_shape& t) {
      for (std::size_t i = 0; i < scales.size(); ++i)
        if (scales[i].id == t.id) return c.cache.base_rows(i);
      return row_view<const std::byte>{};
    });
    const cpu::linear_steps steps(c.used_profile);
    auto expected =
        kind.outside
            ? cpu::linear(*cpu::outside_rows::of(steps, c.outside.inputs(), c.positions), bases)
            : cpu::linear(c.used_profile, bases, c.positions);
    const c_pass pass = c.start();
    for (std::size_t i = 0; i < c.tensors(); ++i) {
      if (i == 2) continue;  // left out
      const auto count = kTokens - static_cast<std::uint32_t>(i);
      const tensor_shape t{scales[i].id, count, scales[i].heads, scales[i].head_dim};
      const skv_slice s = c.slice(i, count);
      const std::size_t row = c.mean_row_bytes(i), stride = row + 6;
      guarded_bytes means(stride * (count - 1) + row);
      std::fill_n(means.data(), means.size(), std::byte{0x5a});
      for (int again = 0; again < 2; ++again)
        ASSERT_EQ(c.predict(pass, s, i, means.data(), means.size(), stride), SKV_OK)
            << skv_last_error();
      const auto rows = expected.predict(t);
      for (std::uint32_t token = 0; token < count; ++token) {
        const std::byte* const at = means.data() + token * stride;
        ASSERT_TRUE(std::equal(at, at + row, rows.data + token * rows.token_stride_bytes));
        const std::byte* const next = token + 1 == count ? at + row : at + stride;
        ASSERT_TRUE(std::all_of(at + row, next, [](std::byte b) { return b == std::byte{0x5a}; }));
      }
      ASSERT_TRUE(means.margins_intact());
      ASSERT_EQ(c.update(pass, s, i), SKV_OK) << skv_last_error();
      expected.update(t, c.cache.rows(i));
    }
  }
}

TEST(c_linear, positions_count_from_0_if_none_are_given) {
  linear_case kind;
  kind.base = mean_source::none;
  pass_case counted(kind), plain(kind);
  std::iota(counted.positions.begin(), counted.positions.end(), 0u);
  plain.tokens.positions = nullptr;
  std::vector<std::vector<std::byte>> means;
  for (const pass_case* c : {&counted, &plain}) {
    const c_pass pass = c->start();
    std::vector<std::byte> last;
    for (std::size_t i = 0; i < c->tensors(); ++i) {
      const skv_slice s = c->slice(i, kTokens);
      last.assign(c->mean_row_bytes(i) * kTokens, std::byte{0});
      // Without bases none are read.
      ASSERT_EQ(skv_linear_predict(pass.get(), &s, nullptr, 0, last.data(), 0, last.size()),
                SKV_OK);
      ASSERT_EQ(c->update(pass, s, i), SKV_OK);
    }
    means.push_back(last);
  }
  EXPECT_EQ(means[0], means[1]);
}

TEST(c_linear, a_cache_is_encoded_and_decoded_tensor_by_tensor) {
  for (const linear_case& kind : linear_cases()) {
    SCOPED_TRACE(text_of(kind));
    const pass_case c(kind);
    const c_codec codec = c_codec_of(c.profile.get());
    const c_pass encoding = c.start(), decoding = c.start();
    for (std::size_t i = 0; i < c.tensors(); ++i) {
      const skv_slice s = c.slice(i, kTokens);
      std::vector<std::byte> means(c.mean_row_bytes(i) * kTokens);
      guarded_bytes compressed(c.cache.numbers[i].size()), restored(c.cache.numbers[i].size());
      skv_tile_record record{};
      skv_encode_item e{};
      e.struct_size = sizeof e;
      e.slice = &s;
      e.numbers = c.cache.numbers[i].data();
      e.means = means.data();
      e.compressed = compressed.data();
      e.capacity_bytes = compressed.size();
      e.records = &record;
      e.record_capacity = 1;
      ASSERT_EQ(c.predict(encoding, s, i, means.data(), means.size()), SKV_OK) << skv_last_error();
      ASSERT_EQ(skv_encode(codec.get(), &e, 1, 1), SKV_OK) << skv_last_error();
      ASSERT_EQ(c.update(encoding, s, i), SKV_OK) << skv_last_error();

      std::ranges::fill(means, std::byte{0x5a});
      skv_decode_item d{};
      d.struct_size = sizeof d;
      d.slice = &s;
      d.compressed = compressed.data();
      d.compressed_bytes = e.compressed_bytes;
      d.records = &record;
      d.record_count = 1;
      d.numbers = restored.data();
      d.capacity_bytes = restored.size();
      d.means = means.data();
      ASSERT_EQ(c.predict(decoding, s, i, means.data(), means.size()), SKV_OK) << skv_last_error();
      ASSERT_EQ(skv_decode(codec.get(), &d, 1, 1), SKV_OK) << skv_last_error();
      ASSERT_EQ(skv_linear_update(decoding.get(), &s, restored.data(), 0), SKV_OK);
      ASSERT_TRUE(std::ranges::equal(restored.bytes(), c.cache.numbers[i]));
    }
  }
}

void expect_refused(skv_status s, skv_status expected, const char* why) {
  EXPECT_EQ(s, expected) << why;
  EXPECT_THAT(skv_last_error(), HasSubstr(why));
}

TEST(c_linear, calls_out_of_turn_are_refused) {
  const pass_case c(linear_case{});
  const c_pass pass = c.start();
  const skv_slice first = c.slice(0, kTokens), second = c.slice(1, kTokens);
  std::vector<std::byte> means(c.mean_row_bytes(0) * kTokens);
  const auto predict = [&](const skv_slice& s, std::size_t tensor) {
    return c.predict(pass, s, tensor, means.data(), means.size());
  };
  const skv_status bad = SKV_INVALID_ARGUMENT;
  expect_refused(c.update(pass, first, 0), bad, "layers.0.k: not what was predicted last");
  ASSERT_EQ(predict(first, 0), SKV_OK);
  expect_refused(c.update(pass, second, 1), bad, "layers.0.v: not what was predicted last");
  expect_refused(c.update(pass, c.slice(0, kTokens - 1), 0), bad, "not what was predicted last");
  ASSERT_EQ(c.update(pass, first, 0), SKV_OK);
  expect_refused(c.update(pass, first, 0), bad, "the pass is beyond this tensor");
  expect_refused(predict(first, 0), bad, "the pass is beyond this tensor");
  ASSERT_EQ(predict(second, 1), SKV_OK);
}

TEST(c_linear, arguments_are_checked) {
  const pass_case c(linear_case{});
  const c_pass pass = c.start();
  skv_slice s = c.slice(0, kTokens);
  guarded_bytes means(c.mean_row_bytes(0) * kTokens);
  std::fill_n(means.data(), means.size(), std::byte{0x5a});
  const std::byte* const bases = c.cache.bases[0].data();
  const auto predict = [&](const skv_slice* tensor, const void* from, std::size_t stride, void* to,
                           std::size_t capacity) {
    return skv_linear_predict(pass.get(), tensor, from, stride, to, 0, capacity);
  };
  const skv_status bad = SKV_INVALID_ARGUMENT;
  const std::size_t room = means.size();
  expect_refused(predict(nullptr, bases, 0, means.data(), room), bad, "slice: null pointer");
  expect_refused(predict(&s, nullptr, 0, means.data(), room), bad, "bases: null pointer");
  expect_refused(predict(&s, bases, 1, means.data(), room), bad, "bases: a stride of 1 bytes");
  expect_refused(predict(&s, bases, 0, nullptr, room), bad, "means: null pointer");
  expect_refused(predict(&s, bases, 0, means.data(), room - 1), SKV_DOES_NOT_FIT, "bytes of means");
  EXPECT_TRUE(std::ranges::all_of(means.bytes(), [](std::byte b) { return b == std::byte{0x5a}; }));
  const auto refused = [&](skv_status expected, const char* why, auto&& change) {
    skv_slice changed = s;
    change(changed);
    expect_refused(predict(&changed, bases, 0, means.data(), room), expected, why);
  };
  refused(bad, "24 tokens, the pass has 23", [](skv_slice& t) { ++t.tokens; });
  refused(bad, "not all heads", [](skv_slice& t) { t.head_count = 1; });
  refused(bad, "struct_size", [](skv_slice& t) { t.struct_size = 8; });
  refused(SKV_WRONG_PROFILE, "layers.9.k", [](skv_slice& t) { t.layer = 9; });
  refused(SKV_WRONG_PROFILE, "layers.0.k", [](skv_slice& t) { ++t.head_dim; });
  refused(SKV_UNSUPPORTED, "reserved", [](skv_slice& t) { t.reserved = 1; });
  expect_refused(skv_linear_predict(nullptr, &s, bases, 0, means.data(), 0, room), bad,
                 "pass: null pointer");
  ASSERT_EQ(predict(&s, bases, 0, means.data(), room), SKV_OK);
  expect_refused(skv_linear_update(nullptr, &s, bases, 0), bad, "pass: null pointer");
  expect_refused(skv_linear_update(pass.get(), &s, nullptr, 0), bad, "numbers: null pointer");
  expect_refused(skv_linear_update(pass.get(), &s, bases, 3), bad, "numbers: a stride of 3");
  EXPECT_EQ(c.update(pass, s, 0), SKV_OK) << "it can still be done right";
  skv_linear_pass_release(nullptr);
}

TEST(c_linear, a_pass_that_cannot_be_is_refused) {
  linear_case kind;
  kind.outside = true;
  const auto refused = [&](skv_status expected, const char* why, auto&& change) {
    pass_case c(kind);
    change(c);
    skv_linear_pass* made = nullptr;
    expect_refused(skv_linear_pass_create(c.profile.get(), &c.tokens, &made), expected, why);
    EXPECT_EQ(made, nullptr);
  };
  const skv_status bad = SKV_INVALID_ARGUMENT, wrong = SKV_WRONG_PREDICTION;
  refused(bad, "profile or pass: null pointer", [](pass_case& c) { c.profile.reset(); });
  refused(bad, "no linear propagation",
          [](pass_case& c) { c.profile = c_profile_of(*default_profile_of(kGiven)); });
  refused(bad, "tokens: its struct_size", [](pass_case& c) { c.tokens.struct_size = 0; });
  refused(bad, "tokens: there are none", [](pass_case& c) { c.tokens.count = 0; });
  refused(SKV_UNSUPPORTED, "tokens: its reserved", [](pass_case& c) { c.tokens.reserved = 1; });
  refused(bad, "tokens: misaligned", [](pass_case& c) {
    c.tokens.ids = reinterpret_cast<const std::uint32_t*>(c.outside.table_numbers.data() + 1);
  });
  refused(wrong, "none is given", [](pass_case& c) { c.tokens.embedding = nullptr; });
  refused(wrong, "0 token ids for 23", [](pass_case& c) { c.tokens.ids = nullptr; });
  refused(wrong, "none is given", [](pass_case& c) { c.tokens.draft_count = 0; });
  refused(wrong, "none is given", [](pass_case& c) {  // of a caller that knows of neither
    c.tokens.struct_size = offsetof(skv_linear_tokens, embedding);
  });
  refused(wrong, "the embedding is [49, 10]", [](pass_case& c) {
    c.tokens.embedding =
        (c.embedding = c_embedding_of(SKV_FORMAT_BF16, 49, 10, c.outside.table_numbers)).get();
  });
  refused(wrong, "has other numbers", [](pass_case& c) {
    c.outside.table_numbers[7] ^= std::byte{1};
    c.tokens.embedding =
        (c.embedding = c_embedding_of(SKV_FORMAT_BF16, 50, 10, c.outside.table_numbers)).get();
  });
  refused(bad, "draft: null pointer", [](pass_case& c) { c.tokens.draft = nullptr; });
  refused(bad, "no array is that large", [](pass_case& c) { c.tokens.draft_count = SIZE_MAX; });
  refused(bad, "draft: null pointer", [](pass_case& c) { c.draft.numbers = nullptr; });
  refused(bad, "slice: null pointer", [](pass_case& c) { c.draft.slice = nullptr; });
  refused(bad, "not all heads", [](pass_case& c) { c.draft_slice.head_count = 2; });
  refused(bad, "unknown number format 9", [](pass_case& c) { c.draft.format = 9; });
  refused(SKV_UNSUPPORTED, "draft: its reserved", [](pass_case& c) { c.draft.reserved = 1; });
  refused(wrong, "layers.1.k is missing", [](pass_case& c) { c.draft_slice.layer = 2; });
  refused(wrong, "24 tokens", [](pass_case& c) { ++c.draft_slice.tokens; });

  skv_embedding* made = nullptr;
  const std::byte numbers[64]{};
  expect_refused(skv_embedding_create(SKV_FORMAT_BF16, 1, 1, nullptr, &made), bad, "null pointer");
  expect_refused(skv_embedding_create(SKV_FORMAT_BF16, 1, 1, numbers, nullptr), bad,
                 "null pointer");
  expect_refused(skv_embedding_create(257, 1, 1, numbers, &made), bad, "unknown number format 257");
  expect_refused(skv_embedding_create(0, 0, 1, numbers, &made), bad, "no rows");
  expect_refused(skv_embedding_create(0, 1, 0, numbers, &made), bad, "no rows");
  expect_refused(skv_embedding_create(0, ~0u, ~0u, numbers, &made), bad, "more bytes than memory");
  EXPECT_EQ(skv_embedding_create(0, 4, 4, numbers, &made), SKV_OK);
  EXPECT_EQ(skv_embedding_retain(made), made);
  skv_embedding_release(made);
  skv_embedding_release(made);
  EXPECT_EQ(skv_embedding_retain(nullptr), nullptr);
  skv_embedding_release(nullptr);
}

}  // namespace
}  // namespace skv
