// Whole caches: round trips over tile shapes and threads, ranges, and several threads at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "support/allocations.hpp"
#include "support/archives.hpp"
#include "support/cache_file.hpp"
#include "support/codecs.hpp"
#include "support/effort.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::kGiven;
using test::tensor_stream;
using testing::HasSubstr;

constexpr std::uint32_t kTokens = 37, kHeads = 5, kHeadDim = 12;

// Opaque bytes, K [37, 5, 12], opaque bytes, V [37, 5, 12], with tiles of a shape.
struct archive {
  cpu::codec coder;
  test::number_set data;
  byte_string source, file;

  archive(test::coding_id id, std::uint32_t tile_tokens, std::uint32_t tile_heads,
          unsigned threads = 1)
      : coder(test::default_profile_of(id)),
        data(test::synthetic(id, 2 * kTokens * kHeads * kHeadDim)) {
    const auto tensor = [&](tensor_kind kind) {
      return tensor_stream({3, kind}, id.target, kTokens, kHeads, kHeadDim, tile_tokens,
                           tile_heads);
    };
    container c =
        test::box_of(coder.used_profile(), {test::opaque_stream(100), tensor(tensor_kind::k),
                                            test::opaque_stream(3), tensor(tensor_kind::v)});
    const std::size_t half = data.numbers.size() / 2;
    source = test::random_bytes(100, 5);
    append(source, std::span(data.numbers).first(half));
    append(source, test::random_bytes(3, 6));
    append(source, std::span(data.numbers).subspan(half));
    file = *test::pack(c, coder, source, means(), threads);
  }
  cpu::mean_lookup means() const {
    return [this](const stream& s) -> result<row_view<const std::byte>> {
      const std::size_t at = s.id.kind == tensor_kind::k ? 0 : data.means.size() / 2;
      return row_view<const std::byte>{data.means.data() + at,
                                       kHeads * kHeadDim * coder.mean().bytes()};
    };
  }
};

TEST(archive, comes_back_for_every_coding_tile_shape_and_number_of_threads) {
  for (const auto id : test::all_codings())
    for (const auto& [tokens, heads] :
         {std::pair{kTokens, kHeads}, {10u, kHeads}, {1u, kHeads}, {37u, 2u}, {7u, 1u}}) {
      const archive one(id, tokens, heads);
      for (unsigned threads = 1; threads <= 4; ++threads) {
        ASSERT_TRUE(archive(id, tokens, heads, threads).file == one.file) << threads;
        const auto restored = test::unpack(one.file, one.coder, one.means(), threads);
        ASSERT_TRUE(restored) << restored.failure().message;
        ASSERT_TRUE(*restored == one.source) << test::name_of(id) << ", tiles of " << tokens
                                             << " x " << heads << ", " << threads << " threads";
      }
    }
}

// The bytes of all tiles but those that cover the range are destroyed.
TEST(read_range, touches_only_the_tiles_that_cover_it) {
  const archive a(kGiven, 8, 2);
  const container c = *parse_container(a.file);
  test::random_source random(1);
  for (int round = 0; round < 300; ++round) {
    const bool is_v = round % 2;
    cpu::tensor_range r{{3, is_v ? tensor_kind::v : tensor_kind::k}, 0, 0, 0, 0};
    r.first_token = random.below(kTokens);
    r.tokens = 1 + random.below(kTokens - static_cast<std::uint32_t>(r.first_token));
    r.first_head = random.below(kHeads);
    r.heads = 1 + random.below(kHeads - r.first_head);

    byte_string damaged = a.file;
    std::uint64_t at = c.tiles_begin;
    std::size_t index = 0;
    for (const stream& s : c.streams)
      for (std::uint64_t i = 0; i < s.tiles(); ++i, ++index) {
        const std::uint32_t bytes = c.records[index].bytes();
        bool covers = s.is_tensor && s.id == r.id;
        if (covers) {
          const tile_range t = tile_at(s, i);
          covers = t.first_token < r.first_token + r.tokens &&
                   r.first_token < t.first_token + t.tokens &&
                   t.first_head < r.first_head + r.heads && r.first_head < t.first_head + t.heads;
        }
        if (!covers)
          std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), bytes, std::byte{0xaa});
        at += bytes;
      }
    byte_string out(r.tokens * r.heads * kHeadDim * 2), expected;
    const auto read = cpu::read_range(c, a.coder, damaged, a.means(), r, out);
    ASSERT_TRUE(read) << read.failure().message;
    const std::size_t first = is_v ? a.data.numbers.size() / 2 : 0;
    for (std::uint64_t t = r.first_token; t < r.first_token + r.tokens; ++t)
      append(expected, std::span(a.data.numbers)
                           .subspan(first + ((t * kHeads + r.first_head) * kHeadDim) * 2,
                                    r.heads * kHeadDim * 2));
    ASSERT_TRUE(out == expected) << r.first_token << "+" << r.tokens << ", " << r.first_head << "+"
                                 << r.heads;
  }
}

TEST(read_range, refuses_what_is_not_there) {
  const archive a(kGiven, 8, 2);
  const container c = *parse_container(a.file);
  const tensor_id k{3, tensor_kind::k};
  const auto code_of = [&](cpu::tensor_range r, std::size_t room) {
    byte_string out(room);
    return cpu::read_range(c, a.coder, a.file, a.means(), r, out).code();
  };
  EXPECT_EQ(code_of({k, 0, 1, 0, 1}, 24), status::ok);
  EXPECT_EQ(code_of({k, 0, 1, 0, 1}, 23), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, 1, 0, 1}, 25), status::invalid_argument);
  EXPECT_EQ(code_of({{4, tensor_kind::k}, 0, 1, 0, 1}, 24), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, 0, 0, 1}, 0), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, 1, 0, 0}, 0), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, kTokens + 1, 0, 1}, 38 * 24), status::invalid_argument);
  EXPECT_EQ(code_of({k, kTokens, 1, 0, 1}, 24), status::invalid_argument);
  EXPECT_EQ(code_of({k, ~0ull, 2, 0, 1}, 48), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, 1, ~0u, 2}, 48), status::invalid_argument);
  EXPECT_EQ(code_of({k, 0, 1, 1, kHeads}, kHeads * 24), status::invalid_argument);
  byte_string out(24);
  EXPECT_EQ(cpu::read_range(c, a.coder, a.file, {}, {k, 0, 1, 0, 1}, out).code(),
            status::invalid_argument);
}

TEST(archive, says_which_tensor_failed_and_why) {
  const archive a(kGiven, 8, 5);
  const container c = *parse_container(a.file);
  byte_string damaged = a.file;
  damaged.back() ^= std::byte{1};
  const auto broken = test::unpack(damaged, a.coder, a.means(), 3);
  EXPECT_EQ(broken.code(), status::corrupt);
  EXPECT_THAT(broken.failure().message, HasSubstr("layers.3.v"));

  const auto none = test::unpack(a.file, a.coder, {});
  EXPECT_EQ(none.code(), status::invalid_argument);
  EXPECT_THAT(none.failure().message, HasSubstr("no prediction"));
  const auto refused =
      test::unpack(a.file, a.coder, [](const stream&) -> result<row_view<const std::byte>> {
        return fail(status::io_error, "gone");
      });
  EXPECT_EQ(refused.code(), status::io_error);

  const auto wrong = test::unpack(
      a.file,
      cpu::codec(test::default_profile_of({format_id::fp16, mean_source::given, format_id::fp16})),
      a.means());
  EXPECT_EQ(wrong.code(), status::wrong_profile);
  const auto stopped = cpu::read_archive(
      c, a.coder, a.file, a.means(), [](std::uint64_t, std::span<const std::byte>) -> result<done> {
        return fail(status::io_error, "the disk is full");
      });
  EXPECT_EQ(stopped.code(), status::io_error);
  container again = c;
  EXPECT_EQ(test::pack(again, a.coder, std::span(a.source).first(5), a.means()).code(),
            status::invalid_argument);
}

TEST(archive, reports_every_source_byte_once) {
  const archive a(kGiven, 2, 5);
  container c = *parse_container(a.file);
  std::uint64_t reported = 0;
  const cpu::archive_options options{2, [&](std::uint64_t bytes) { reported += bytes; }};
  const auto ignore = [](std::uint64_t, std::span<const std::byte>) -> result<done> {
    return done{};
  };
  ASSERT_TRUE(cpu::read_archive(c, a.coder, a.file, a.means(), ignore, options));
  EXPECT_EQ(reported, a.source.size());
  reported = 0;
  const auto sink = [](std::span<const std::byte>) -> result<done> { return done{}; };
  ASSERT_TRUE(cpu::write_archive(c, a.coder, a.source, a.means(), sink, options));
  EXPECT_EQ(reported, a.source.size());
}

// Random bits cannot be compressed; they may hardly grow.
TEST(archive, of_random_bytes_is_hardly_larger_than_they_are) {
  for (const auto id : test::all_codings())
    for (const std::uint32_t tokens : {1u, 10u, 700u}) {
      const std::uint32_t width = 4 * 32, number_bytes = test::format_of(id.target).bytes();
      const byte_string source = test::random_bytes(tokens * width * number_bytes, 1);
      const byte_string means = test::random_bytes(tokens * width * 2, 2);
      const cpu::codec coder(test::default_profile_of(id));
      stream s = tensor_stream({0, tensor_kind::k}, id.target, tokens, 4, 32, 0, 0);
      ASSERT_TRUE(choose_tiles(s, tokens == 700 ? 8192 : 65536));
      container c = test::box_of(coder.used_profile(), {s});
      const auto lookup = [&](const stream&) -> result<row_view<const std::byte>> {
        return row_view<const std::byte>{means.data(), width * coder.mean().bytes()};
      };
      const auto file = test::pack(c, coder, source, lookup);
      ASSERT_TRUE(file);
      EXPECT_LE(file->size(), source.size() + source.size() / 100 + 4096) << test::name_of(id);
      EXPECT_EQ(*test::unpack(*file, coder, lookup), source);
    }
}

// Some hundred bytes stand for a hundred megabytes of equal numbers, in tiles of the largest size.
TEST(archive, holds_only_the_tiles_in_flight) {
  constexpr std::uint32_t kTiles = 12, kTileBytes = 2 * kMaxTileElements;
  constexpr test::coding_id id = test::kAlone;
  const cpu::codec coder(test::default_profile_of(id));
  const stream one = tensor_stream({0, tensor_kind::k}, id.target, kMaxTileElements / 64, 1, 64,
                                   kMaxTileElements / 64, 1);
  container c = test::box_of(coder.used_profile(), {one});
  const byte_string tile = *test::pack(c, coder, byte_string(kTileBytes), {});
  c.streams[0].tokens *= kTiles;
  c.records.assign(kTiles, c.records[0]);
  byte_string file = front_matter(c);
  ASSERT_EQ(c.records[0].mode(), tile_mode::constant);
  for (std::uint32_t i = 0; i < kTiles; ++i) append(file, std::span(tile).last(2));
  ASSERT_LT(file.size(), 1000u);

  c = *parse_container(file);
  for (const unsigned threads : {1u, 2u}) {
    const test::allocation_peak peak;
    std::uint64_t bytes = 0;
    const auto sink = [&](std::uint64_t, std::span<const std::byte> b) -> result<done> {
      bytes += b.size();
      return done{};
    };
    ASSERT_TRUE(cpu::read_archive(c, coder, file, {}, sink, {threads, {}}));
    EXPECT_EQ(bytes, std::uint64_t{kTiles} * kTileBytes);
    EXPECT_LE(peak.bytes(), threads * (16u << 20) + kTileBytes + (1u << 20)) << threads;
  }
}

// Under ThreadSanitizer this also says that nothing is shared that should not be.
TEST(archive, one_codec_serves_many_threads) {
  const archive a(kGiven, 8, 2);
  const container parsed = *parse_container(a.file);
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 5; ++round) {
        container c = parsed;
        const auto file = test::pack(c, a.coder, a.source, a.means(), 2);
        const auto source = test::unpack(a.file, a.coder, a.means(), 2);
        byte_string row(kHeads * kHeadDim * 2);
        const auto read = cpu::read_range(
            parsed, a.coder, a.file, a.means(),
            {{3, tensor_kind::k}, static_cast<std::uint64_t>(t), 1, 0, kHeads}, row);
        right += file && *file == a.file && source && *source == a.source && read;
        right += profile::parse(a.coder.used_profile().bytes())->get()->id() == parsed.profile;
      }
    });
  threads.clear();
  EXPECT_EQ(right, 4 * 5 * 2);
}

TEST(archive, the_fixture_comes_back) {
  struct variant {
    const char *target, *reference;
    format_id format;
  };
  for (const variant v : {variant{"target", "reference_fp8", format_id::bf16},
                          {"target", "reference_fp8_exactkv", format_id::bf16},
                          {"target_e4m3", "reference_fp8_for_e4m3", format_id::e4m3}}) {
    const auto cache =
        test::cache_file::tiny(std::string("evaluation/") + v.target + "/000.safetensors");
    const auto reference =
        test::cache_file::tiny(std::string("evaluation/") + v.reference + "/000.safetensors");
    const auto p = test::default_profile_of({v.format, mean_source::given, format_id::bf16});
    for (const std::uint32_t elements : {1000u, 65536u}) {
      container c = cache.box(*p, elements);
      const auto file = test::pack(c, cpu::codec(p), cache.bytes(), reference.as_means(), 2);
      ASSERT_TRUE(file) << file.failure().message;
      EXPECT_LT(file->size(), cache.bytes().size());
      const auto restored = test::unpack(*file, cpu::codec(p), reference.as_means(), 2);
      ASSERT_TRUE(restored) << restored.failure().message;
      EXPECT_TRUE(std::ranges::equal(*restored, cache.bytes()));
    }
  }
}

}  // namespace
}  // namespace skv
