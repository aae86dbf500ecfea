// Weights in fewer bits, against values worked out by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <skv/number/value.hpp>

#include "engine/bf16.hpp"
#include "engine/cache_format.hpp"
#include "engine/quantised.hpp"

namespace engine {
namespace {

float value_of(unsigned code) { return static_cast<float>(skv::to_double(skv::e4m3, code)); }

bf16_matrix matrix_of(std::uint32_t outputs, std::uint32_t inputs,
                      const std::function<float(std::uint32_t, std::uint32_t)>& weight) {
  std::vector<std::uint16_t> w;
  for (std::uint32_t o = 0; o < outputs; ++o)
    for (std::uint32_t i = 0; i < inputs; ++i) w.push_back(to_bf16(weight(o, i)));
  return {outputs, inputs, w};
}

float at(const matrix& w, std::uint32_t output, std::uint32_t input) {
  float row[kPanel];
  w.expand(output / kPanel, input, 1, row);
  return row[output % kPanel];
}

TEST(e4m3, every_number_is_its_own_nearest) {
  for (unsigned code = 0; code < 256; ++code) {
    if ((code & 0x7f) == 0x7f) continue;
    EXPECT_EQ(to_e4m3(value_of(code)), code);
  }
  EXPECT_EQ(value_of(0x01), 0x1p-9F);
  EXPECT_EQ(value_of(0x08), 0x1p-6F);
  EXPECT_EQ(value_of(0x38), 1.0F);
  EXPECT_EQ(value_of(0x7e), 448.0F);
}

TEST(e4m3, halfway_is_rounded_to_even) {
  for (unsigned code = 0; code < 0x7e; ++code) {
    const float middle = (value_of(code) + value_of(code + 1)) / 2;
    const unsigned even = code % 2 == 0 ? code : code + 1;
    EXPECT_EQ(to_e4m3(middle), even) << code;
    EXPECT_EQ(to_e4m3(-middle), even | 0x80) << code;
    EXPECT_EQ(to_e4m3(std::nextafter(middle, 0.0F)), code);
    EXPECT_EQ(to_e4m3(std::nextafter(middle, 1000.0F)), code + 1);
  }
}

TEST(e4m3, what_is_too_large_becomes_the_largest) {
  EXPECT_EQ(to_e4m3(448.0F), 0x7e);
  EXPECT_EQ(to_e4m3(-1e30F), 0xfe);
  EXPECT_EQ(to_e4m3(INFINITY), 0x7e);
  EXPECT_EQ(to_e4m3(NAN) & 0x7f, 0x7f);
  EXPECT_EQ(to_e4m3(-0.0F), 0x80);
  EXPECT_EQ(to_e4m3(1e-30F), 0x00);
}

TEST(quantised, fp8_has_a_scale_for_every_block_of_128_by_128) {
  // Block (0, 0) reaches 448, block (1, 1), of 3 x 5, reaches 0.875; the others are zero.
  const auto w = matrix_of(131, 133, [](std::uint32_t o, std::uint32_t i) {
    if (o < 128 && i < 128) return o == 7 && i == 9 ? -448.0F : o == 1 && i == 2 ? 17.0F : 0.0F;
    if (o >= 128 && i >= 128) return o == 130 && i == 132 ? 0.875F : 0.25F;
    return 0.0F;
  });
  const quantised_matrix q(w, weight_format::fp8);
  ASSERT_EQ(q.scales().size(), 4u);
  EXPECT_EQ(q.scales()[0], 1.0F);
  EXPECT_EQ(q.scales()[1], 0.0F);
  EXPECT_EQ(q.scales()[3], 0x1p-9F);
  EXPECT_EQ(at(q, 7, 9), -448.0F);
  EXPECT_EQ(at(q, 1, 2), 16.0F) << "17 is halfway between 16 and 18: to even";
  EXPECT_EQ(at(q, 0, 0), 0.0F);
  EXPECT_EQ(at(q, 130, 132), 0.875F);
  EXPECT_EQ(at(q, 128, 128), 0.25F);
  EXPECT_EQ(at(q, 130, 0), 0.0F);
}

TEST(quantised, int8_has_a_scale_for_every_output) {
  const auto w = matrix_of(18, 5, [](std::uint32_t o, std::uint32_t i) {
    return o == 17 ? 0.0F
                   : (o == 3 ? 127.0F : 254.0F) / static_cast<float>(1 << i) * (i == 1 ? -1 : 1);
  });
  const quantised_matrix q(w, weight_format::int8);
  // Of 127, -63.5, 31.75, 15.875, 7.9375 in steps of 1; of twice that in steps of 2.
  const float nearest[] = {127, -64, 32, 16, 8};
  for (std::uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(at(q, 3, i), nearest[i]);
    EXPECT_EQ(at(q, 16, i), rounded(2 * nearest[i]));
    EXPECT_EQ(at(q, 17, i), 0.0F);
  }
}

TEST(quantised, int4_has_a_scale_for_every_32_inputs) {
  const auto w = matrix_of(5, 40, [](std::uint32_t o, std::uint32_t i) {
    const float unit = i < 32 ? 1.0F : 0.125F;
    return unit * (i % 32 == 0   ? 7.0F
                   : i % 32 == 1 ? -3.5F
                   : i % 32 == 2 ? 2.5F
                   : i % 32 == 3 ? -7.0F
                                 : static_cast<float>(o) / 4);
  });
  const quantised_matrix q(w, weight_format::int4);
  EXPECT_EQ(q.bytes(), 16u * 40 / 2 + 4 * 16 * 2);
  for (std::uint32_t o = 0; o < 5; ++o)
    for (const std::uint32_t group : {0u, 32u}) {
      const float unit = group == 0 ? 1.0F : 0.125F;
      EXPECT_EQ(at(q, o, group), 7 * unit);
      EXPECT_EQ(at(q, o, group + 1), -4 * unit) << "-3.5, to even";
      EXPECT_EQ(at(q, o, group + 2), 2 * unit) << "2.5, to even";
      EXPECT_EQ(at(q, o, group + 3), -7 * unit);
      EXPECT_EQ(at(q, o, group + 4), (o >= 3 ? 1 : 0) * unit) << "quarters of a step";
    }
}

TEST(quantised, values_are_rounded_to_bf16) {
  const auto w =
      matrix_of(1, 3, [](std::uint32_t, std::uint32_t i) { return i == 0 ? 1.0F : 0.3F; });
  const quantised_matrix q(w, weight_format::int8);
  EXPECT_EQ(at(q, 0, 1), rounded(38 * (1.0F / 127)));
  EXPECT_EQ(at(q, 0, 0), rounded(127 * (1.0F / 127)));
}

TEST(quantised, parts_of_a_panel_are_those_of_the_whole) {
  const auto w = matrix_of(37, 301, [](std::uint32_t o, std::uint32_t i) {
    return std::sin(static_cast<float>(o * 301 + i));
  });
  for (const auto f : {weight_format::fp8, weight_format::int8, weight_format::int4}) {
    const quantised_matrix q(w, f);
    for (std::uint32_t panel = 0; panel < q.panels(); ++panel) {
      std::vector<float> whole(301 * kPanel), part(301 * kPanel);
      q.expand(panel, 0, 301, whole.data());
      for (const std::uint32_t first : {1u, 31u, 32u, 127u, 128u, 300u}) {
        q.expand(panel, first, 301 - first, part.data());
        EXPECT_TRUE(std::equal(whole.begin() + first * kPanel, whole.end(), part.begin()));
      }
    }
    for (std::uint32_t o = 37; o < 48; ++o)
      EXPECT_EQ(at(q, o, 5), 0.0F) << "beyond the last output";
  }
}

// What a cache tells of the number behind an e4m3 pattern: a value that would be kept as this
// pattern, the nearest to what is expected.
TEST(cache_format, e4m3_tells_between_which_values_a_number_lies) {
  cache_format f{skv::format_id::e4m3, {0.5F, 0.5F}};
  const skv::tensor_id k{0, skv::tensor_kind::k};
  for (unsigned code = 0; code < 256; ++code) {
    const std::byte kept{static_cast<unsigned char>(code)};
    if ((code & 0x7f) == 0x7f) {
      EXPECT_EQ(f.nearest(k, &kept, 3.0F), 3.0F) << "a NaN tells nothing";
      continue;
    }
    for (unsigned other = 0; other < 256; ++other) {
      if ((other & 0x7f) == 0x7f) continue;
      const float expected = value_of(other) * 0.5F;
      const float found = f.nearest(k, &kept, expected);
      if (other == code) {
        EXPECT_EQ(found, expected);
        continue;
      }
      // The edge on the side of what was expected: halfway to the neighbour there, or zero.
      const float own = value_of(code) * 0.5F;
      EXPECT_LE(std::fabs(found - expected), std::fabs(own - expected));
      const unsigned size = code & 0x7f;
      const float up = size == 0x7e ? 1e30F : (value_of(size) + value_of(size + 1)) / 4;
      const float down = size == 0 ? 0.0F : (value_of(size) + value_of(size - 1)) / 4;
      EXPECT_LE(std::fabs(found), up);
      EXPECT_GE(std::fabs(found), down);
    }
  }
}

TEST(cache_format, keeps_fp8_numbers_by_their_scale) {
  cache_format f{skv::format_id::e4m3, {2.0F, 0.25F}};
  const std::uint16_t numbers[] = {to_bf16(3.0F), to_bf16(-0.5F), to_bf16(5000.0F)};
  std::byte out[3];
  f.keep({0, skv::tensor_kind::k}, numbers, out);
  EXPECT_EQ(std::to_integer<unsigned>(out[0]), unsigned{to_e4m3(1.5F)});
  EXPECT_EQ(std::to_integer<unsigned>(out[1]), unsigned{to_e4m3(-0.25F)});
  EXPECT_EQ(std::to_integer<unsigned>(out[2]), 0x7eu);
  f.keep({0, skv::tensor_kind::v}, numbers, out);
  EXPECT_EQ(std::to_integer<unsigned>(out[0]), unsigned{to_e4m3(12.0F)});
  EXPECT_EQ(f.mean({0, skv::tensor_kind::v}, 3.0F), to_bf16(12.0F));
  EXPECT_EQ(f.mean({0, skv::tensor_kind::v}, -NAN), 0x7fc0);
}

}  // namespace
}  // namespace engine
