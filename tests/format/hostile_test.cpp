// Headers that lie, with a checksum that fits: refused, and never at the price of memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <functional>

#include "support/allocations.hpp"
#include "support/archives.hpp"
#include "support/codecs.hpp"
#include "support/profiles.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::kAlone;
using test::opaque_stream;
using test::tensor_stream;
using testing::HasSubstr;

// What a parser may allocate for a file: skv/format/container.hpp. Messages are not counted.
constexpr std::size_t kMultiple = 256, kMessages = 4096;

result<container> parse(const byte_string& file) {
  const test::allocation_peak peak;
  auto c = parse_container(file);
  EXPECT_LE(peak.bytes(), kMultiple * file.size() + kMessages);
  return c;
}

// A file with these stored metadata, which may claim anything, and `tiles` records of 0.
byte_string file_with(const byte_string& stored, std::uint32_t metadata_bytes,
                      std::uint32_t tiles) {
  byte_string file = front_matter(test::box_of(*test::default_profile_of(kAlone), {}));
  file.resize(test::kHeaderBytes);
  append(file, stored);
  file.resize(file.size() + 12 * std::size_t{tiles});
  test::put(file, test::kFileBytesAt, static_cast<std::uint64_t>(file.size()));
  test::put(file, test::kStoredBytesAt, static_cast<std::uint32_t>(stored.size()));
  test::put(file, test::kMetadataBytesAt, metadata_bytes);
  test::put(file, test::kTilesAt, tiles);
  test::reseal(file);
  return file;
}
byte_string plain_file(const byte_string& metadata, std::uint32_t tiles) {
  return file_with(metadata, static_cast<std::uint32_t>(metadata.size()), tiles);
}

byte_string metadata_start(std::uint32_t streams, std::uint32_t preamble, std::uint32_t profile) {
  byte_string m;
  append(m, streams);
  append(m, preamble);
  append(m, profile);
  return m;
}
void append_stream(byte_string& m, std::uint8_t is_tensor, std::uint8_t kind, std::uint8_t format,
                   std::uint8_t reserved, std::uint32_t layer, std::uint64_t count,
                   std::array<std::uint32_t, 4> rest) {
  for (const std::uint8_t b : {is_tensor, kind, format, reserved}) append(m, b);
  append(m, layer);
  append(m, count);
  for (const std::uint32_t r : rest) append(m, r);
}

byte_string compressed(const byte_string& bytes) {
  byte_string out(ZSTD_compressBound(bytes.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 19));
  return out;
}

TEST(hostile, counts_beyond_the_file) {
  const byte_string good = plain_file(metadata_start(0, 0, 0), 0);
  ASSERT_TRUE(parse(good)) << parse(good).failure().message;
  for (const std::size_t at : {test::kStoredBytesAt, test::kMetadataBytesAt, test::kTilesAt})
    for (const std::uint32_t lie : {1u, 13u, 1u << 20, 0x7fffffffu, 0xffffffffu}) {
      byte_string file = good;
      test::put(file, at, lie);
      test::reseal(file);
      EXPECT_EQ(parse(file).code(), status::corrupt) << at << ": " << lie;
    }
  for (const std::uint32_t lie : {1u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_EQ(parse(plain_file(metadata_start(lie, 0, 0), 0)).code(), status::corrupt);
    EXPECT_EQ(parse(plain_file(metadata_start(0, lie, 0), 0)).code(), status::corrupt);
    EXPECT_EQ(parse(plain_file(metadata_start(0, 0, lie), 0)).code(), status::corrupt);
    EXPECT_EQ(parse(plain_file(metadata_start(0, lie, 0 - lie), 0)).code(), status::corrupt);
  }
  EXPECT_EQ(parse(plain_file({}, 0)).code(), status::corrupt);
}

TEST(hostile, metadata_that_expand) {
  byte_string bomb = metadata_start(0, 0, 0);
  bomb.resize(64 << 20);
  const byte_string small = compressed(bomb);
  const auto c = parse(file_with(small, static_cast<std::uint32_t>(bomb.size()), 0));
  ASSERT_FALSE(c);
  EXPECT_THAT(c.failure().message, HasSubstr("expand"));
  // A size that is allowed, but not the one that is inside.
  for (const std::uint32_t lie : {1u, 12u, 64 * static_cast<std::uint32_t>(small.size())})
    EXPECT_EQ(parse(file_with(small, lie, 0)).code(), status::corrupt);
  EXPECT_EQ(parse(file_with(byte_string(100, std::byte{1}), 200, 0)).code(), status::corrupt);
}

// Streams as many as may be, compressed as far as may be, and the rest unlike each other.
TEST(hostile, the_most_streams_that_a_file_can_name) {
  test::random_source random(1);
  const std::uint32_t streams = 66000;  // just past a power of two
  byte_string m = metadata_start(streams, 0, 0);
  for (std::uint32_t i = 0; i < streams; ++i)
    append_stream(m, 0, 0, 0, 0, 0, i % 3 == 0 ? 1 + random.below(200) : 1, {0, 0, 0, 0});
  const byte_string small = compressed(m);
  ASSERT_LE(m.size(), 64 * small.size()) << "would be refused for its expansion";
  ASSERT_GE(m.size(), 20 * small.size()) << "tests nothing";
  const auto c = parse(file_with(small, static_cast<std::uint32_t>(m.size()), 0));
  EXPECT_THAT(c.failure().message, HasSubstr("index"));
}

TEST(hostile, streams_that_make_no_sense) {
  const auto message_of = [](const std::function<void(byte_string&)>& add,
                             std::uint32_t streams = 1) {
    byte_string m = metadata_start(streams, 0, 0);
    add(m);
    const auto c = parse(plain_file(m, 1));
    EXPECT_EQ(c.code(), status::corrupt);
    return c ? std::string("accepted") : c.failure().message;
  };
  const std::uint64_t large = std::uint64_t{1} << 61;
  using rest = std::array<std::uint32_t, 4>;
  const auto tensor = [&](std::uint64_t tokens, rest r) {
    return message_of([&](byte_string& m) { append_stream(m, 1, 0, 1, 0, 0, tokens, r); });
  };
  const auto no_sense = HasSubstr("makes no sense");
  EXPECT_THAT(tensor(0, {1, 1, 1, 1}), no_sense);
  for (std::size_t zero = 0; zero < 4; ++zero) {
    rest r = {1, 1, 1, 1};
    r[zero] = 0;
    EXPECT_THAT(tensor(1, r), no_sense);
  }
  EXPECT_THAT(tensor(1, {1, 1, 1, 2}), no_sense) << "a tile of more heads than there are";
  EXPECT_THAT(tensor(large, {1, 1, 1, 1}), no_sense);
  EXPECT_THAT(tensor(~0ull, {~0u, ~0u, 1, 1}), no_sense);
  EXPECT_THAT(tensor(1, {~0u, ~0u, 1, 1}), no_sense);
  EXPECT_THAT(tensor(1ull << 40, {1u << 10, 1u << 12, 1, 1}), no_sense);
  EXPECT_THAT(tensor(10, {1, 2, kMaxTileElements, 1}), no_sense) << "a tile too large";
  EXPECT_THAT(tensor(10, {2, kMaxTileElements, 1, 2}), no_sense);
  EXPECT_THAT(tensor(1ull << 50, {1, 1, 1, 1}), HasSubstr("index"));

  const auto opaque = [&](std::uint8_t kind, std::uint8_t format, std::uint8_t reserved,
                          std::uint32_t layer, std::uint64_t bytes, rest r) {
    return message_of(
        [&](byte_string& m) { append_stream(m, 0, kind, format, reserved, layer, bytes, r); });
  };
  EXPECT_THAT(opaque(0, 0, 0, 0, 0, {}), no_sense);
  EXPECT_THAT(opaque(1, 0, 0, 0, 1, {}), no_sense);
  EXPECT_THAT(opaque(0, 1, 0, 0, 1, {}), no_sense);
  EXPECT_THAT(opaque(0, 0, 1, 0, 1, {}), no_sense);
  EXPECT_THAT(opaque(0, 0, 0, 1, 1, {}), no_sense);
  EXPECT_THAT(opaque(0, 0, 0, 0, 1, {1, 0, 0, 0}), no_sense);
  EXPECT_THAT(opaque(0, 0, 0, 0, ~0ull, {}), no_sense);
  EXPECT_THAT(message_of([&](byte_string& m) { append_stream(m, 2, 0, 0, 0, 0, 1, {}); }),
              no_sense);
  EXPECT_THAT(message_of([&](byte_string& m) {
                append_stream(m, 1, 3, 1, 0, 0, 1, {1, 1, 1, 1});
              }),
              no_sense);
  EXPECT_THAT(message_of([&](byte_string& m) {
                append_stream(m, 1, 0, 9, 0, 0, 1, {1, 1, 1, 1});
              }),
              no_sense);
  // Each is sound, all together are not.
  EXPECT_THAT(message_of(
                  [&](byte_string& m) {
                    for (int i = 0; i < 5; ++i) append_stream(m, 0, 0, 0, 0, 0, large, {});
                  },
                  5),
              HasSubstr("2^63"));
}

TEST(hostile, headers_of_the_future_are_told_from_damage) {
  const byte_string good = plain_file(metadata_start(0, 0, 0), 0);
  const auto with = [&](std::size_t at, std::uint8_t value) {
    byte_string file = good;
    test::put(file, at, value);
    test::reseal(file);
    return parse(file).code();
  };
  EXPECT_EQ(with(4, 2), status::unsupported);    // version
  EXPECT_EQ(with(6, 128), status::unsupported);  // required features
  EXPECT_EQ(with(44, 99), status::unsupported);  // number format
  EXPECT_EQ(with(45, 99), status::unsupported);  // predictor
  EXPECT_EQ(with(46, 99), status::unsupported);  // format of the means
  EXPECT_EQ(with(47, 1), status::corrupt);       // reserved
  EXPECT_EQ(with(0, 'X'), status::corrupt);      // magic
}

TEST(hostile, tiles_that_are_not_where_they_should_be) {
  byte_string m = metadata_start(1, 0, 0);
  append_stream(m, 1, 0, 1, 0, 0, 4, {1, 4, 2, 1});
  EXPECT_THAT(parse(plain_file(m, 1)).failure().message, HasSubstr("index has 1 tiles"));
  EXPECT_THAT(parse(plain_file(m, 3)).failure().message, HasSubstr("index has 3 tiles"));
  byte_string file = plain_file(m, 2);
  test::put(file, file.size() - 24, tile_record::pack(tile_mode::raw, 1));
  test::reseal(file);
  EXPECT_THAT(parse(file).failure().message, HasSubstr("do not add up"));
  test::put(file, file.size() - 24, tile_record::pack(tile_mode::raw, 0xffffff));
  test::reseal(file);
  EXPECT_THAT(parse(file).failure().message, HasSubstr("do not add up"));
}

// Tiles of no bytes that claim to be of any mode.
TEST(hostile, tiles_without_bytes_decode_to_nothing) {
  const auto p = test::default_profile_of(kAlone);
  byte_string m = metadata_start(1, 0, 0);
  append_stream(m, 1, 0, 1, 0, 0, 4, {1, 4, 4, 1});
  for (const tile_mode mode :
       {tile_mode::raw, tile_mode::coded, tile_mode::prediction, tile_mode::constant}) {
    byte_string file = plain_file(m, 1);
    test::put(file, file.size() - 12, tile_record::pack(mode, 0));
    test::reseal(file);
    ASSERT_TRUE(parse(file));
    EXPECT_EQ(test::unpack(file, cpu::codec(p), {}).code(), status::corrupt);
  }
}

TEST(hostile, opaque_chunks_that_lie) {
  const byte_string chunk(5000, std::byte{3});
  const opaque_tile good = encode_opaque(chunk);
  ASSERT_EQ(good.record.mode(), tile_mode::coded);
  byte_string out(chunk.size());
  ASSERT_TRUE(decode_opaque(good.record, good.bytes, out));
  const auto refused = [&](tile_record r, std::span<const std::byte> bytes, std::size_t size) {
    byte_string room(size);
    EXPECT_EQ(decode_opaque(r, bytes, room).code(), status::corrupt);
  };
  refused(good.record, good.bytes, chunk.size() - 1);
  refused(good.record, good.bytes, chunk.size() + 1);
  refused(good.record, std::span(good.bytes).first(good.bytes.size() - 1), chunk.size());
  refused(good.record, {}, chunk.size());
  for (const tile_mode mode : {tile_mode::raw, tile_mode::prediction, tile_mode::constant}) {
    tile_record r = good.record;
    r.packed = tile_record::pack(mode, good.bytes.size());
    refused(r, good.bytes, chunk.size());
  }
  tile_record r = good.record;
  r.packed = tile_record::pack(tile_mode::coded, good.bytes.size(), 1);
  refused(r, good.bytes, chunk.size());
  r = good.record;
  r.prediction_hash = 1;
  refused(r, good.bytes, chunk.size());
}

}  // namespace
}  // namespace skv
