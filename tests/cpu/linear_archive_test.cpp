// Linear propagation through archives, whatever the cache lacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skv/cpu/linear_predictor.hpp>
#include <skv/predict/reference.hpp>

#include "linear_cases.hpp"
#include "support/archives.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::linear_case;
using testing::HasSubstr;

struct tensor_piece {
  tensor_id id;
  std::uint32_t tokens;
};

// A file of some tensors, each of the last so many positions, with bytes between.
struct linear_archive {
  profile_ptr p;
  byte_string source, file;
  std::map<tensor_id, byte_string> bases;
  container box;

  linear_archive(profile_ptr used, const std::vector<tensor_piece>& pieces,
                 std::uint32_t tile_elements, std::uint32_t first_position, unsigned threads,
                 const test::random_outside* outside = nullptr)
      : p(std::move(used)) {
    test::random_source random(9);
    std::vector<stream> streams{test::opaque_stream(11)};
    source = test::random_bytes(11, 1);
    for (const tensor_piece& t : pieces) {
      const auto& s = *std::ranges::find(p->content().scales, t.id, &tensor_scales::id);
      const std::size_t count = std::size_t{t.tokens} * s.heads * s.head_dim;
      streams.push_back(test::tensor_stream(t.id, p->content().target, t.tokens, s.heads,
                                            s.head_dim, 1, s.heads));
      append(source, test::random_numbers(test::format_of(p->content().target), count, random));
      bases[t.id] = test::random_numbers(test::format_of(p->content().mean), count, random);
    }
    EXPECT_TRUE(choose_linear_tiles(streams, tile_elements, first_position));
    box = test::box_of(*p, streams);
    box.linear_base = p->content().base();
    const auto rows = rows_of(outside);
    if (rows) box.draft_hash = rows->draft_hash();
    const auto packed =
        test::pack(box, cpu::codec(p), source, means(), threads, rows ? &*rows : nullptr);
    EXPECT_TRUE(packed) << packed.failure().message;
    file = *packed;
  }
  std::optional<cpu::outside_rows> rows_of(const test::random_outside* outside) const {
    if (outside == nullptr) return std::nullopt;
    cpu::position_range all{~0u, 0};
    for (const stream& s : box.streams)
      if (s.is_tensor) {
        all.first = std::min<std::uint64_t>(all.first, s.first_position);
        all.count = std::max(all.count, static_cast<std::uint32_t>(s.tokens));
      }
    return *cpu::outside_rows::of(cpu::linear_steps(p), outside->inputs(), all);
  }
  cpu::mean_lookup means() const {
    return [this](const stream& s) -> result<row_view<const std::byte>> {
      const byte_string& b = bases.at(s.id);
      return row_view<const std::byte>{b.data(), b.size() / s.tokens};
    };
  }
};

const std::vector<tensor_piece> kWhole = {{{0, tensor_kind::k}, 50}, {{0, tensor_kind::v}, 50},
                                          {{1, tensor_kind::k}, 50}, {{1, tensor_kind::v}, 50},
                                          {{2, tensor_kind::k}, 50}, {{2, tensor_kind::v}, 50}};
// Out of order, layers and kinds missing, windows of the last tokens.
const std::vector<std::vector<tensor_piece>> kOdd = {
    {{{2, tensor_kind::v}, 50}, {{0, tensor_kind::k}, 20}, {{2, tensor_kind::k}, 50}},
    {{{1, tensor_kind::k}, 50},
     {{1, tensor_kind::v}, 7},
     {{2, tensor_kind::k}, 50},
     {{0, tensor_kind::v}, 1}},
    {{{2, tensor_kind::v}, 3}}};

TEST(linear_archive, comes_back_whatever_is_missing_on_any_number_of_threads_and_instruction_set) {
  for (const linear_case& c : test::linear_cases()) {
    if (c.latent) continue;
    SCOPED_TRACE(test::text_of(c));
    auto shapes = kOdd;
    shapes.push_back(kWhole);
    for (const auto& pieces : shapes) {
      std::uint32_t longest = 0;
      for (const auto& t : pieces) longest = std::max(longest, t.tokens);
      const test::random_outside outside(longest, 5);
      auto p = test::random_linear_profile(c);
      if (c.outside) p = test::with_hash(p, outside.table.hash());
      const auto* used = c.outside ? &outside : nullptr;
      for (const auto& [elements, first] : {std::pair{200u, 3u}, {65536u, (1u << 24) - 20}}) {
        const linear_archive one(p, pieces, elements, first, 1, used);
        EXPECT_TRUE(linear_archive(p, pieces, elements, first, 3, used).file == one.file);
        const auto rows = one.rows_of(used);
        for (const cpu::isa set : test::kSets) {
          const auto back =
              test::unpack(one.file, cpu::codec(p, set), one.means(), 2, rows ? &*rows : nullptr);
          ASSERT_TRUE(back) << back.failure().message;
          ASSERT_TRUE(*back == one.source) << cpu::to_string(set);
        }
      }
    }
  }
}

// A range is decoded from the tiles that its chain goes through, and no others.
TEST(linear_archive, ranges_touch_only_what_they_depend_on) {
  linear_case c;
  c.layers = 4;
  const auto whole = test::random_linear_profile(c);  // has the weights
  profile_content content = whole->content();
  // The chain starts anew at layer 2.
  linear_tensor& k2 = content.linear->tensors[4];
  k2.sources.clear();
  k2.to_output = {};
  linear_tensor& v2 = content.linear->tensors[5];
  v2.sources = {4};
  const std::uint32_t width = c.heads * c.head_dim;
  v2.to_output.inputs = width;
  const std::vector<std::int8_t> weights(v2.to_output.shard_weights(), 3);
  v2.to_output.weights = weights;
  linear_tensor& k3 = content.linear->tensors[6];
  k3.sources = {4, 5};
  k3.to_output.inputs = 2 * width;
  const std::vector<std::int8_t> more(k3.to_output.shard_weights(), -5);
  k3.to_output.weights = more;
  const auto p = *profile::make(std::move(content));
  const linear_archive a(p,
                         {{{0, tensor_kind::k}, 40},
                          {{0, tensor_kind::v}, 40},
                          {{1, tensor_kind::k}, 40},
                          {{1, tensor_kind::v}, 40},
                          {{2, tensor_kind::k}, 40},
                          {{2, tensor_kind::v}, 40},
                          {{3, tensor_kind::k}, 40}},
                         240, 5, 1);
  const container box = *parse_container(a.file);
  // Positions 5 to 44 in bands of 10: tokens 15 to 24 are band 2.
  byte_string damaged = a.file;
  std::size_t tile = 0, at = box.tiles_begin;
  for (const stream& s : box.streams)
    for (std::uint64_t i = 0; i < s.tiles(); ++i, ++tile) {
      const bool needed = s.is_tensor && s.id.layer >= 2 && tile_at(s, i).first_token == 15;
      for (std::size_t b = 0; b < box.records[tile].bytes(); ++b)
        if (!needed) damaged[at + b] = std::byte{0xee};
      at += box.records[tile].bytes();
    }
  const std::size_t row = c.heads * c.head_dim * 2;
  byte_string out(6 * row);
  const auto read = cpu::read_range(box, cpu::codec(p), damaged, a.means(),
                                    {{3, tensor_kind::k}, 17, 6, 0, c.heads}, out);
  ASSERT_TRUE(read) << read.failure().message;
  const std::size_t begin = 11 + (6 * 40 + 17) * row;
  EXPECT_TRUE(std::equal(out.begin(), out.end(), a.source.begin() + std::ptrdiff_t(begin)));
  // A tensor of the damaged part of the chain says so.
  EXPECT_FALSE(cpu::read_range(box, cpu::codec(p), damaged, a.means(),
                               {{1, tensor_kind::v}, 17, 6, 0, c.heads}, out));
}

// Numbers close to their means: tiles are coded, and have the hash of their means.
void make_predictable(linear_archive& a, const test::random_outside* outside) {
  test::random_source random(10);
  const auto rows = a.rows_of(outside);
  const cpu::position_range all{a.box.streams[1].first_position, kWhole.front().tokens};
  const reference base([&](const tensor_shape& t) {
    const byte_string& b = a.bases.at(t.id);
    return row_view<const std::byte>{b.data(), b.size() / t.tokens};
  });
  auto l = rows ? cpu::linear(*rows, base) : cpu::linear(a.p, base, all.list());
  std::size_t at = 11;
  for (const tensor_piece& piece : kWhole) {
    const auto& s = *std::ranges::find(a.p->content().scales, piece.id, &tensor_scales::id);
    const tensor_shape t{piece.id, piece.tokens, s.heads, s.head_dim};
    const auto means = l.predict(t);
    const std::size_t size = std::size_t{t.tokens} * t.width() * 2;
    std::copy_n(means.data, size, a.source.begin() + std::ptrdiff_t(at));
    for (std::size_t i = at; i < at + size; i += 2)
      if (random.chance(0.1)) a.source[i] ^= std::byte{1};
    l.update(t, {a.source.data() + at, std::size_t{t.width()} * 2});
    at += size;
  }
  a.file = *test::pack(a.box, cpu::codec(a.p), a.source, a.means(), 1, rows ? &*rows : nullptr);
}

TEST(linear_archive, refuses_outside_rows_that_are_not_the_ones) {
  linear_case c;
  c.outside = true;
  const test::random_outside outside(50, 5), other(50, 6), shorter(49, 5);
  const auto p = test::with_hash(test::random_linear_profile(c), outside.table.hash());
  linear_archive a(p, kWhole, 240, 5, 1, &outside);
  make_predictable(a, &outside);
  const cpu::codec coder(p);
  EXPECT_EQ(test::unpack(a.file, coder, a.means()).code(), status::invalid_argument);
  const auto moved =
      *cpu::outside_rows::of(cpu::linear_steps(p), outside.inputs(), cpu::position_range{6, 50});
  EXPECT_EQ(test::unpack(a.file, coder, a.means(), 1, &moved).code(), status::invalid_argument);
  // Another draft, and other ids.
  cpu::outside_inputs in = outside.inputs();
  in.draft = other.draft;
  in.draft_name = "D";
  const auto drafted = *cpu::outside_rows::of(cpu::linear_steps(p), in, cpu::position_range{5, 50});
  const auto refused = test::unpack(a.file, coder, a.means(), 1, &drafted);
  EXPECT_EQ(refused.code(), status::wrong_prediction);
  EXPECT_THAT(refused.failure().message, HasSubstr("D is not the draft"));
  in = outside.inputs();
  in.ids = other.ids;
  const auto told = *cpu::outside_rows::of(cpu::linear_steps(p), in, cpu::position_range{5, 50});
  EXPECT_EQ(test::unpack(a.file, coder, a.means(), 1, &told).code(), status::wrong_prediction);

  const auto why = [&](const cpu::outside_inputs& inputs) {
    const auto rows =
        cpu::outside_rows::of(cpu::linear_steps(p), inputs, cpu::position_range{5, 50});
    EXPECT_EQ(rows.code(), status::wrong_prediction);
    return rows ? "" : rows.failure().message;
  };
  in = outside.inputs();
  in.embedding = &other.table;
  EXPECT_THAT(why(in), HasSubstr("other numbers"));
  in.embedding = nullptr;
  EXPECT_THAT(why(in), HasSubstr("none is given"));
  const cpu::embedding_table narrow(bf16, 25, 20, outside.table_numbers.data());
  in.embedding = &narrow;
  EXPECT_THAT(why(in), HasSubstr("[25, 20] of bf16"));
  in = outside.inputs();
  in.ids = shorter.ids;
  EXPECT_THAT(why(in), HasSubstr("49 token ids for 50"));
  in = outside.inputs();
  in.draft = {};
  EXPECT_THAT(why(in), HasSubstr("draft's cache, and none is given"));
  std::vector<cpu::draft_tensor> draft = outside.draft;
  in.draft = draft;
  draft[0].tokens = 51;
  EXPECT_THAT(why(in), HasSubstr("51 tokens"));
  draft[0] = outside.draft[0];
  draft[0].heads = 6;
  draft[0].head_dim = 3;
  EXPECT_THAT(why(in), HasSubstr("6 x 3 channels"));
  draft[0] = outside.draft[0];
  draft[0].id.layer = 4;
  EXPECT_THAT(why(in), HasSubstr("layers.1.k is missing"));
}

TEST(linear_archive, other_bases_are_noticed) {
  const auto p = test::random_linear_profile({});
  linear_archive a(p, kWhole, 240, 5, 1);
  make_predictable(a, nullptr);
  ASSERT_TRUE(test::unpack(a.file, cpu::codec(p), a.means()));
  a.bases[{1, tensor_kind::k}][0] ^= std::byte{0x40};
  EXPECT_EQ(test::unpack(a.file, cpu::codec(p), a.means()).code(), status::wrong_prediction);
}

TEST(read_opaque, gives_what_lies_between_the_tensors) {
  const auto p = test::random_linear_profile({});
  const linear_archive a(p, kWhole, 240, 5, 1);
  const container box = *parse_container(a.file);
  const auto read = [&](std::uint64_t at, std::uint64_t bytes) {
    return cpu::read_opaque(box, a.file, at, bytes);
  };
  EXPECT_EQ(*read(2, 9), byte_string(a.source.begin() + 2, a.source.begin() + 11));
  EXPECT_EQ(read(0, 0)->size(), 0u);
  EXPECT_EQ(read(2, 10).code(), status::invalid_argument) << "into a tensor";
  EXPECT_EQ(read(~std::uint64_t{0}, 1).code(), status::invalid_argument);
  EXPECT_EQ(read(3, std::uint64_t{1} << 62).code(), status::invalid_argument);
}

}  // namespace
}  // namespace skv
