// Linear propagation on the CPU: the same integers from every instruction set, through archives and
// predictors, whatever the cache holds and lacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skv/cpu/linear_predictor.hpp>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/predict/none.hpp>
#include <skv/predict/reference.hpp>

#include "cpu/linear_products.hpp"
#include "support/archives.hpp"
#include "support/linear_models.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::linear_case;
using test::pairing;
using testing::HasSubstr;

constexpr cpu::isa kSets[] = {cpu::isa::scalar, cpu::isa::portable, cpu::isa::avx2,
                              cpu::isa::avx512};

constexpr test::coding_id given(format_id target, format_id mean) {
  return {target, mean_source::given, mean};
}

// A tensor of random numbers and bases for every tensor of a profile.
struct random_cache {
  std::vector<byte_string> numbers, bases;
  std::vector<std::size_t> row_bytes, base_row_bytes;

  random_cache(const profile& p, std::uint32_t tokens, std::uint64_t seed, double unusual = 0.02) {
    test::random_source random(seed);
    const number_format target = test::format_of(p.content().target);
    const number_format mean = test::format_of(p.content().mean);
    for (const tensor_scales& s : p.content().scales) {
      const std::size_t width = std::size_t{s.heads} * s.head_dim;
      numbers.push_back(test::random_numbers(target, tokens * width, random, unusual));
      bases.push_back(test::random_numbers(mean, tokens * width, random, unusual));
      row_bytes.push_back(width * target.bytes());
      base_row_bytes.push_back(width * mean.bytes());
    }
  }
  row_view<const std::byte> rows(std::size_t i) const { return {numbers[i].data(), row_bytes[i]}; }
  row_view<const std::byte> base_rows(std::size_t i) const {
    return {bases[i].data(), base_row_bytes[i]};
  }
};

struct results {
  std::vector<cpu::innovations> told;
  std::vector<byte_string> means;
  friend bool operator==(const results&, const results&) = default;
};

results run(const profile_ptr& p, cpu::isa set, const random_cache& cache,
            const std::vector<std::uint32_t>& positions, const cpu::outside_inputs& outside = {}) {
  const cpu::linear_steps steps(p, set);
  const auto rows = *cpu::outside_rows::of(steps, outside, positions);
  results r;
  for (std::size_t i = 0; i < steps.model().tensors.size(); ++i)
    r.told.push_back(steps.innovate(i, positions, cache.rows(i), cache.base_rows(i)));
  const std::size_t tensors = r.told.size();
  for (std::size_t i = 0; i < steps.model().outside.size(); ++i)
    r.told.push_back(rows.at(i, 0, positions.size()));
  for (std::size_t i = 0; i < tensors; ++i) {
    std::vector<const cpu::innovations*> from;
    for (const std::uint32_t s : steps.model().tensors[i].sources) from.push_back(&r.told[s]);
    byte_string room;
    const auto m = steps.predict(i, positions, from, cache.base_rows(i), room);
    r.means.emplace_back(m.data, m.data + cache.bases[i].size());
  }
  return r;
}

// Shapes, pairings, ranks, shards, formats, bases.
std::vector<linear_case> cases() {
  using enum format_id;
  std::vector<linear_case> all;
  for (const pairing turns :
       {pairing::none, pairing::half, pairing::interleaved, pairing::partial}) {
    linear_case c;
    c.turns = turns;
    all.push_back(c);
    c.seed = 2;
    c.base = mean_source::none;
    c.rank = 5;
    all.push_back(c);
    c.shards = 2;
    all.push_back(c);
    c.rank = 0;
    c.outside = true;
    c.heads = 4;
    c.head_dim = 20;
    all.push_back(c);
    c.latent = true;
    c.heads = c.shards = 1;
    c.head_dim = 52;
    all.push_back(c);
  }
  for (const auto id : {given(fp16, fp16), given(e4m3, e4m3), given(e4m3, bf16), given(e4m3, fp16),
                        given(e5m2, bf16), given(e5m2, e5m2)}) {
    linear_case c;
    c.id = id;
    c.outside = true;
    all.push_back(c);
  }
  return all;
}

std::string text_of(const linear_case& c) {
  return test::name_of(c.id) + ", pairing " + std::to_string(static_cast<int>(c.turns)) +
         ", rank " + std::to_string(c.rank) + ", shards " + std::to_string(c.shards) +
         (c.base == mean_source::none ? ", no base" : "") + (c.latent ? ", latent" : "") +
         (c.outside ? ", outside rows" : "");
}

TEST(linear_steps, are_the_same_on_every_instruction_set) {
  for (const linear_case& c : cases()) {
    SCOPED_TRACE(text_of(c));
    test::random_source random(c.seed + 77);
    std::vector<std::uint32_t> positions;
    for (int i = 0; i < 70; ++i)  // more than go through the products at once
      positions.push_back(i % 5 == 0 ? random.edgy() : random.below((1u << 24) + 1));
    const test::random_outside outside(70, 5);
    auto p = test::random_linear_profile(c);
    if (c.outside) p = test::with_hash(p, outside.table.hash());
    const random_cache cache(*p, 70, 3, c.seed % 2 ? 0.02 : 0.3);
    const results expected = run(p, cpu::isa::scalar, cache, positions, outside.inputs());
    // Not all alike: the model does something.
    EXPECT_NE(expected.means.back(), cache.bases.back());
    for (const cpu::innovations& t : expected.told) {
      EXPECT_GT(std::ranges::count_if(t, [](std::int8_t x) { return x != 0; }),
                std::ptrdiff_t(t.size() / 4));
      EXPECT_EQ(std::ranges::count(t, std::int8_t{-128}), 0);
    }
    for (const cpu::isa set : kSets)
      EXPECT_TRUE(run(p, set, cache, positions, outside.inputs()) == expected)
          << cpu::to_string(set);
  }
}

// Rows of 2^16 extreme inputs and weights reach the largest sums that there are; shapes that are no
// multiples of anything are multiplied whole, and nothing beside them is written.
TEST(linear_steps, products_are_exact) {
  struct set_of_kernels {
    cpu::isa set;
    cpu::linear_kernels kernels;
  };
  std::vector<set_of_kernels> sets = {
      {cpu::isa::scalar, cpu::scalar::find_linear_kernels(format_id::bf16, format_id::bf16)},
      {cpu::isa::portable, cpu::portable::find_linear_kernels(format_id::bf16, format_id::bf16)}};
#if defined(__x86_64__)
  sets.push_back(
      {cpu::isa::avx2, cpu::avx2::find_linear_kernels(format_id::bf16, format_id::bf16)});
  sets.push_back(
      {cpu::isa::avx512, cpu::avx512::find_linear_kernels(format_id::bf16, format_id::bf16)});
#endif
  struct shape {
    std::uint32_t groups, outputs, tokens;
    bool extreme = false;
  };
  test::random_source random(8);
  for (const shape& s : std::vector<shape>{{16384, 5, 3, true},
                                           {16384, 65, 2, true},
                                           {1, 1, 1},
                                           {7, 83, 9},
                                           {33, 16, 4},
                                           {12, 8, 5},
                                           {0, 4, 2}}) {
    const std::size_t input_stride = std::size_t{s.groups} * 4;
    std::vector<std::int8_t> inputs(s.tokens * input_stride), weights(input_stride * s.outputs);
    for (std::int8_t& x : inputs)
      x = static_cast<std::int8_t>(s.extreme ? 127 : std::int32_t(random.below(255)) - 127);
    for (std::int8_t& w : weights) w = static_cast<std::int8_t>(s.extreme ? 0x80 : random.bits());
    std::vector<std::int32_t> expected;
    for (std::uint32_t t = 0; t < s.tokens; ++t)
      for (std::uint32_t o = 0; o < s.outputs; ++o) {
        std::int64_t sum = 0;
        for (std::size_t i = 0; i < input_stride; ++i)
          sum += inputs[t * input_stride + i] * weights[4 * (i / 4 * s.outputs + o) + i % 4];
        ASSERT_LE(std::abs(sum), std::int64_t{1} << 30);
        expected.push_back(static_cast<std::int32_t>(sum));
      }
    for (const auto& [set, kernels] : sets) {
      if (!cpu::is_available(set)) continue;
      constexpr std::int32_t kUntouched = 0x5a5a5a5a;
      const std::size_t stride = s.outputs + 3;
      std::vector<std::int32_t> sums(s.tokens * stride, kUntouched);
      const cpu::multiply_arguments arguments{s.tokens,      s.groups,     s.outputs,
                                              inputs.data(), input_stride, weights.data(),
                                              sums.data(),   stride};
      kernels.multiply(arguments);
      std::vector<std::int32_t> by_blocks(sums.size(), kUntouched);
      std::vector<std::int8_t> room;
      cpu::multiply_arguments blocks = arguments;
      blocks.sums = by_blocks.data();
      cpu::multiply_in_blocks(kernels, blocks, room);
      ASSERT_EQ(by_blocks, sums) << cpu::to_string(set);
      for (std::uint32_t t = 0; t < s.tokens; ++t)
        for (std::uint32_t o = 0; o < stride; ++o)
          ASSERT_EQ(sums[t * stride + o],
                    o < s.outputs ? expected[t * std::size_t{s.outputs} + o] : kUntouched)
              << cpu::to_string(set) << ", " << s.groups << " groups, " << s.outputs << " outputs";
    }
  }
}

TEST(linear_steps,
     what_has_no_value_spoils_its_token_alone_and_no_other_channel_of_its_innovation) {
  linear_case c;
  const auto p = test::random_linear_profile(c);
  std::vector<std::uint32_t> positions(20);
  for (std::uint32_t i = 0; i < 20; ++i) positions[i] = 1000 + i;
  const random_cache clean(*p, 20, 4, 0);
  const results expected = run(p, cpu::best_isa(), clean, positions);
  for (const std::uint32_t pattern : {0x7fc0u, 0xff80u, 0x7f80u, 0xffffu}) {
    random_cache altered = clean;
    const std::uint32_t token = 7, channel = 5, width = c.heads * c.head_dim;
    std::memcpy(altered.numbers[0].data() + 2 * (token * width + channel), &pattern, 2);
    const results got = run(p, cpu::best_isa(), altered, positions);
    for (std::uint32_t i = 0; i < 20 * width; ++i)
      if (i / width != token || (i % width != channel && i % width != channel + c.head_dim / 2)) {
        ASSERT_EQ(got.told[0][i], expected.told[0][i]) << i;
      }
    for (std::size_t t = 0; t < got.means.size(); ++t)
      for (std::size_t row = 0; row < 20; ++row)
        if (row != token) {
          ASSERT_TRUE(std::equal(got.means[t].begin() + std::ptrdiff_t(row * width * 2),
                                 got.means[t].begin() + std::ptrdiff_t((row + 1) * width * 2),
                                 expected.means[t].begin() + std::ptrdiff_t(row * width * 2)));
        }
    // A base without a value stays what it is.
    altered = clean;
    std::memcpy(altered.bases[2].data(), &pattern, 2);
    EXPECT_EQ(
        test::pattern_at(run(p, cpu::best_isa(), altered, positions).means[2].data(), bf16, 0),
        pattern);
  }
}

TEST(linear_steps, shards_do_not_see_each_other_and_can_be_cut_out) {
  for (const std::uint32_t rank : {0u, 3u}) {
    linear_case c;
    c.heads = 4;
    c.shards = 2;
    c.rank = rank;
    c.outside = true;
    const test::random_outside outside(9, 6);
    const auto p = test::with_hash(test::random_linear_profile(c), outside.table.hash());
    const auto half = *p->slice_heads(2, 2);
    const std::vector<std::uint32_t> positions{0, 1, 2, 3, 4, 5, 6, 7, 1u << 24};
    const random_cache cache(*p, 9, 4);
    const results whole = run(p, cpu::best_isa(), cache, positions, outside.inputs());
    random_cache part = cache;
    const std::size_t head_bytes = c.head_dim * 2;
    for (std::size_t i = 0; i < part.numbers.size(); ++i) {
      for (auto* all : {&part.numbers[i], &part.bases[i]}) {
        byte_string kept;
        for (std::size_t row = 0; row < 9; ++row)
          append(kept, std::span(*all).subspan((4 * row + 2) * head_bytes, 2 * head_bytes));
        *all = kept;
      }
      part.row_bytes[i] = part.base_row_bytes[i] = 2 * head_bytes;
    }
    const results sliced = run(half, cpu::best_isa(), part, positions, outside.inputs());
    for (std::size_t i = 0; i < sliced.means.size(); ++i)
      for (std::size_t row = 0; row < 9; ++row)
        ASSERT_TRUE(std::equal(sliced.means[i].begin() + std::ptrdiff_t(2 * row * head_bytes),
                               sliced.means[i].begin() + std::ptrdiff_t(2 * (row + 1) * head_bytes),
                               whole.means[i].begin() + std::ptrdiff_t((4 * row + 2) * head_bytes)))
            << "tensor " << i << ", row " << row << ", rank " << rank;
    EXPECT_THAT(p->slice_heads(1, 2).failure().message, HasSubstr("shards of 2 heads"));
  }
}

// --- archives -----------------------------------------------------------------------------------

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
  for (const linear_case& c : cases()) {
    if (c.latent) continue;
    SCOPED_TRACE(text_of(c));
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
        for (const cpu::isa set : kSets) {
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

// --- the predictor ------------------------------------------------------------------------------

// Encoder and decoder drive it alike; layers may be left out.
template <class MakePredictor>
void expect_round_trip(const profile_ptr& p, const random_cache& cache, std::uint32_t tokens,
                       const std::vector<std::size_t>& order, const MakePredictor& make) {
  const cpu::codec coder(p);
  auto encoding = make(), decoding = make();
  for (const std::size_t i : order) {
    const tensor_scales& s = p->content().scales[i];
    const tensor_shape t{s.id, tokens - static_cast<std::uint32_t>(i), s.heads, s.head_dim};
    const auto e = cpu::encode_tensor(coder, encoding, t, cache.rows(i));
    ASSERT_TRUE(e) << e.failure().message;
    byte_string out(cache.row_bytes[i] * t.tokens);
    const auto d = cpu::decode_tensor(coder, decoding, t, *e,
                                      row_view<std::byte>{out.data(), cache.row_bytes[i]});
    ASSERT_TRUE(d) << d.failure().message;
    ASSERT_TRUE(std::equal(out.begin(), out.end(), cache.numbers[i].begin()));
  }
}

TEST(linear_predictor, drives_an_encoder_and_a_decoder) {
  for (const linear_case& c : cases()) {
    if (c.latent) continue;
    SCOPED_TRACE(text_of(c));
    constexpr std::uint32_t kTokens = 23;
    test::random_source random(1);
    std::vector<std::uint32_t> positions;
    for (std::uint32_t i = 0; i < kTokens; ++i) positions.push_back(random.below(1u << 24));
    const test::random_outside outside(kTokens, 5);
    auto p = test::random_linear_profile(c);
    if (c.outside) p = test::with_hash(p, outside.table.hash());
    const random_cache cache(*p, kTokens, 3);
    const auto with_base = [&](auto base) {
      for (const auto& order : {std::vector<std::size_t>{0, 1, 2, 3, 4, 5}, {1, 4, 5}})
        expect_round_trip(p, cache, kTokens, order, [&] {
          return c.outside ? cpu::linear(*cpu::outside_rows::of(cpu::linear_steps(p),
                                                                outside.inputs(), positions),
                                         base)
                           : cpu::linear(p, base, positions);
        });
    };
    if (c.base == mean_source::none)
      with_base(none{});
    else
      with_base(reference([&](const tensor_shape& t) {
        for (std::size_t i = 0; i < p->content().scales.size(); ++i)
          if (p->content().scales[i].id == t.id) return cache.base_rows(i);
        return row_view<const std::byte>{};
      }));
  }
}

TEST(linear_predictor, has_no_means_for_what_it_does_not_know) {
  linear_case c;
  c.base = mean_source::none;
  cpu::linear l(test::random_linear_profile(c), none{}, {0, 1, 2});
  EXPECT_EQ(l.predict({{9, tensor_kind::k}, 3, 2, 12}).data, nullptr);
  EXPECT_EQ(l.predict({{0, tensor_kind::k}, 3, 2, 13}).data, nullptr);
  EXPECT_EQ(l.predict({{0, tensor_kind::k}, 4, 2, 12}).data, nullptr) << "more than positions";
  EXPECT_NE(l.predict({{0, tensor_kind::k}, 3, 2, 12}).data, nullptr);
  c.outside = true;
  cpu::linear outside(test::random_linear_profile(c), none{}, {0, 1, 2});
  EXPECT_EQ(outside.predict({{0, tensor_kind::k}, 3, 2, 12}).data, nullptr);
}

}  // namespace
}  // namespace skv
