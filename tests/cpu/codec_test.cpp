// Single tiles: what comes back, what is refused and why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skv/cpu/codec.hpp>

#include "support/codecs.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

using byte_string = std::vector<std::byte>;
using test::kGiven;
using testing::HasSubstr;

// A tile of K in layer 1 as test::content_with_scales knows it: 2 heads of 8 channels.
constexpr cpu::tile_slice kTile{{1, tensor_kind::k}, 2, 8, 0, 2, 50};

row_view<const std::byte> rows(const byte_string& bytes, std::size_t row_bytes) {
  return {bytes.data(), row_bytes};
}

struct coded {
  cpu::codec coder;
  test::number_set data;
  tile_record record;
  byte_string bytes;

  explicit coded(test::coding_id id, bool with_scales = true)
      : coder(with_scales ? *profile::make(test::content_with_scales(id))
                          : test::default_profile_of(id)),
        data(test::synthetic(id, kTile.shape().elements())),
        bytes(coder.max_tile_bytes(kTile.shape())) {
    const auto r = coder.encode(kTile, numbers(), means(), bytes);
    if (!r) throw std::runtime_error(r.failure().message);
    record = *r;
    bytes.resize(record.bytes());
  }
  std::size_t row_bytes() const { return kTile.shape().width * coder.target().bytes(); }
  row_view<const std::byte> numbers() const { return rows(data.numbers, row_bytes()); }
  row_view<const std::byte> means() const {
    return rows(data.means, kTile.shape().width * coder.mean().bytes());
  }
  result<byte_string> decode(const cpu::codec& with, const cpu::tile_slice& tile,
                             std::span<const std::byte> image, row_view<const std::byte> mean_rows,
                             tile_record r) const {
    byte_string out(tile.shape().elements() * coder.target().bytes());
    const auto ok = with.decode(tile, r, image, mean_rows,
                                {out.data(), tile.shape().width * coder.target().bytes()});
    if (!ok) return ok.failure();
    return out;
  }
};

TEST(codec, restores_tiles_of_every_coding_with_and_without_scales) {
  for (const auto id : test::all_codings())
    for (const bool scales : {false, true}) {
      SCOPED_TRACE(test::name_of(id));
      const coded c(id, scales);
      EXPECT_TRUE(c.record.mode() == tile_mode::coded || id.source == mean_source::previous_token);
      const auto restored = c.decode(c.coder, kTile, c.bytes, c.means(), c.record);
      ASSERT_TRUE(restored) << restored.failure().message;
      EXPECT_EQ(*restored, c.data.numbers);
    }
}

TEST(codec, writes_the_same_bytes_with_every_instruction_set) {
  for (const auto id : test::all_codings()) {
    const coded c(id);
    for (const cpu::isa set :
         {cpu::isa::scalar, cpu::isa::portable, cpu::isa::avx2, cpu::isa::avx512}) {
      // One that is not there falls back to one that is.
      const cpu::codec other(*profile::make(test::content_with_scales(id)), set);
      byte_string bytes(other.max_tile_bytes(kTile.shape()));
      const auto record = other.encode(kTile, c.numbers(), c.means(), bytes);
      ASSERT_TRUE(record);
      bytes.resize(record->bytes());
      EXPECT_EQ(*record, c.record) << cpu::to_string(set) << ", " << test::name_of(id);
      EXPECT_EQ(bytes, c.bytes);
    }
  }
  EXPECT_TRUE(cpu::is_available(cpu::best_isa()));
  EXPECT_TRUE(cpu::is_available(cpu::isa::scalar) && cpu::is_available(cpu::isa::portable));
}

TEST(codec, refuses_shapes_that_are_none) {
  const coded c(kGiven);
  byte_string out(c.coder.max_tile_bytes(kTile.shape()));
  for (const cpu::tile_slice wrong : {
           cpu::tile_slice{{1, tensor_kind::k}, 2, 8, 0, 2, 0},
           {{1, tensor_kind::k}, 2, 8, 0, 0, 50},
           {{1, tensor_kind::k}, 2, 0, 0, 2, 50},
           {{1, tensor_kind::k}, 2, 8, 1, 2, 50},
           {{1, tensor_kind::k}, 2, 8, ~0u, 2, 50},
           {{1, tensor_kind::k}, 2, 8, 0, 3, 50},
           {{1, tensor_kind::k}, ~0u, 8, 0, ~0u, ~0u},
           {{1, tensor_kind::k}, 1u << 31, 1u << 31, 0, 1u << 31, 4},
           {{1, tensor_kind::k}, 2, 8, 0, 2, kMaxTileElements / 16 + 1},
       }) {
    const auto e = c.coder.encode(wrong, c.numbers(), c.means(), out);
    EXPECT_EQ(e.code(), status::invalid_argument) << wrong.head_count << " " << wrong.tokens;
    const auto d = c.coder.decode(wrong, c.record, c.bytes, c.means(), {out.data(), 32});
    EXPECT_EQ(d.code(), status::invalid_argument);
  }
  const auto e =
      c.coder.encode(kTile, c.numbers(), c.means(), std::span(out).first(out.size() - 1));
  EXPECT_EQ(e.code(), status::invalid_argument);
  EXPECT_THAT(e.failure().message, HasSubstr("layers.1.k"));
  EXPECT_THAT(e.failure().message, HasSubstr("room"));
}

TEST(codec, needs_means_if_they_are_given_and_only_then) {
  const coded c(kGiven);
  byte_string out(c.coder.max_tile_bytes(kTile.shape()));
  const auto e = c.coder.encode(kTile, c.numbers(), {}, out);
  EXPECT_EQ(e.code(), status::invalid_argument);
  EXPECT_THAT(e.failure().message, HasSubstr("no prediction"));
  EXPECT_EQ(c.decode(c.coder, kTile, c.bytes, {}, c.record).code(), status::invalid_argument);

  const coded alone({format_id::e5m2, mean_source::previous_token, format_id::e5m2});
  EXPECT_EQ(*alone.decode(alone.coder, kTile, alone.bytes, {}, alone.record), alone.data.numbers);
}

TEST(codec, notices_another_prediction) {
  for (const auto id : test::all_codings()) {
    if (id.source != mean_source::given) continue;
    const coded c(id);
    for (const std::size_t at :
         {std::size_t{0}, c.data.means.size() / 2, c.data.means.size() - 1}) {
      byte_string other = c.data.means;
      other[at] ^= std::byte{1};
      const auto d = c.decode(c.coder, kTile, c.bytes,
                              rows(other, kTile.shape().width * c.coder.mean().bytes()), c.record);
      EXPECT_EQ(d.code(), status::wrong_prediction) << test::name_of(id);
    }
  }
  // Also where nothing is coded because everything was as predicted.
  const coded c(kGiven);
  byte_string out(c.coder.max_tile_bytes(kTile.shape()));
  const auto same = c.coder.encode(kTile, c.numbers(), c.numbers(), out);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->mode(), tile_mode::prediction);
  EXPECT_EQ(*c.decode(c.coder, kTile, {}, c.numbers(), *same), c.data.numbers);
  EXPECT_EQ(c.decode(c.coder, kTile, {}, c.means(), *same).code(), status::wrong_prediction);
}

TEST(codec, refuses_tensors_that_the_profile_does_not_know) {
  const coded c(kGiven);
  byte_string out(4096);
  for (const cpu::tile_slice unknown : {cpu::tile_slice{{7, tensor_kind::k}, 2, 8, 0, 2, 50},
                                        {{1, tensor_kind::latent}, 2, 8, 0, 2, 50},
                                        {{1, tensor_kind::k}, 4, 4, 0, 4, 50}}) {
    EXPECT_EQ(c.coder.encode(unknown, c.numbers(), c.means(), out).code(), status::wrong_profile);
    EXPECT_EQ(c.decode(c.coder, unknown, c.bytes, c.means(), c.record).code(),
              status::wrong_profile);
  }
}

TEST(codec, of_a_default_profile_takes_tensors_of_any_width) {
  const cpu::codec any(test::default_profile_of(kGiven));
  for (const std::uint32_t width : {1u, 31u, 70000u, kMaxTileElements}) {
    const cpu::tile_slice wide{{0, tensor_kind::latent}, 1, width, 0, 1, 1};
    const auto data = test::synthetic(kGiven, width);
    byte_string image(data.numbers.size()), out(data.numbers.size());
    const auto record = any.encode(wide, rows(data.numbers, 0), rows(data.means, 0), image);
    ASSERT_TRUE(record) << record.failure().message;
    ASSERT_TRUE(any.decode(wide, *record, image, rows(data.means, 0), {out.data(), 0}));
    EXPECT_TRUE(out == data.numbers) << width;
  }
}

TEST(codec, refuses_damaged_tiles) {
  for (const auto id : test::all_codings()) {
    const coded c(id);
    const auto code_of = [&](std::span<const std::byte> bytes, tile_record r) {
      return c.decode(c.coder, kTile, bytes, c.means(), r).code();
    };
    EXPECT_EQ(code_of(std::span(c.bytes).first(c.bytes.size() - 1), c.record), status::truncated);
    EXPECT_EQ(code_of({}, c.record), status::truncated);
    int unnoticed = 0;
    for (std::size_t at = 0; at < c.bytes.size(); ++at) {
      byte_string altered = c.bytes;
      altered[at] ^= std::byte{0x10};
      // A few bits have no meaning: what is popped with an escape, and its byte in the plane.
      const auto d = c.decode(c.coder, kTile, altered, c.means(), c.record);
      ASSERT_TRUE(d ? *d == c.data.numbers : d.code() == status::corrupt)
          << test::name_of(id) << ", byte " << at;
      unnoticed += static_cast<bool>(d);
    }
    EXPECT_LE(unnoticed, 5) << test::name_of(id);
    tile_record r = c.record;
    r.data_hash ^= 1;
    EXPECT_EQ(code_of(c.bytes, r), status::corrupt);
    for (const tile_mode mode : {tile_mode::raw, tile_mode::prediction, tile_mode::constant}) {
      if (mode == c.record.mode()) continue;
      r = c.record;
      r.packed = tile_record::pack(mode, c.bytes.size());
      EXPECT_EQ(code_of(c.bytes, r), status::corrupt);
    }
    r = c.record;
    r.packed = tile_record::pack(tile_mode::coded, c.bytes.size() - 2, c.record.tail_steps());
    EXPECT_NE(code_of(c.bytes, r), status::ok);
    r.packed = tile_record::pack(tile_mode::coded, c.bytes.size(), c.record.tail_steps() ^ 1);
    EXPECT_NE(code_of(c.bytes, r), status::ok);
  }
}

TEST(codec, takes_rows_at_any_stride_and_alignment) {
  for (const auto id : test::all_codings()) {
    const coded c(id);
    const std::size_t stride = c.row_bytes() + 5;
    byte_string spread(stride * kTile.tokens + 1, std::byte{0xee});
    for (std::uint32_t t = 0; t < kTile.tokens; ++t)
      std::copy_n(c.data.numbers.begin() + static_cast<std::ptrdiff_t>(t * c.row_bytes()),
                  c.row_bytes(), spread.begin() + static_cast<std::ptrdiff_t>(1 + t * stride));
    byte_string bytes(c.coder.max_tile_bytes(kTile.shape()));
    const auto record = c.coder.encode(kTile, {spread.data() + 1, stride}, c.means(), bytes);
    ASSERT_TRUE(record);
    EXPECT_EQ(*record, c.record);

    byte_string out(spread.size(), std::byte{0xee});
    ASSERT_TRUE(c.coder.decode(kTile, c.record, c.bytes, c.means(), {out.data() + 1, stride}));
    EXPECT_EQ(out, spread) << "numbers, and nothing between them";
  }
}

// Heads of a sliced profile code as the same heads of the whole one.
TEST(codec, of_a_sliced_profile_writes_what_the_whole_one_writes) {
  const coded c(kGiven);
  const auto whole = *profile::make(test::content_with_scales(kGiven));
  const cpu::codec sliced(*whole->slice_heads(1, 1));
  const cpu::tile_slice of_whole{{1, tensor_kind::k}, 2, 8, 1, 1, 50};
  const cpu::tile_slice of_slice{{1, tensor_kind::k}, 1, 8, 0, 1, 50};
  const row_view<const std::byte> numbers{c.data.numbers.data() + 16, 32};
  const row_view<const std::byte> means{c.data.means.data() + 16, 32};
  byte_string a(800), b(800);
  const auto x = c.coder.encode(of_whole, numbers, means, a);
  const auto y = sliced.encode(of_slice, numbers, means, b);
  ASSERT_TRUE(x && y);
  EXPECT_EQ(*x, *y);
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace skv
