// Decoders on bytes that no encoder wrote. Everything lies between forbidden pages; a sanitizer
// build sees the rest.
#include <gtest/gtest.h>
#include <skv/tile/encode_tile.hpp>
#include <skv/tile/hash.hpp>

#include "support/effort.hpp"
#include "support/guarded_codec.hpp"

namespace skv {
namespace {

using namespace test;

struct hostile : testing::TestWithParam<coding_id> {};

const tile_shape kSmallShapes[] = {{13, 40}, {1, 300}, {40, 9}};

/// All decoders agree on the outcome, and on the numbers where there are some.
decoded decode_everywhere(const tile_case& c, const guarded_case& g, const encoded& e,
                          flush side = flush::right) {
  const auto& codecs = codecs_that_run_here();
  const decoded first = decode(codecs[0].find(c.id), c, g, e, side);
  for (std::size_t i = 1; i < codecs.size(); ++i) {
    const decoded d = decode(codecs[i].find(c.id), c, g, e, side);
    EXPECT_EQ(d.outcome, first.outcome)
        << codecs[i].name << ": " << to_string(d.outcome) << ", not " << to_string(first.outcome);
    EXPECT_TRUE(d.numbers == first.numbers) << codecs[i].name;
  }
  return first;
}

std::vector<std::byte> random_bytes(std::size_t size, random_source& random) {
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random.bits());
  return bytes;
}

struct prepared {
  tile_case c;
  guarded_case g;
  encoded e;

  prepared(coding_id id, tile_shape shape, data_kind data = data_kind::gaussian)
      : c(make_case(id, shape, data, table_kind::fitted)),
        g(c),
        e(encode(codecs_that_run_here()[0].find(id), c, g)) {}

  std::uint32_t prediction_hash() const {
    const auto of_rows = [&]<class Pattern>(Pattern) {
      return hash_tile<plain_lanes>(
          c.shape, row_view<const Pattern>{c.means.data(), c.shape.width * sizeof(Pattern)});
    };
    return c.mean().bytes() == 2 ? of_rows(std::uint16_t{}) : of_rows(std::uint8_t{});
  }
};

// The hash of the numbers finds what the coder's own checks do not.
TEST_P(hostile, flipped_bits_of_an_image_are_detected) {
  const prepared p(GetParam(), kSmallShapes[0]);
  ASSERT_EQ(p.e.record.mode(), tile_mode::coded);
  const std::size_t bits = 8 * p.e.bytes.size();
  for (std::size_t bit = 0; bit < bits; bit += kSlowBuild ? 61 : 7) {
    encoded e = p.e;
    e.bytes[bit / 8] ^= std::byte{1} << bit % 8;
    const decoded d = decode_everywhere(p.c, p.g, e, bit % 2 ? flush::left : flush::right);
    // The prediction is the right one: no reason to blame it.
    ASSERT_EQ(d.outcome, status::corrupt) << "bit " << bit << ": " << to_string(d.outcome);
  }
}

// What an encoder writes as zero and no decoder needs.
TEST_P(hostile, zeros_that_are_not_are_corrupt) {
  const bool given = GetParam().source == mean_source::given;
  for (const data_kind data : {data_kind::gaussian, data_kind::random_patterns,
                               data_kind::all_equal, data_kind::as_predicted}) {
    const prepared p(GetParam(), {13, 41}, data);  // three bytes pad a plane
    const tile_mode mode = p.e.record.mode();
    EXPECT_EQ(decode_everywhere(p.c, p.g, p.e).outcome, status::ok);
    encoded e = p.e;
    if (mode != tile_mode::coded) {
      e.record.packed |= 1u << 24;
      EXPECT_EQ(decode_everywhere(p.c, p.g, e).outcome, status::corrupt) << "tail steps";
      e = p.e;
    }
    if (!given || mode == tile_mode::raw || mode == tile_mode::constant) {
      ASSERT_EQ(e.record.prediction_hash, 0u);
      e.record.prediction_hash = 1;
      EXPECT_EQ(decode_everywhere(p.c, p.g, e).outcome, status::corrupt) << "prediction hash";
      e = p.e;
    }
    if (GetParam().source == mean_source::none && mode == tile_mode::coded &&
        p.c.target().bytes() == 2)
      for (std::size_t at = kStateBytes + p.c.shape.elements(); at % 4 != 0; ++at) {
        e.bytes[at] = std::byte{0x80};
        EXPECT_EQ(decode_everywhere(p.c, p.g, e).outcome, status::corrupt) << "padding";
        e = p.e;
      }
  }
}

TEST_P(hostile, flipped_bits_of_raw_and_constant_tiles_are_detected) {
  for (const data_kind data : {data_kind::random_patterns, data_kind::all_equal}) {
    const prepared p(GetParam(), kSmallShapes[0], data);
    ASSERT_NE(p.e.record.mode(), tile_mode::coded);
    for (std::size_t bit = 0; bit < 8 * p.e.bytes.size(); bit += kSlowBuild ? 61 : 7) {
      encoded e = p.e;
      e.bytes[bit / 8] ^= std::byte{1} << bit % 8;
      ASSERT_EQ(decode_everywhere(p.c, p.g, e).outcome, status::corrupt) << "bit " << bit;
    }
  }
}

TEST_P(hostile, images_of_another_length_are_corrupt) {
  const prepared p(GetParam(), kSmallShapes[0]);
  random_source random(1);
  for (std::size_t length = 0; length < p.e.bytes.size() + 40;
       length += kSlowBuild && length > 2 * kStateBytes ? 23 : 1) {
    if (length == p.e.bytes.size()) continue;
    encoded e = p.e;
    const auto more = random_bytes(40, random);
    e.bytes.insert(e.bytes.end(), more.begin(), more.end());
    e.bytes.resize(length);
    e.record.packed = tile_record::pack(tile_mode::coded, length, p.e.record.tail_steps());
    const decoded d = decode_everywhere(p.c, p.g, e, length % 2 ? flush::left : flush::right);
    ASSERT_EQ(d.outcome, status::corrupt) << length << " bytes: " << to_string(d.outcome);
  }
}

TEST_P(hostile, any_bytes_decode_to_a_status) {
  random_source random(2);
  for (const tile_shape shape : kSmallShapes) {
    const prepared p(GetParam(), shape);
    for (int round = 0; round < (kSlowBuild ? 40 : 400); ++round) {
      encoded e = p.e;
      e.bytes =
          random_bytes(random.below(static_cast<std::uint32_t>(p.c.numbers.size()) + 200), random);
      // Mostly valid states, and mostly an even number of words, to come as far as possible.
      for (std::size_t lane = 0; lane < kLanes && 4 * lane + 3 < e.bytes.size(); ++lane)
        if (random.chance(0.98)) e.bytes[4 * lane + 2] |= std::byte{1};
      e.record.packed = tile_record::pack(tile_mode::coded, e.bytes.size(),
                                          random.chance(0.5) ? 0 : random.below(64));
      const decoded d = decode_everywhere(p.c, p.g, e, round % 2 ? flush::left : flush::right);
      ASSERT_EQ(d.outcome, status::corrupt) << to_string(d.outcome);
    }
  }
}

TEST_P(hostile, records_and_bytes_that_do_not_match_are_a_status) {
  random_source random(3);
  for (const tile_shape shape : kSmallShapes)
    for (const data_kind data : {data_kind::gaussian, data_kind::random_patterns,
                                 data_kind::all_equal, data_kind::as_predicted}) {
      const prepared p(GetParam(), shape, data);
      for (int round = 0; round < (kSlowBuild ? 20 : 200); ++round) {
        encoded e = p.e;
        switch (random.below(5)) {
          case 0: e.record.packed ^= 1u << random.below(32); break;
          case 1: e.record.packed = random.edgy() & 0xff003fff; break;
          case 2: e.record.packed = (e.record.packed & 0x3fffffff) | random.below(4) << 30; break;
          case 3: e.record.data_hash ^= 1u << random.below(32); break;
          default: e.record.prediction_hash ^= 1u << random.below(32); break;
        }
        if (random.chance(0.5)) {
          const auto more = random_bytes(e.record.bytes() & 0x3fff, random);
          if (e.bytes.size() < more.size())
            e.bytes.insert(e.bytes.end(),
                           more.begin() + static_cast<std::ptrdiff_t>(e.bytes.size()), more.end());
        }
        const decoded d = decode_everywhere(p.c, p.g, e, round % 2 ? flush::left : flush::right);
        if (d.outcome == status::ok) {
          ASSERT_TRUE(d.numbers == p.c.numbers);
        }
        if (d.outcome == status::wrong_prediction) {
          ASSERT_EQ(p.c.id.source, mean_source::given) << "there is none";
          ASSERT_NE(e.record.prediction_hash, p.prediction_hash()) << "it is the right one";
        }
      }
    }
}

// An image of two steps whose tokens are all escapes: the words are the numbers.
template <number_format Format>
struct image_of_escapes {
  using pattern = pattern_of<Format>;
  using coding = residual_coding<Format, Format>;
  static constexpr std::size_t kNumbers = 2 * kLanes;

  tile_case c = make_case({Format.id, mean_source::given, Format.id}, {2, kLanes},
                          data_kind::gaussian, table_kind::single);
  encoded e{{}, std::vector<std::byte>(kStateBytes + 2 * kNumbers)};
  encoded_tile<plain_lanes> made{{}, word_writer{nullptr, nullptr}};

  image_of_escapes() {
    std::fill(c.numbers.begin() + kLanes * sizeof(pattern), c.numbers.end(), std::byte{0});
    c.tables = make_tables<residual_tokens>(coding::kContexts, [](std::uint32_t) {
      return single_token(residual_tokens::kCount, residual_tokens::kEscape);
    });
    std::byte* const image = e.bytes.data();
    made = encode_tile<plain_lanes, coding>(
        c.shape, row_view<const pattern>{c.numbers.data(), c.row_bytes()},
        given_mean{row_view<const pattern>{c.means.data(), c.mean_row_bytes()}},
        scale_codes{c.codes.data()}, c.tables.encode.data(), nullptr,
        word_writer{image + kStateBytes, image + e.bytes.size()});
    for (std::uint32_t lane = 0; lane < kLanes; ++lane)
      plain_lanes::store<std::uint32_t>(image, lane, kLanes, made.states[lane]);
  }
  // Without its last words.
  encoded without(std::size_t missing) const {
    encoded shorter = e;
    shorter.bytes.resize(kStateBytes + 2 * (kNumbers - missing));
    shorter.record = {tile_record::pack(tile_mode::coded, shorter.bytes.size(), made.tail_steps),
                      made.data_hash, made.prediction_hash};
    return shorter;
  }
};

// Where nothing is left, words read as zeros. An image whose last words are zeros decodes to the
// same numbers without them, and is corrupt all the same.
TEST(hostile_image, missing_zeros_are_missed) {
  const image_of_escapes<bf16> image;
  ASSERT_TRUE(!image.made.words.is_overrun());
  ASSERT_EQ(image.made.words.written(), image.e.bytes.data() + kStateBytes);
  const guarded_case g(image.c);
  for (std::size_t missing = 0; missing <= kLanes; ++missing) {
    const decoded d = decode_everywhere(image.c, g, image.without(missing));
    EXPECT_TRUE(d.numbers == image.c.numbers) << missing << " words missing";
    EXPECT_EQ(d.outcome, missing == 0 ? status::ok : status::corrupt)
        << missing << " words missing";
  }
}

// The word of an eight-bit number has eight bits more, which no hash sees.
TEST(hostile_image, escapes_beyond_eight_bits_are_corrupt) {
  const image_of_escapes<e4m3> image;
  const guarded_case g(image.c);
  encoded e = image.without(0);
  EXPECT_EQ(decode_everywhere(image.c, g, e).outcome, status::ok);
  for (const std::size_t word :
       {std::size_t{0}, std::size_t{kLanes} + 3, e.bytes.size() / 2 - 65}) {
    encoded altered = e;
    altered.bytes[kStateBytes + 2 * word + 1] = std::byte{1};
    EXPECT_EQ(decode_everywhere(image.c, g, altered).outcome, status::corrupt) << word;
  }
}

TEST_P(hostile, another_tail_length_is_corrupt) {
  const prepared p(GetParam(), kSmallShapes[0]);
  for (std::uint32_t tail = 0; tail <= kMaxTailSteps; ++tail) {
    if (tail == p.e.record.tail_steps()) continue;
    encoded e = p.e;
    e.record.packed = tile_record::pack(tile_mode::coded, e.bytes.size(), tail);
    ASSERT_EQ(decode_everywhere(p.c, p.g, e).outcome, status::corrupt) << tail;
  }
}

TEST_P(hostile, another_prediction_is_named_as_the_cause) {
  if (GetParam().source != mean_source::given) GTEST_SKIP() << "no prediction from outside";
  random_source random(4);
  for (const data_kind data : {data_kind::gaussian, data_kind::as_predicted}) {
    const prepared p(GetParam(), kSmallShapes[0], data);
    ASSERT_TRUE(p.e.record.mode() == tile_mode::coded ||
                p.e.record.mode() == tile_mode::prediction);
    for (int round = 0; round < 100; ++round) {
      tile_case other = p.c;
      const std::uint32_t bit = random.below(static_cast<std::uint32_t>(8 * other.means.size()));
      other.means[bit / 8] ^= std::byte{1} << bit % 8;
      const decoded d = decode_everywhere(other, guarded_case(other), p.e);
      ASSERT_EQ(d.outcome, status::wrong_prediction) << to_string(d.outcome);
    }
  }
}

// Raw and constant tiles hold all that they need.
TEST_P(hostile, a_prediction_that_is_not_used_may_be_any) {
  for (const data_kind data : {data_kind::random_patterns, data_kind::all_equal}) {
    const prepared p(GetParam(), kSmallShapes[0], data);
    tile_case other = p.c;
    for (auto& b : other.means) b ^= std::byte{0x55};
    const decoded d = decode_everywhere(other, guarded_case(other), p.e);
    EXPECT_EQ(d.outcome, status::ok) << to_string(d.outcome);
    EXPECT_TRUE(d.numbers == p.c.numbers);
  }
}

TEST_P(hostile, other_scale_codes_and_tables_are_detected) {
  const prepared p(GetParam(), kSmallShapes[0]);
  tile_case other = p.c;
  for (auto& code : other.codes) code = static_cast<std::byte>(std::to_integer<unsigned>(code) + 8);
  EXPECT_EQ(decode_everywhere(other, guarded_case(other), p.e).outcome, status::corrupt);
  for (unsigned code = 0; code < 256; ++code) {
    std::fill(other.codes.begin(), other.codes.end(), static_cast<std::byte>(code));
    ASSERT_EQ(decode_everywhere(other, guarded_case(other), p.e).outcome, status::corrupt);
  }
  other = make_case(GetParam(), kSmallShapes[0], data_kind::gaussian, table_kind::equal);
  EXPECT_EQ(decode_everywhere(other, guarded_case(other), p.e).outcome, status::corrupt);
}

INSTANTIATE_TEST_SUITE_P(codings, hostile, testing::ValuesIn(all_codings()),
                         [](const auto& coding) { return name_of(coding.param); });

}  // namespace
}  // namespace skv
