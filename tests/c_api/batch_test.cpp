// Batches of slices: what comes back, where it lies, and what each item is told.
#include <gmock/gmock.h>

#include <deque>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/predict/reference.hpp>
#include <thread>

#include "c_api/c_case.hpp"

namespace skv {
namespace {

using test::c_case;
using test::kGiven;
using test::slice_of;
using testing::HasSubstr;

TEST(batch, restores_slices_of_every_coding_and_size) {
  for (const auto id : test::all_codings()) {
    SCOPED_TRACE(test::name_of(id));
    const auto codec = test::c_codec_of(id);
    std::deque<c_case> cases;
    std::vector<skv_encode_item> encode;
    std::vector<skv_decode_item> decode;
    // 65,536 / 160 = 409 tokens make a tile.
    for (const std::uint32_t tokens : {1u, 16u, 408u, 409u, 410u, 1000u})
      encode.push_back(cases.emplace_back(id, slice_of(tokens), tokens).to_encode());
    ASSERT_EQ(skv_encode(codec.get(), encode.data(), encode.size(), 2), SKV_OK) << skv_last_error();
    for (std::size_t i = 0; i < cases.size(); ++i) {
      EXPECT_EQ(encode[i].status, SKV_OK);
      EXPECT_EQ(encode[i].record_count, cases[i].records.size());
      std::size_t bytes = 0;
      for (const auto& r : cases[i].records) bytes += skv_tile_bytes(&r);
      EXPECT_EQ(encode[i].compressed_bytes, bytes);
      EXPECT_LE(bytes, cases[i].data.numbers.size());
      decode.push_back(cases[i].to_decode(encode[i]));
    }
    EXPECT_EQ(cases.back().records.size(), 3u);
    ASSERT_EQ(skv_decode(codec.get(), decode.data(), decode.size(), 2), SKV_OK) << skv_last_error();
    for (std::size_t i = 0; i < cases.size(); ++i) {
      EXPECT_EQ(decode[i].status, SKV_OK);
      EXPECT_TRUE(cases[i].is_restored()) << cases[i].slice.tokens;
    }
  }
}

TEST(batch, writes_what_the_tensor_codec_writes_on_any_number_of_threads) {
  c_case c(kGiven, slice_of(1500));
  const auto codec = test::c_codec_of(kGiven);
  const cpu::codec coder(test::default_profile_of(kGiven));
  reference predictor([&](const tensor_shape&) {
    return row_view<const std::byte>{c.data.means.data(), 320};
  });
  const auto same = cpu::encode_tensor(coder, predictor, {{1, tensor_kind::k}, 1500, 4, 40},
                                       {c.data.numbers.data(), 320});
  ASSERT_TRUE(same);
  for (const std::uint32_t threads : {0u, 1u, 2u, 3u, 64u}) {
    skv_encode_item item = c.to_encode();
    ASSERT_EQ(skv_encode(codec.get(), &item, 1, threads), SKV_OK);
    ASSERT_EQ(item.compressed_bytes, same->bytes.size());
    EXPECT_TRUE(std::ranges::equal(c.compressed.bytes().first(item.compressed_bytes), same->bytes));
    ASSERT_EQ(item.record_count, same->records.size());
    EXPECT_EQ(std::memcmp(c.records.data(), same->records.data(), 12 * c.records.size()), 0);
    skv_decode_item back = c.to_decode(item);
    ASSERT_EQ(skv_decode(codec.get(), &back, 1, threads), SKV_OK);
    EXPECT_TRUE(c.is_restored());
  }
}

TEST(batch, needs_no_more_room_than_the_bytes_there_are) {
  c_case c(kGiven, slice_of(1000));
  const auto codec = test::c_codec_of(kGiven);
  skv_encode_item item = c.to_encode();
  ASSERT_EQ(skv_encode(codec.get(), &item, 1, 2), SKV_OK);
  const std::size_t needed = item.compressed_bytes;
  const std::vector<std::byte> bytes(c.compressed.data(), c.compressed.data() + needed);

  test::guarded_bytes exact(needed);
  item = c.to_encode();
  item.compressed = exact.data();
  item.capacity_bytes = needed;
  ASSERT_EQ(skv_encode(codec.get(), &item, 1, 2), SKV_OK) << skv_last_error();
  EXPECT_TRUE(std::ranges::equal(exact.bytes(), bytes));
  EXPECT_TRUE(exact.margins_intact());

  for (const std::size_t room : {needed - 1, needed / 2, std::size_t{1}, std::size_t{0}}) {
    test::guarded_bytes small(room);
    item = c.to_encode();
    item.compressed = room == 0 ? nullptr : small.data();
    item.capacity_bytes = room;
    EXPECT_EQ(skv_encode(codec.get(), &item, 1, 2), SKV_DOES_NOT_FIT);
    EXPECT_EQ(item.status, SKV_DOES_NOT_FIT);
    EXPECT_EQ(item.compressed_bytes, needed) << "what it would take";
    EXPECT_EQ(item.record_count, 0u);
    EXPECT_THAT(skv_last_error(), HasSubstr("item 0: layers.1.k: " + std::to_string(needed)));
    EXPECT_TRUE(small.margins_intact());
    EXPECT_TRUE(std::ranges::all_of(small.bytes(), [](std::byte b) {
      return b == test::guarded_bytes::kCanary;
    })) << "nothing written";
  }
}

TEST(batch, takes_rows_at_any_stride_and_writes_none_between) {
  const auto codec = test::c_codec_of(kGiven);
  c_case c(kGiven, slice_of(500));
  constexpr std::size_t kRow = 320, kStride = 327;
  const std::size_t extent = 499 * kStride + kRow;
  test::guarded_bytes numbers(extent), means(extent), out(extent);
  for (std::size_t t = 0; t < 500; ++t) {
    std::memcpy(numbers.data() + t * kStride, c.data.numbers.data() + t * kRow, kRow);
    std::memcpy(means.data() + t * kStride, c.data.means.data() + t * kRow, kRow);
  }
  skv_encode_item e = c.to_encode();
  e.numbers = numbers.data();
  e.means = means.data();
  e.number_stride_bytes = e.mean_stride_bytes = kStride;
  ASSERT_EQ(skv_encode(codec.get(), &e, 1, 2), SKV_OK);
  skv_decode_item d = c.to_decode(e);
  d.numbers = out.data();
  d.number_stride_bytes = kStride;
  d.capacity_bytes = extent;
  ASSERT_EQ(skv_decode(codec.get(), &d, 1, 2), SKV_OK) << "means without gaps are the same";
  EXPECT_TRUE(std::ranges::equal(out.bytes(), numbers.bytes()));
  EXPECT_TRUE(out.margins_intact());
  d.capacity_bytes = extent - 1;
  EXPECT_EQ(skv_decode(codec.get(), &d, 1, 2), SKV_DOES_NOT_FIT);
}

TEST(batch, codes_some_heads_and_some_tiles_alone) {
  const auto p = test::c_profile_of(**profile::make(test::content_with_scales(kGiven)));
  const auto codec = test::c_codec_of(p.get());
  skv_slice one_head = slice_of(9000, 2, 8);  // 8192 tokens make a tile
  one_head.first_head = one_head.head_count = 1;
  c_case c(kGiven, one_head);
  skv_encode_item e = c.to_encode();
  ASSERT_EQ(skv_encode(codec.get(), &e, 1, 1), SKV_OK) << skv_last_error();
  std::uint32_t step = 0;
  std::size_t tiles = 0;
  ASSERT_EQ(skv_tile_count(&one_head, &tiles, &step), SKV_OK);
  ASSERT_EQ(tiles, 2u);
  ASSERT_EQ(step, 8192u);

  skv_decode_item d = c.to_decode(e);
  ASSERT_EQ(skv_decode(codec.get(), &d, 1, 1), SKV_OK);
  EXPECT_TRUE(c.is_restored());
  skv_slice last = one_head;
  last.tokens = 9000 - step;
  d.slice = &last;
  const std::size_t first_bytes = skv_tile_bytes(&c.records[0]);
  d.compressed = c.compressed.data() + first_bytes;
  d.compressed_bytes -= first_bytes;
  d.records = &c.records[1];
  d.record_count = 1;
  d.means = c.data.means.data() + std::size_t{step} * 16;
  d.capacity_bytes = last.tokens * std::size_t{16};
  ASSERT_EQ(skv_decode(codec.get(), &d, 1, 1), SKV_OK) << skv_last_error();
  EXPECT_EQ(std::memcmp(c.restored.data(), c.data.numbers.data() + std::size_t{step} * 16,
                        d.capacity_bytes),
            0);
}

TEST(batch, has_a_status_for_every_item_and_returns_the_worst) {
  const auto p = test::c_profile_of(**profile::make(test::content_with_scales(kGiven)));
  const auto codec = test::c_codec_of(p.get());
  std::deque<c_case> cases;
  std::vector<skv_encode_item> encode;
  encode.reserve(5);
  for (int i = 0; i < 5; ++i)
    encode.push_back(cases.emplace_back(kGiven, slice_of(50, 2, 8)).to_encode());
  cases[1].slice.layer = 7;
  encode[2].capacity_bytes = 10;
  encode[3].means = nullptr;
  EXPECT_EQ(skv_encode(codec.get(), encode.data(), 5, 2), SKV_WRONG_PROFILE);
  EXPECT_THAT(skv_last_error(), HasSubstr("item 1: "));
  EXPECT_THAT(skv_last_error(), HasSubstr("layers.7.k"));
  const skv_status expected[] = {SKV_OK, SKV_WRONG_PROFILE, SKV_DOES_NOT_FIT, SKV_INVALID_ARGUMENT,
                                 SKV_OK};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(encode[i].status, expected[i]) << i;
  EXPECT_EQ(encode[1].compressed_bytes, 0u);

  std::vector<skv_decode_item> decode;
  decode.reserve(5);
  for (std::size_t i = 0; i < 5; ++i) decode.push_back(cases[i].to_decode(encode[i % 4 ? 0 : i]));
  decode[1].record_count = 0;
  decode[2].compressed_bytes -= 1;
  std::vector<std::byte> other = cases[3].data.means;
  other[5] ^= std::byte{1};
  decode[3].means = other.data();
  cases[1].slice.layer = 1;
  EXPECT_EQ(skv_decode(codec.get(), decode.data(), 5, 2), SKV_WRONG_PREDICTION);
  EXPECT_THAT(skv_last_error(), HasSubstr("item 3: layers.1.k: the prediction"));
  const skv_status outcome[] = {SKV_OK, SKV_TRUNCATED, SKV_TRUNCATED, SKV_WRONG_PREDICTION, SKV_OK};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(decode[i].status, outcome[i]) << i;
  EXPECT_TRUE(cases[0].is_restored() && cases[4].is_restored());
  decode[0].record_count = 2;
  EXPECT_EQ(skv_decode(codec.get(), decode.data(), 1, 2), SKV_CORRUPT);
}

TEST(batch, of_an_item_has_the_worst_of_its_tiles) {
  const auto codec = test::c_codec_of(kGiven);
  c_case c(kGiven, slice_of(1200));
  skv_encode_item e = c.to_encode();
  ASSERT_EQ(skv_encode(codec.get(), &e, 1, 2), SKV_OK);
  c.records[0].data_hash ^= 1;
  skv_decode_item d = c.to_decode(e);
  EXPECT_EQ(skv_decode(codec.get(), &d, 1, 2), SKV_CORRUPT);
  c.records[2].prediction_hash ^= 1;
  EXPECT_EQ(skv_decode(codec.get(), &d, 1, 2), SKV_WRONG_PREDICTION);
  EXPECT_EQ(d.status, SKV_WRONG_PREDICTION);
}

TEST(batch, without_items_is_no_error) {
  const auto codec = test::c_codec_of(kGiven);
  EXPECT_EQ(skv_encode(codec.get(), nullptr, 0, 0), SKV_OK);
  EXPECT_EQ(skv_decode(codec.get(), nullptr, 0, 0), SKV_OK);
}

TEST(batch, runs_beside_others_of_the_same_codec) {
  const auto codec = test::c_codec_of(kGiven);
  std::deque<c_case> cases;
  for (std::uint64_t seed = 0; seed < 4; ++seed) cases.emplace_back(kGiven, slice_of(900), seed);
  std::vector<std::thread> threads;
  threads.reserve(cases.size());
  for (c_case& c : cases)
    threads.emplace_back([&] {
      skv_encode_item e = c.to_encode();
      EXPECT_EQ(skv_encode(codec.get(), &e, 1, 2), SKV_OK);
      skv_decode_item d = c.to_decode(e);
      EXPECT_EQ(skv_decode(codec.get(), &d, 1, 2), SKV_OK);
    });
  for (std::thread& t : threads) t.join();
  for (const c_case& c : cases) EXPECT_TRUE(c.is_restored());
}

}  // namespace
}  // namespace skv
