#include "simt/executor.hpp"

#include <gtest/gtest.h>

#include "simt/device_functions.hpp"

namespace skv::simt {
namespace {

using namespace device;

struct collectives_kernel {
  std::uint32_t* out;
  void operator()() const {
    const std::uint32_t at = (block() * threads() + thread()) * 6, i = lane() + warp();
    out[at] = ballot(i % 3 == 0);
    out[at + 1] = any(i == 33);
    out[at + 2] = sum(0x80000000u + i);
    out[at + 3] = shuffle(100 * warp() + lane(), lane() + 5);
    sync_warp();
    out[at + 4] = shuffle(lane(), 7);
    sync_block();
    out[at + 5] = block() * blocks();
  }
};

TEST(executor, collectives) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    buffer<std::uint32_t> out("out", 3 * 96 * 6);
    const report r = launch({3, 96, 0, seed}, collectives_kernel{out.data()});
    ASSERT_TRUE(r) << r.message;
    for (std::uint32_t i = 0; i < 3 * 96; ++i) {
      const std::uint32_t warp = i / 32 % 3, lane = i % 32, *o = out.data() + i * 6;
      std::uint32_t votes = 0;
      for (std::uint32_t l = 0; l < 32; ++l) votes |= std::uint32_t{(l + warp) % 3 == 0} << l;
      ASSERT_EQ(o[0], votes);
      ASSERT_EQ(o[1], warp == 2 ? 1u : 0u);
      ASSERT_EQ(o[2], 496 + 32 * warp);
      ASSERT_EQ(o[3], 100 * warp + (lane + 5) % 32);
      ASSERT_EQ(o[4], 7u);
      ASSERT_EQ(o[5], i / 96 * 3);
    }
  }
}

}  // namespace
}  // namespace skv::simt
