// The container: written and read again, altered anywhere, cut anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/archives.hpp"
#include "support/codecs.hpp"
#include "support/effort.hpp"
#include "support/profiles.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::kAlone;
using test::opaque_stream;
using test::tensor_stream;
using testing::HasSubstr;

// A small file with tiles of every mode but prediction.
struct small_file {
  profile_ptr p = test::default_profile_of(kAlone);
  cpu::codec coder{p};
  byte_string source, bytes;

  small_file() {
    container c = test::box_of(
        *p,
        {opaque_stream(9), tensor_stream({0, tensor_kind::k}, format_id::bf16, 40, 2, 16, 16, 2),
         opaque_stream(300), tensor_stream({0, tensor_kind::v}, format_id::bf16, 7, 3, 5, 4, 1),
         tensor_stream({1, tensor_kind::latent}, format_id::bf16, 6, 1, 8, 6, 1)});
    c.preamble = test::random_bytes(20, 1);
    c.embedded_profile.assign(p->bytes().begin(), p->bytes().end());
    source = c.preamble;
    append(source, test::random_bytes(9, 2));
    test::random_source random(3);
    for (int i = 0; i < 40 * 32; ++i)  // small numbers of both signs: coded
      append(source,
             static_cast<std::uint16_t>(0x3f00 + random.below(256) + 0x8000 * random.below(2)));
    append(source, byte_string(300, std::byte{7}));
    append(source, test::random_bytes(7 * 15 * 2, 4));
    append(source, byte_string(6 * 8 * 2, std::byte{0}));  // constant
    bytes = *test::pack(c, coder, source, {});
  }
};

TEST(container, comes_back_from_its_front_matter) {
  const small_file f;
  const auto c = parse_container(f.bytes);
  ASSERT_TRUE(c) << c.failure().message;
  EXPECT_EQ(c->profile, f.p->id());
  EXPECT_EQ(c->target, format_id::bf16);
  EXPECT_EQ(c->source, mean_source::none);
  EXPECT_EQ(c->preamble.size(), 20u);
  EXPECT_EQ(c->embedded_profile, byte_string(f.p->bytes().begin(), f.p->bytes().end()));
  ASSERT_EQ(c->streams.size(), 5u);
  EXPECT_EQ(c->streams[3], tensor_stream({0, tensor_kind::v}, format_id::bf16, 7, 3, 5, 4, 1));
  EXPECT_EQ(c->source_bytes(), f.source.size());
  EXPECT_EQ(c->records.size(), 1u + 3 + 1 + 6 + 1);
  std::array<int, 4> modes{};
  for (const tile_record& r : c->records) ++modes[static_cast<std::size_t>(r.mode())];
  EXPECT_THAT(modes, testing::ElementsAre(testing::Gt(0), testing::Gt(0), 0, testing::Gt(0)));

  const byte_string front = front_matter(*c);
  EXPECT_EQ(front.size(), c->tiles_begin);
  EXPECT_TRUE(std::equal(front.begin(), front.end(), f.bytes.begin()));
  EXPECT_EQ(*test::unpack(f.bytes, f.coder, {}), f.source);
}

container with_predictor() {
  container c = test::box_of(*test::default_profile_of(test::kGiven), {});
  c.predictor = predictor_identity{"fp8,anchored", {std::byte{1}, std::byte{2}}};
  // Whatever does not shrink: so the metadata are stored as they are.
  std::ranges::copy(test::random_bytes(14, 9), c.predictor->fingerprint.begin() + 2);
  return c;
}

TEST(container, names_the_predictor_of_given_means) {
  const container c = with_predictor();
  const auto back = parse_container(front_matter(c));
  ASSERT_TRUE(back) << back.failure().message;
  EXPECT_EQ(back->predictor, c.predictor);
  EXPECT_TRUE(require_predictor(back->predictor, *c.predictor));

  predictor_identity other = *c.predictor;
  other.name = "int8";
  EXPECT_TRUE(require_predictor(back->predictor, other)) << "names are for people";
  other.fingerprint[15] ^= std::byte{1};
  const auto refused = require_predictor(back->predictor, other);
  EXPECT_EQ(refused.code(), status::wrong_prediction);
  EXPECT_THAT(refused.failure().message,
              AllOf(HasSubstr("fp8,anchored (0102"), HasSubstr("int8 (0102")));
  EXPECT_EQ(require_predictor({}, other).code(), status::wrong_prediction);
}

TEST(container, refuses_a_predictor_that_makes_no_sense) {
  const byte_string good = front_matter(with_predictor());
  ASSERT_EQ(test::get<std::uint32_t>(good, test::kStoredBytesAt),
            test::get<std::uint32_t>(good, test::kMetadataBytesAt));
  const std::size_t name_at = test::kHeaderBytes + 12;
  const auto code_with = [&](std::size_t at, std::byte value) {
    byte_string bad = good;
    bad[at] = value;
    test::reseal(bad);
    return parse_container(bad).code();
  };
  EXPECT_EQ(code_with(name_at, std::byte{12}), status::ok);
  for (const int size : {0, 11, 13, 255})
    EXPECT_EQ(code_with(name_at, std::byte(size)), status::corrupt) << size;
  EXPECT_EQ(code_with(name_at + 1, std::byte{0x1f}), status::corrupt);
  EXPECT_EQ(code_with(name_at + 1, std::byte{0x7f}), status::corrupt);
  EXPECT_EQ(code_with(45, std::byte{0}), status::corrupt) << "a predictor, and no given means";
  EXPECT_EQ(code_with(6, std::byte{0}), status::corrupt) << "its bytes are left over";
}

TEST(container, every_beginning_of_it_is_refused) {
  const small_file f;
  for (std::size_t n = 0; n < f.bytes.size(); ++n) {
    const byte_string part(f.bytes.begin(), f.bytes.begin() + static_cast<std::ptrdiff_t>(n));
    const auto c = parse_container(part);
    ASSERT_EQ(c.code(), status::truncated) << n;
  }
  byte_string longer = f.bytes;
  longer.push_back(std::byte{0});
  EXPECT_EQ(parse_container(longer).code(), status::corrupt);
}

// No bit of the file may change what comes out of it without being noticed. Only in a zstd frame of
// opaque bytes are there bits without a meaning, such as the unused one of its first byte.
TEST(container, every_altered_bit_is_noticed) {
  const small_file f;
  const auto c = *parse_container(f.bytes);
  const std::size_t zstd_at = c.tiles_begin + c.records[0].bytes() + c.records[1].bytes() +
                              c.records[2].bytes() + c.records[3].bytes();
  const std::size_t zstd_end = zstd_at + c.records[4].bytes();
  ASSERT_EQ(c.records[4].mode(), tile_mode::coded);
  std::size_t unnoticed = 0;
  for (std::size_t at = 0; at < f.bytes.size(); ++at)
    for (unsigned bit = 0; bit < 8; bit += test::kSlowBuild ? 5 : 1) {
      byte_string altered = f.bytes;
      altered[at] ^= static_cast<std::byte>(1u << bit);
      ASSERT_TRUE(at >= c.tiles_begin || !parse_container(altered)) << at;
      const auto restored = test::unpack(altered, f.coder, {});
      if (restored) {
        ASSERT_TRUE(at >= zstd_at && at < zstd_end) << "byte " << at << ", bit " << bit;
        ASSERT_EQ(*restored, f.source);
        ++unnoticed;
      }
    }
  EXPECT_LE(unnoticed, 8u);
}

TEST(container, records_that_contradict_their_tiles_are_refused) {
  const small_file f;
  const auto c = *parse_container(f.bytes);
  const std::size_t records_at = c.tiles_begin - 12 * c.records.size();
  for (std::size_t i = 0; i < 12 * c.records.size(); ++i)
    for (unsigned bit = 0; bit < 8; ++bit) {
      byte_string altered = f.bytes;
      altered[records_at + i] ^= static_cast<std::byte>(1u << bit);
      test::reseal(altered);
      const auto restored = test::unpack(altered, f.coder, {});
      // The checksum is there for what the tiles do not need: nothing else than the source comes
      // out.
      ASSERT_TRUE(!restored || *restored == f.source) << "record byte " << i << ", bit " << bit;
    }
}

TEST(container, opaque_bytes_of_any_size_come_back) {
  const auto p = test::default_profile_of(kAlone);
  const cpu::codec coder(p);
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{2}, std::size_t{1000}, kOpaqueChunkBytes - 1,
        kOpaqueChunkBytes + 0, kOpaqueChunkBytes + 1, 2 * kOpaqueChunkBytes + 5})
    for (const bool random : {false, true}) {
      container c = test::box_of(*p, {opaque_stream(size)});
      const byte_string source =
          random ? test::random_bytes(size, size) : byte_string(size, std::byte{'x'});
      const auto file = test::pack(c, coder, source, {}, 2);
      ASSERT_TRUE(file);
      EXPECT_EQ(c.records.size(), (size + kOpaqueChunkBytes - 1) / kOpaqueChunkBytes);
      EXPECT_LE(file->size(), size + 200 + 12 * c.records.size());
      EXPECT_TRUE(random || size <= 1000 || file->size() < size / 100) << file->size();
      EXPECT_EQ(*test::unpack(*file, coder, {}, 2), source);
    }
}

TEST(container, may_hold_nothing_at_all) {
  const auto p = test::default_profile_of(kAlone);
  container c = test::box_of(*p, {});
  const auto file = test::pack(c, cpu::codec(p), {}, {});
  ASSERT_TRUE(file);
  EXPECT_TRUE(test::unpack(*file, cpu::codec(p), {})->empty());
  c = test::box_of(*p, {});
  c.preamble = test::random_bytes(1000, 1);
  const auto other = test::pack(c, cpu::codec(p), c.preamble, {});
  ASSERT_TRUE(other);
  EXPECT_EQ(*test::unpack(*other, cpu::codec(p), {}), c.preamble);
}

TEST(choose_tiles, covers_every_number_once) {
  for (const std::uint64_t tokens : {1u, 5u, 1000u})
    for (const std::uint32_t heads : {1u, 3u, 70u})
      for (const std::uint32_t head_dim : {1u, 64u, 576u, 100000u})
        for (const std::uint32_t elements : {1u, 1000u, 65536u, kMaxTileElements, ~0u}) {
          stream s = tensor_stream({}, format_id::bf16, tokens, heads, head_dim, 0, 0);
          ASSERT_TRUE(choose_tiles(s, elements));
          std::uint64_t covered = 0;
          for (std::uint64_t i = 0; i < s.tiles(); ++i) {
            const tile_range r = tile_at(s, i);
            ASSERT_GE(r.tokens, 1u);
            ASSERT_GE(r.heads, 1u);
            ASSERT_LE(r.first_token + r.tokens, tokens);
            ASSERT_LE(r.first_head + r.heads, heads);
            ASSERT_LE(std::uint64_t{r.tokens} * r.heads * head_dim, kMaxTileElements);
            covered += std::uint64_t{r.tokens} * r.heads;
          }
          ASSERT_EQ(covered, tokens * heads);
        }
  stream wide = tensor_stream({}, format_id::bf16, 1, 1, kMaxTileElements + 1, 0, 0);
  EXPECT_EQ(choose_tiles(wide, 65536).code(), status::invalid_argument);
  stream empty = tensor_stream({}, format_id::bf16, 0, 1, 1, 0, 0);
  EXPECT_EQ(choose_tiles(empty, 65536).code(), status::invalid_argument);
}

}  // namespace
}  // namespace skv
