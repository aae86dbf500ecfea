#include <gtest/gtest.h>
#include <skv/number/format.hpp>

namespace skv {
namespace {

TEST(number_format, sizes_follow_from_the_fields) {
  EXPECT_EQ(bf16.bits(), 16u);
  EXPECT_EQ(fp16.bits(), 16u);
  EXPECT_EQ(e4m3.bits(), 8u);
  EXPECT_EQ(e5m2.bits(), 8u);
  EXPECT_EQ(bf16.bytes(), 2u);
  EXPECT_EQ(e4m3.bytes(), 1u);
  static_assert(sizeof(pattern_of<bf16>) == 2 && sizeof(pattern_of<fp16>) == 2);
  static_assert(sizeof(pattern_of<e4m3>) == 1 && sizeof(pattern_of<e5m2>) == 1);
}

TEST(number_format, constants_are_those_of_the_published_formats) {
  EXPECT_EQ(bf16.bias(), 127u);
  EXPECT_EQ(fp16.bias(), 15u);
  EXPECT_EQ(e4m3.bias(), 7u);
  EXPECT_EQ(e5m2.bias(), 15u);
  EXPECT_EQ(bf16.magnitude_mask(), 0x7fffu);
  EXPECT_EQ(e5m2.magnitude_mask(), 0x7fu);
  EXPECT_EQ(bf16.max_exponent(), 255u);
  EXPECT_EQ(fp16.max_exponent(), 31u);
  EXPECT_EQ(e4m3.max_exponent(), 15u);
  EXPECT_EQ(e5m2.max_exponent(), 31u);
}

TEST(number_format, ids_are_frozen) {
  EXPECT_EQ(find_format(1), bf16);
  EXPECT_EQ(find_format(2), fp16);
  EXPECT_EQ(find_format(3), e4m3);
  EXPECT_EQ(find_format(4), e5m2);
}

TEST(number_format, every_other_id_is_of_no_format) {
  EXPECT_FALSE(find_format(0));
  for (unsigned id = 5; id < 256; ++id) EXPECT_FALSE(find_format(static_cast<std::uint8_t>(id)));
}

TEST(number_format, names) {
  EXPECT_EQ(to_string(format_id::bf16), "bf16");
  EXPECT_EQ(to_string(format_id::fp16), "fp16");
  EXPECT_EQ(to_string(format_id::e4m3), "e4m3");
  EXPECT_EQ(to_string(format_id::e5m2), "e5m2");
  EXPECT_EQ(to_string(static_cast<format_id>(0)), "unknown format");
}

}  // namespace
}  // namespace skv
