#include "ptx/traffic.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace skv::ptx {
namespace {

std::vector<std::uint64_t> places(std::uint64_t count, std::uint64_t stride) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < count; ++i) all.push_back(4096 + i * stride);
  return all;
}
std::uint64_t wavefronts(std::uint64_t count, std::uint64_t stride, std::size_t bytes) {
  traffic t;
  t.note_shared(false, places(count, stride), bytes);
  EXPECT_EQ(t.shared_loads.instructions, 1u);
  return t.shared_loads.parts;
}
std::uint64_t sectors(std::uint64_t count, std::uint64_t stride, std::size_t bytes) {
  traffic t;
  t.note_device(true, places(count, stride), bytes);
  return t.device_stores.parts;
}

TEST(ptx_traffic, a_wavefront_has_one_word_of_every_bank) {
  EXPECT_EQ(wavefronts(32, 4, 4), 1u);
  EXPECT_EQ(wavefronts(32, 0, 4), 1u);  // all the same word
  EXPECT_EQ(wavefronts(32, 2, 2), 1u);
  EXPECT_EQ(wavefronts(32, 8, 4), 2u);
  EXPECT_EQ(wavefronts(32, 128, 4), 32u);
  EXPECT_EQ(wavefronts(32, 132, 4), 1u);
  EXPECT_EQ(wavefronts(32, 8, 8), 2u);
  EXPECT_EQ(wavefronts(32, 16, 16), 4u);
  EXPECT_EQ(wavefronts(3, 128, 4), 3u);
}

TEST(ptx_traffic, a_sector_has_32_bytes) {
  EXPECT_EQ(sectors(32, 2, 2), 2u);
  EXPECT_EQ(sectors(32, 8, 8), 8u);
  EXPECT_EQ(sectors(32, 32, 2), 32u);
  EXPECT_EQ(sectors(32, 0, 4), 1u);
}

}  // namespace
}  // namespace skv::ptx
