// Arguments that make no sense, structures of other versions, and bytes that no encoder wrote.
#include <gmock/gmock.h>

#include <cstring>

#include "c_api/c_case.hpp"

namespace skv {
namespace {

using test::c_case;
using test::kGiven;
using test::slice_of;
using testing::HasSubstr;

// A structure as a caller of a later version has it.
template <class T>
struct longer {
  T known;
  std::uint64_t later[3] = {};
};

TEST(sized, structures_of_later_callers_are_taken_if_they_ask_for_nothing_new) {
  const auto codec = test::c_codec_of(kGiven);
  c_case c(kGiven, slice_of(20));
  longer<skv_slice> slice{c.slice};
  slice.known.struct_size = sizeof slice;
  longer<skv_encode_item> items[2] = {{c.to_encode()}, {c.to_encode()}};
  test::guarded_bytes other(c.compressed.size());
  items[1].known.compressed = other.data();
  for (auto& i : items) {
    i.known.struct_size = sizeof i;
    i.known.slice = &slice.known;
  }
  ASSERT_EQ(skv_encode(codec.get(), &items[0].known, 2, 1), SKV_OK) << skv_last_error();
  EXPECT_EQ(items[1].known.compressed_bytes, items[0].known.compressed_bytes);
  items[1].later[2] = 1;
  EXPECT_EQ(skv_encode(codec.get(), &items[0].known, 2, 1), SKV_UNSUPPORTED);
  EXPECT_EQ(items[0].known.status, SKV_OK);
  EXPECT_EQ(items[1].known.status, SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), HasSubstr("item 1: "));
  slice.later[0] = 1;
  EXPECT_EQ(skv_tile_count(&slice.known, nullptr, nullptr), SKV_UNSUPPORTED);

  longer<skv_formats_info> info{};
  info.known.struct_size = sizeof info;
  info.later[0] = 7;
  ASSERT_EQ(skv_formats(&info.known), SKV_OK);
  EXPECT_EQ(info.known.struct_size, sizeof info);
  EXPECT_EQ(info.later[0], 0u) << "nothing known of it";
}

TEST(sized, structures_of_earlier_callers_end_in_zeros) {
  constexpr test::coding_id alone{format_id::e4m3, mean_source::none, format_id::e4m3};
  constexpr std::size_t kEncodeBytes = offsetof(skv_encode_item, means);
  constexpr std::size_t kDecodeBytes = offsetof(skv_decode_item, means);
  c_case c(alone, slice_of(20));
  skv_encode_item whole = c.to_encode();
  whole.struct_size = kEncodeBytes;
  test::guarded_bytes part(std::as_bytes(std::span(&whole, 1)).first(kEncodeBytes));
  auto* e = reinterpret_cast<skv_encode_item*>(part.data());
  ASSERT_EQ(skv_encode(test::c_codec_of(alone).get(), e, 1, 1), SKV_OK) << skv_last_error();
  std::memcpy(&whole, e, kEncodeBytes);
  skv_decode_item back = c.to_decode(whole);
  back.struct_size = kDecodeBytes;
  test::guarded_bytes back_part(std::as_bytes(std::span(&back, 1)).first(kDecodeBytes));
  auto* d = reinterpret_cast<skv_decode_item*>(back_part.data());
  ASSERT_EQ(skv_decode(test::c_codec_of(alone).get(), d, 1, 1), SKV_OK) << skv_last_error();
  EXPECT_TRUE(c.is_restored());
  EXPECT_EQ(skv_encode(test::c_codec_of(kGiven).get(), e, 1, 1), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("means: null pointer"));

  skv_formats_info info{};
  info.struct_size = offsetof(skv_formats_info, sources);
  ASSERT_EQ(skv_formats(&info), SKV_OK);
  EXPECT_EQ(info.number_formats, 0b11110u);
  EXPECT_EQ(info.sources, 0u) << "not written";
}

TEST(sized, sizes_that_are_none_are_refused) {
  const auto codec = test::c_codec_of(kGiven);
  c_case c(kGiven, slice_of(20));
  for (const std::size_t size :
       {std::size_t{0}, offsetof(skv_encode_item, means) - 1, std::size_t{4097}, SIZE_MAX}) {
    skv_encode_item e = c.to_encode();
    e.struct_size = size;
    EXPECT_EQ(skv_encode(codec.get(), &e, 1, 1), SKV_INVALID_ARGUMENT);
    EXPECT_EQ(e.status, 77) << "not touched";
    skv_slice s = c.slice;
    s.struct_size = std::min(size, offsetof(skv_slice, tokens));
    EXPECT_EQ(skv_tile_count(&s, nullptr, nullptr), SKV_INVALID_ARGUMENT);
    EXPECT_THAT(skv_last_error(), HasSubstr("struct_size"));
  }
  skv_encode_item e[2] = {c.to_encode(), c.to_encode()};
  e[0].struct_size -= 4;  // would put the second one between two words
  EXPECT_EQ(skv_encode(codec.get(), e, 2, 1), SKV_INVALID_ARGUMENT);
  e[0].struct_size = sizeof e[0];
  e[1].struct_size += 8;
  EXPECT_EQ(skv_encode(codec.get(), e, 2, 1), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("item 1: "));
  EXPECT_EQ(skv_encode(codec.get(), e, SIZE_MAX, 1), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_encode(codec.get(), e, SIZE_MAX / sizeof e[0], 1), SKV_INVALID_ARGUMENT);
  alignas(8) char bytes[sizeof(skv_encode_item) + 8] = {};
  EXPECT_EQ(skv_encode(codec.get(), reinterpret_cast<skv_encode_item*>(bytes + 1), 1, 1),
            SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("misaligned"));
}

TEST(arguments, of_slices_that_are_none_are_refused) {
  const auto refused = [](auto&& spoil) {
    skv_slice s = slice_of(20);
    spoil(s);
    size_t tiles = 99;
    const skv_status outcome = skv_tile_count(&s, &tiles, nullptr);
    EXPECT_EQ(tiles, 99u);
    EXPECT_NE(*skv_last_error(), 0);
    return outcome;
  };
  EXPECT_EQ(refused([](skv_slice& s) { s.tokens = 0; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.heads = 0; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.head_count = 0; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.head_dim = 0; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.first_head = 1; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.first_head = ~0u; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.head_count = 5; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.kind = 3; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.kind = 256; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.head_dim = ~0u; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.heads = s.head_count = 1u << 31; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(refused([](skv_slice& s) { s.reserved = 1; }), SKV_UNSUPPORTED);
}

TEST(arguments, of_the_largest_slices_are_counted_right) {
  size_t tiles = 0, bytes = 0;
  std::uint32_t step = 0;
  skv_slice s = slice_of(~0u, 1, 1u << 22);
  ASSERT_EQ(skv_tile_count(&s, &tiles, &step), SKV_OK);
  EXPECT_EQ(tiles, ~0u);
  EXPECT_EQ(step, 1u);
  ASSERT_EQ(skv_max_compressed_bytes(test::c_codec_of(kGiven).get(), &s, &bytes), SKV_OK);
  EXPECT_EQ(bytes, (std::uint64_t{1} << 23) * ~0u);
  s = slice_of(~0u, 1, 1);
  ASSERT_EQ(skv_tile_count(&s, &tiles, &step), SKV_OK);
  EXPECT_EQ(tiles, 65536u);
  EXPECT_EQ(step, 65536u);
}

TEST(arguments, of_items_that_make_no_sense_are_refused) {
  const auto codec = test::c_codec_of(kGiven);
  c_case c(kGiven, slice_of(20));
  skv_encode_item good = c.to_encode();
  ASSERT_EQ(skv_encode(codec.get(), &good, 1, 1), SKV_OK);
  const auto encode = [&](auto&& spoil) {
    skv_encode_item i = c.to_encode();
    spoil(i);
    const skv_status s = skv_encode(codec.get(), &i, 1, 1);
    EXPECT_EQ(i.status, s);
    EXPECT_EQ(i.compressed_bytes, 0u);
    EXPECT_THAT(skv_last_error(), HasSubstr("item 0: "));
    return s;
  };
  const auto decode = [&](auto&& spoil) {
    skv_decode_item i = c.to_decode(good);
    spoil(i);
    const skv_status s = skv_decode(codec.get(), &i, 1, 1);
    EXPECT_EQ(i.status, s);
    EXPECT_THAT(skv_last_error(), HasSubstr("item 0: "));
    return s;
  };
  const auto both = [&](auto&& spoil) {
    const skv_status s = encode(spoil);
    EXPECT_EQ(decode(spoil), s);
    return s;
  };
  EXPECT_EQ(both([](auto& i) { i.slice = nullptr; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(both([](auto& i) { i.numbers = nullptr; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(both([](auto& i) { i.means = nullptr; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(both([](auto& i) { i.compressed = nullptr; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(both([](auto& i) { i.records = nullptr; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(both([](auto& i) { i.reserved = 1; }), SKV_UNSUPPORTED);
  for (const std::size_t stride :
       {std::size_t{1}, std::size_t{319}, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 19, SIZE_MAX / 38}) {
    EXPECT_EQ(both([&](auto& i) { i.number_stride_bytes = stride; }), SKV_INVALID_ARGUMENT);
    EXPECT_EQ(both([&](auto& i) { i.mean_stride_bytes = stride; }), SKV_INVALID_ARGUMENT);
  }
  EXPECT_EQ(encode([](auto& i) { i.record_capacity = 0; }), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(decode([](auto& i) { i.capacity_bytes = 0; }), SKV_DOES_NOT_FIT);
  EXPECT_EQ(decode([](auto& i) { i.compressed_bytes = 0; }), SKV_TRUNCATED);
}

TEST(bytes, that_no_encoder_wrote_do_no_harm) {
  for (const auto id : test::all_codings()) {
    const auto codec = test::c_codec_of(id);
    c_case c(id, slice_of(450));
    skv_encode_item e = c.to_encode();
    ASSERT_EQ(skv_encode(codec.get(), &e, 1, 2), SKV_OK);
    const auto good = c.records;
    test::random_source random(7);
    for (int round = 0; round < 40; ++round) {
      c.records = good;
      test::guarded_bytes bytes(c.compressed.bytes().first(e.compressed_bytes));
      if (round % 2 == 0)
        bytes.data()[random.below(static_cast<std::uint32_t>(bytes.size()))] ^= std::byte{0x55};
      else
        (round % 4 == 1 ? c.records[1].packed : c.records[0].packed) ^= 1u << random.below(32);
      skv_decode_item d = c.to_decode(e);
      d.records = c.records.data();
      d.compressed = bytes.data();
      const skv_status s = skv_decode(codec.get(), &d, 1, 2);
      EXPECT_EQ(s, d.status);
      EXPECT_TRUE(s == SKV_CORRUPT || s == SKV_TRUNCATED || (s == SKV_OK && c.is_restored()))
          << skv_last_error();
      EXPECT_TRUE(c.restored.margins_intact());
    }
  }
}

}  // namespace
}  // namespace skv
