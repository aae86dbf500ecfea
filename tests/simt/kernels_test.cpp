// The kernels, under random schedules: their bytes are the CPU codec's, and every number comes back.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

class kernels : public testing::TestWithParam<coding_id> {};
INSTANTIATE_TEST_SUITE_P(codings, kernels, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(kernels, write_the_cpu_codecs_bytes_and_restore_every_bit) {
  std::uint64_t seed = 1;
  for (const page_layout layout : kPageLayouts)
    for (const output how : kOutputs) {
      if (how == output::in_place && layout == page_layout::two_planes) continue;
      SCOPED_TRACE("layout " + std::to_string(static_cast<int>(layout)) + ", " + to_string(how));
      ++seed;
      device_scene d(make_scene(GetParam(), small_geometry(), 3, seed), layout,
                     kPageLayouts[seed % 4], seed);
      expect_round_trip(d, how, d.ample_room(how), {seed});
      if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace skv::simt
