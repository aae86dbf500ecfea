// Profiles as objects and as bytes: what is accepted, what is refused, and under which name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/archives.hpp"
#include "support/codecs.hpp"
#include "support/effort.hpp"
#include "support/profiles.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::kGiven;
using testing::ElementsAreArray;
using testing::HasSubstr;

byte_string bytes_of(const profile& p) { return {p.bytes().begin(), p.bytes().end()}; }

TEST(profile, comes_back_from_its_bytes) {
  for (const auto id : test::all_codings()) {
    SCOPED_TRACE(test::name_of(id));
    const auto made = profile::make(test::content_with_scales(id));
    ASSERT_TRUE(made) << made.failure().message;
    const auto read = profile::parse((*made)->bytes());
    ASSERT_TRUE(read) << read.failure().message;
    EXPECT_EQ((*read)->id(), (*made)->id());
    EXPECT_THAT((*read)->bytes(), ElementsAreArray((*made)->bytes()));
    const profile_content &a = (*made)->content(), &b = (*read)->content();
    EXPECT_EQ(a.target, b.target);
    EXPECT_EQ(a.source, b.source);
    EXPECT_EQ(a.mean, b.mean);
    EXPECT_EQ(a.frequencies, b.frequencies);
    ASSERT_EQ(b.scales.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(a.scales[i].id, b.scales[i].id);
      EXPECT_EQ(a.scales[i].codes, b.scales[i].codes);
    }
  }
}

TEST(profile, carries_attachments) {
  const byte_string some = test::random_bytes(1000, 3), none;
  profile_content content = test::content_with_scales(kGiven);
  content.attachments = {{"anchors", some}, {"empty", none}};
  const auto made = profile::make(content);
  ASSERT_TRUE(made) << made.failure().message;
  const auto read = *profile::parse((*made)->bytes());
  EXPECT_THAT(read->attached("anchors"), ElementsAreArray(some));
  EXPECT_EQ(read->content().attachments.size(), 2u);
  EXPECT_TRUE(read->attached("empty").empty());
  EXPECT_EQ(read->attached("another").data(), nullptr);
  EXPECT_EQ(read->content().frequencies, content.frequencies);
  EXPECT_TRUE((*read->slice_heads(0, 1))->content().attachments.empty());

  const byte_string whole = bytes_of(*read);
  for (std::size_t n = 0; n < whole.size(); ++n)
    ASSERT_EQ(profile::parse(std::span(whole).first(n)).code(), status::truncated) << n;
  // A size that reaches beyond the end, and one that ends too early.
  const std::size_t size_at = whole.size() - 8 - 14 - 1000 - 8;
  ASSERT_EQ(test::get<std::uint64_t>(whole, size_at), 1000u);
  for (const std::uint64_t size : {std::uint64_t{999}, std::uint64_t{1001}, ~std::uint64_t{0}}) {
    byte_string bad = whole;
    test::put(bad, size_at, size);
    test::reseal_profile(bad);
    EXPECT_EQ(profile::parse(bad).code(), status::corrupt) << size;
  }
  for (const auto& [first, second] : {std::pair{"b", "a"}, {"a", "a"}, {"", "a"}, {"a", "b\n"}}) {
    content.attachments = {{first, some}, {second, none}};
    EXPECT_EQ(profile::make(content).code(), status::invalid_argument) << first << second;
  }
}

TEST(profile, is_named_by_its_bytes) {
  const auto p = *profile::make(test::content_with_scales(kGiven));
  const XXH128_hash_t hash = XXH3_128bits(p->bytes().data(), p->bytes().size());
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  EXPECT_EQ(to_string(p->id()), text);

  profile_content other = p->content();
  other.scales[3].codes.back() ^= 1;
  EXPECT_NE((*profile::make(other))->id(), p->id());
}

TEST(profile, every_beginning_of_it_is_refused) {
  const byte_string whole = bytes_of(**profile::make(test::content_with_scales(kGiven)));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const byte_string part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    const auto read = profile::parse(part);
    ASSERT_FALSE(read) << n;
    ASSERT_EQ(read.code(), status::truncated) << n << ": " << read.failure().message;
  }
  byte_string longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(profile::parse(longer).code(), status::corrupt);
}

TEST(profile, every_altered_byte_is_refused) {
  const byte_string whole = bytes_of(**profile::make(test::content_with_scales(kGiven)));
  for (std::size_t at = 0; at < whole.size(); at += test::kStride)
    for (const unsigned flip : {1u, 0x80u, 0xffu}) {
      byte_string altered = whole;
      altered[at] ^= static_cast<std::byte>(flip);
      const auto read = profile::parse(altered);
      ASSERT_FALSE(read) << at;
      ASSERT_FALSE(read.failure().message.empty());
      // Also with a checksum that fits: then it is another profile, or refused for its contents.
      if (at + 8 < whole.size()) test::reseal_profile(altered);
      if (const auto resealed = profile::parse(altered)) {
        ASSERT_NE((*resealed)->id(), (*profile::parse(whole))->id()) << at;
      }
    }
}

TEST(profile, says_what_is_wrong_with_bytes) {
  const byte_string whole = bytes_of(**profile::make(test::content_with_scales(kGiven)));
  const auto refusal = [&](std::size_t at, std::uint32_t value, int width, bool seal = true) {
    byte_string altered = whole;
    for (int i = 0; i < width; ++i)
      altered[at + static_cast<std::size_t>(i)] = static_cast<std::byte>(value >> (8 * i) & 0xff);
    if (seal) test::reseal_profile(altered);
    const auto read = profile::parse(altered);
    EXPECT_FALSE(read);
    return read ? error{} : read.failure();
  };
  EXPECT_THAT(refusal(0, 'X', 1).message, HasSubstr("not a .skvp"));
  EXPECT_EQ(refusal(4, 2, 2).code, status::unsupported);  // a later version
  EXPECT_THAT(refusal(4, 2, 2).message, HasSubstr("version 2"));
  EXPECT_EQ(refusal(6, 77, 1).code, status::unsupported);    // number format
  EXPECT_EQ(refusal(7, 77, 1).code, status::unsupported);    // predictor
  EXPECT_EQ(refusal(20, 128, 4).code, status::unsupported);  // required features
  EXPECT_THAT(refusal(10, 1, 2).message, HasSubstr("reserved"));
  EXPECT_THAT(refusal(12, 0xffffffff, 4).message, HasSubstr("more tensors than bytes"));
  EXPECT_THAT(refusal(12, 3, 4).message, HasSubstr("do not add up"));
  EXPECT_THAT(refusal(16, 0xffff, 2).message, HasSubstr("wrong shape"));
  EXPECT_THAT(refusal(36, 9, 4).message, HasSubstr("impossible kind or shape"));
  EXPECT_THAT(refusal(40, 0xffffffff, 4).message, HasSubstr("impossible kind or shape"));
  EXPECT_THAT(refusal(60, 1, 1, false).message, HasSubstr("checksum"));
}

TEST(profile, refuses_contents_that_no_coder_could_use) {
  const profile_content good = test::content_with_scales(kGiven);
  const auto why = [&](const std::function<void(profile_content&)>& spoil) {
    profile_content c = good;
    spoil(c);
    const auto made = profile::make(std::move(c));
    EXPECT_FALSE(made);
    if (made) return std::string();
    EXPECT_EQ(made.code(), status::invalid_argument);
    return made.failure().message;
  };
  const table_shape shape = coding_table_shape(kGiven.target, kGiven.source, kGiven.mean);
  EXPECT_THAT(why([](auto& c) { ++c.frequencies[0]; }), HasSubstr("context 0 do not sum to 512"));
  EXPECT_THAT(why([&](auto& c) { c.frequencies[shape.tokens] = 65535; }), HasSubstr("context 1"));
  EXPECT_THAT(why([&](auto& c) {
                auto& escape = c.frequencies[shape.escape];
                c.frequencies[shape.escape == 0 ? 1 : 0] += escape;
                escape = 0;
              }),
              HasSubstr("escape of context 0"));
  EXPECT_THAT(why([](auto& c) { c.frequencies.pop_back(); }), HasSubstr("wrong size"));
  EXPECT_THAT(why([](auto& c) { c.frequencies.clear(); }), HasSubstr("wrong size"));
  EXPECT_THAT(why([](auto& c) { std::swap(c.scales[0], c.scales[1]); }), HasSubstr("ascending"));
  EXPECT_THAT(why([](auto& c) { c.scales[1] = c.scales[0]; }), HasSubstr("ascending"));
  EXPECT_THAT(why([](auto& c) { c.scales[1].codes.pop_back(); }), HasSubstr("layers.0.v"));
  EXPECT_THAT(why([](auto& c) { c.scales[0].heads = 0; }), HasSubstr("layers.0.k"));
  EXPECT_THAT(why([](auto& c) {
                c.scales[0] = {{0, tensor_kind::k}, 1u << 16, 1u << 16, {}};
              }),
              HasSubstr("layers.0.k"));
  EXPECT_THAT(why([](auto& c) { c.scales[3].id.kind = static_cast<tensor_kind>(3); }),
              HasSubstr("unknown kind"));
  EXPECT_THAT(why([](auto& c) { c.default_code = 1; }), HasSubstr("default scale"));
  EXPECT_THAT(why([](auto& c) { c.mean = format_id::e4m3; }), HasSubstr("no coding"));
}

TEST(profile, gives_the_codes_of_a_tensor_of_its_shape_only) {
  const auto p = *profile::make(test::content_with_scales(kGiven));
  const auto codes = p->codes({1, tensor_kind::v}, 3, 4);
  ASSERT_TRUE(codes);
  EXPECT_THAT(*codes, ElementsAreArray(p->content().scales[3].codes));
  for (const auto& wrong :
       {p->codes({1, tensor_kind::v}, 4, 3), p->codes({1, tensor_kind::v}, 3, 5),
        p->codes({2, tensor_kind::v}, 3, 4), p->codes({1, tensor_kind::latent}, 3, 4)}) {
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.code(), status::wrong_profile);
    EXPECT_THAT(wrong.failure().message, HasSubstr(to_string(p->id())));
  }
}

TEST(profile, is_sliced_by_heads) {
  const auto p = *profile::make(test::content_with_scales(kGiven));
  for (std::uint32_t first = 0; first < 2; ++first)
    for (std::uint32_t count = 1; first + count <= 2; ++count) {
      const auto slice = p->slice_heads(first, count);
      ASSERT_TRUE(slice) << slice.failure().message;
      EXPECT_NE((*slice)->id(), p->id());
      EXPECT_EQ((*slice)->content().frequencies, p->content().frequencies);
      for (const tensor_scales& s : p->content().scales) {
        const auto codes = (*slice)->codes(s.id, count, s.head_dim);
        ASSERT_TRUE(codes) << codes.failure().message;
        EXPECT_THAT(*codes, ElementsAreArray(std::span(s.codes).subspan(first * s.head_dim,
                                                                        count * s.head_dim)));
      }
      const auto read = profile::parse((*slice)->bytes());
      ASSERT_TRUE(read);
      EXPECT_EQ((*read)->id(), (*slice)->id());
    }
  for (const auto& [first, count] : {std::pair{0u, 0u}, {0u, 3u}, {2u, 1u}, {1u, 2u}, {~0u, 2u}}) {
    const auto slice = p->slice_heads(first, count);
    ASSERT_FALSE(slice) << first << ", " << count;
    EXPECT_EQ(slice.code(), status::invalid_argument);
  }
}

}  // namespace
}  // namespace skv
