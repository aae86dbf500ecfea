// Every instruction set writes the same bytes and reads every other's.
#include <gtest/gtest.h>

#include "support/effort.hpp"
#include "support/guarded_codec.hpp"

namespace skv {
namespace {

using namespace test;

struct same_bytes : testing::TestWithParam<coding_id> {};

/// The record that all agree on.
encoded check(const tile_case& c, flush side = flush::right) {
  const guarded_case g(c, side);
  const auto& codecs = codecs_that_run_here();
  const encoded first = encode(codecs[0].find(c.id), c, g, side);
  for (const named_codec& codec : codecs) {
    SCOPED_TRACE(codec.name);
    if (&codec != &codecs[0]) {
      const encoded e = encode(codec.find(c.id), c, g, side);
      EXPECT_EQ(e.record, first.record);
      EXPECT_TRUE(e.bytes == first.bytes);
    }
    const decoded d = decode(codec.find(c.id), c, g, first, side);
    EXPECT_EQ(d.outcome, status::ok) << to_string(d.outcome);
    EXPECT_TRUE(d.numbers == c.numbers);
  }
  return first;
}

std::string text_of(const tile_case& c, data_kind data, table_kind table) {
  return std::to_string(c.shape.tokens) + "x" + std::to_string(c.shape.width) + ", data " +
         std::to_string(static_cast<int>(data)) + ", table " +
         std::to_string(static_cast<int>(table));
}

const tile_shape kShapes[] = {{1, 1},   {1, 31},  {1, 32},   {1, 33},   {3, 40},
                              {16, 64}, {7, 576}, {88, 128}, {1000, 8}, {2048, 32}};

TEST_P(same_bytes, of_any_shape_data_and_table) {
  for (const tile_shape shape : kShapes)
    for (const data_kind data : kDataKinds)
      for (const table_kind table : kTableKinds) {
        const bool large = shape.elements() > 5000;
        if (large && (table != table_kind::fitted || kSlowBuild)) continue;
        const tile_case c = make_case(GetParam(), shape, data, table);
        SCOPED_TRACE(text_of(c, data, table));
        check(c);
        if (HasFailure()) return;
      }
}

// Around the sizes where states, plane and words begin to fit.
TEST_P(same_bytes, of_every_small_size) {
  for (std::uint32_t width = 1; width <= 300; width += kSlowBuild && width < 120 ? 7 : 1)
    for (const data_kind data : {data_kind::gaussian, data_kind::random_patterns}) {
      const tile_case c = make_case(GetParam(), {1, width}, data, table_kind::fitted, width);
      SCOPED_TRACE(text_of(c, data, table_kind::fitted));
      check(c, width % 2 == 0 ? flush::left : flush::right);
      if (HasFailure()) return;
    }
  for (std::uint32_t tokens = 1; tokens <= 70; ++tokens)  // more steps than a tail can have
    for (const std::uint32_t width : {1u, 5u, 40u}) {
      const tile_case c =
          make_case(GetParam(), {tokens, width}, data_kind::gaussian, table_kind::fitted, tokens);
      SCOPED_TRACE(text_of(c, data_kind::gaussian, table_kind::fitted));
      check(c);
      if (HasFailure()) return;
    }
}

// That what was compared above has been coded, and is worth it.
TEST_P(same_bytes, modes_are_those_that_the_data_call_for) {
  const tile_shape shape{64, 128};
  const coding_id id = GetParam();
  const auto record_of = [&](data_kind data) {
    return check(make_case(id, shape, data, table_kind::fitted)).record;
  };
  const std::size_t raw = shape.elements() * format_of(id.target).bytes();
  EXPECT_EQ(record_of(data_kind::gaussian).mode(), tile_mode::coded);
  EXPECT_LT(record_of(data_kind::gaussian).bytes(), raw * 9 / 10);
  EXPECT_EQ(record_of(data_kind::unusual_mixture).mode(), tile_mode::coded);
  EXPECT_EQ(record_of(data_kind::random_patterns).mode(), tile_mode::raw);
  EXPECT_EQ(record_of(data_kind::random_patterns).bytes(), raw);
  for (const data_kind data : {data_kind::all_equal, data_kind::all_zero, data_kind::all_nan}) {
    EXPECT_EQ(record_of(data).mode(), tile_mode::constant);
    EXPECT_EQ(record_of(data).bytes(), format_of(id.target).bytes());
  }
  const tile_record predicted = record_of(data_kind::as_predicted);
  if (id.source == mean_source::given && id.mean == id.target) {
    EXPECT_EQ(predicted.mode(), tile_mode::prediction);
    EXPECT_EQ(predicted.bytes(), 0u);
  } else if (id.source == mean_source::given) {
    EXPECT_EQ(predicted.mode(), tile_mode::coded);
    EXPECT_LT(predicted.bytes(), raw / 2);
  }
}

// Hardly any bits a step: the count of tail steps is full before a state is.
TEST_P(same_bytes, of_a_tail_as_long_as_can_be) {
  if (GetParam().source != mean_source::given) GTEST_SKIP() << "not everything is predicted";
  tile_case c = make_case(GetParam(), {100, 32}, data_kind::as_predicted, table_kind::fitted);
  c.numbers[0] ^= std::byte{1};
  std::fill(c.codes.begin(), c.codes.end(), std::byte{0});  // steps so small that no bits are raw
  with_coding(c.id, [&]<class Coding>() {
    c.tables = make_tables<residual_tokens>(Coding::kContexts, [&](std::uint32_t) {
      return single_token(residual_tokens::kCount, residual_tokens::kBelow);
    });
  });
  const encoded e = check(c);
  if (c.id.target == c.id.mean) {  // otherwise not all tokens are 0
    EXPECT_EQ(e.record.mode(), tile_mode::coded);
    EXPECT_EQ(e.record.tail_steps(), kMaxTailSteps);
  }
}

// Rows apart, at odd addresses: neither the gaps nor what lies around is touched.
TEST_P(same_bytes, of_rows_with_gaps_at_odd_addresses) {
  const tile_case c = make_case(GetParam(), {9, 75}, data_kind::gaussian, table_kind::fitted);
  const auto spread = [](const std::vector<std::byte>& rows, std::size_t row, std::size_t stride) {
    std::vector<std::byte> out(1, guarded_bytes::kCanary);  // one byte off
    for (std::size_t at = 0; at < rows.size(); at += row) {
      out.insert(out.end(), rows.begin() + static_cast<std::ptrdiff_t>(at),
                 rows.begin() + static_cast<std::ptrdiff_t>(at + row));
      if (at + row < rows.size()) out.insert(out.end(), stride - row, guarded_bytes::kCanary);
    }
    return out;
  };
  const encoded expected = check(c);
  ASSERT_EQ(expected.record.mode(), tile_mode::coded);
  const std::size_t stride = c.row_bytes() + 37, mean_stride = c.mean_row_bytes() + 101;
  const guarded_bytes numbers(spread(c.numbers, c.row_bytes(), stride)),
      means(spread(c.means, c.mean_row_bytes(), mean_stride)), codes(spread(c.codes, 75, 75));
  for (const named_codec& named : codecs_that_run_here()) {
    SCOPED_TRACE(named.name);
    const cpu::tile_codec codec = named.find(c.id);
    guarded_bytes image(c.numbers.size() + 1);
    const tile_record record = codec.encode({c.shape,
                                             {numbers.data() + 1, stride},
                                             {means.data() + 1, mean_stride},
                                             codes.data() + 1,
                                             c.tables.encode.data(),
                                             image.data() + 1});
    EXPECT_EQ(record, expected.record);
    EXPECT_EQ(image.data()[0], guarded_bytes::kCanary);
    ASSERT_EQ(std::memcmp(image.data() + 1, expected.bytes.data(), expected.bytes.size()), 0);

    for (const tile_mode mode : {tile_mode::coded, tile_mode::raw, tile_mode::constant}) {
      const std::vector<std::byte>& stored = mode == tile_mode::coded ? expected.bytes : c.numbers;
      tile_record r = record;
      if (mode != tile_mode::coded) {
        const std::size_t size = mode == tile_mode::raw ? stored.size() : c.target().bytes();
        r = {tile_record::pack(mode, size), record.data_hash, 0};
      }
      std::vector<std::byte> odd(1 + stored.size());
      std::copy(stored.begin(), stored.end(), odd.begin() + 1);
      guarded_bytes out(numbers.size());
      const status outcome = codec.decode({c.shape,
                                           r,
                                           odd.data() + 1,
                                           {means.data() + 1, mean_stride},
                                           codes.data() + 1,
                                           c.tables.decode.data(),
                                           {out.data() + 1, stride}});
      EXPECT_TRUE(out.margins_intact());
      if (mode == tile_mode::constant) {
        EXPECT_EQ(outcome, status::corrupt);  // these numbers are not all equal
        for (std::uint32_t t = 0; t + 1 < c.shape.tokens; ++t)
          for (std::size_t i = c.row_bytes(); i < stride; ++i)
            ASSERT_EQ(out.data()[1 + t * stride + i], guarded_bytes::kCanary);
      } else {
        EXPECT_EQ(outcome, status::ok);
        EXPECT_EQ(std::memcmp(out.data(), numbers.data(), out.size()), 0);  // gaps included
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(codings, same_bytes, testing::ValuesIn(all_codings()),
                         [](const auto& coding) { return name_of(coding.param); });

TEST(codings, exist_where_the_list_says_so) {
  for (const coding_id id : all_combinations())
    for (const named_codec& codec : codecs_that_run_here()) {
      const cpu::tile_codec found = codec.find(id);
      const bool expected = is_coded(id.target, id.source, id.mean);
      EXPECT_EQ(found.encode != nullptr, expected) << name_of(id) << ", " << codec.name;
      EXPECT_EQ(found.decode != nullptr, expected) << name_of(id) << ", " << codec.name;
      EXPECT_EQ(found.measure != nullptr, expected) << name_of(id) << ", " << codec.name;
    }
  EXPECT_EQ(all_codings().size(), 16u);
}

}  // namespace
}  // namespace skv
