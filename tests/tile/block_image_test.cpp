#include <gtest/gtest.h>
#include <skv/tile/block_image.hpp>

namespace skv {
namespace {

TEST(tile_record, fields_do_not_touch) {
  for (const tile_mode mode :
       {tile_mode::raw, tile_mode::coded, tile_mode::prediction, tile_mode::constant})
    for (const std::uint32_t bytes : {0u, 1u, 0x555555u, 0xffffffu})
      for (const std::uint32_t tail : {0u, 1u, 42u, 63u}) {
        const tile_record r{tile_record::pack(mode, bytes, tail), 1, 2};
        EXPECT_EQ(r.mode(), mode);
        EXPECT_EQ(r.bytes(), bytes);
        EXPECT_EQ(r.tail_steps(), tail);
      }
}

TEST(tile_record, the_largest_tile_fits) {
  EXPECT_LT(std::size_t{kMaxTileElements} * 2, std::size_t{1} << 24);
  EXPECT_LE(kMaxTailSteps, 63u);
}

TEST(tile_record, modes_are_frozen) {
  EXPECT_EQ(static_cast<int>(tile_mode::raw), 0);
  EXPECT_EQ(static_cast<int>(tile_mode::coded), 1);
  EXPECT_EQ(static_cast<int>(tile_mode::prediction), 2);
  EXPECT_EQ(static_cast<int>(tile_mode::constant), 3);
}

TEST(block_image, the_plane_is_padded_to_four) {
  EXPECT_EQ(plane_bytes(true, {1, 1}), 4u);
  EXPECT_EQ(plane_bytes(true, {1, 4}), 4u);
  EXPECT_EQ(plane_bytes(true, {1, 5}), 8u);
  EXPECT_EQ(plane_bytes(true, {1u << 11, 1u << 11}), std::size_t{1} << 22);
  EXPECT_EQ(plane_bytes(false, {1, 5}), 0u);
}

TEST(block_image, a_step_never_spans_tokens) {
  EXPECT_EQ(steps_per_token(1), 1u);
  EXPECT_EQ(steps_per_token(32), 1u);
  EXPECT_EQ(steps_per_token(33), 2u);
  EXPECT_EQ(steps_per_token(576), 18u);
}

}  // namespace
}  // namespace skv
