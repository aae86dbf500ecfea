// The AVX2 form of simd_lanes, in whatever build. All that needs AVX2 is in avx2_lanes_test.cpp.
#include <gtest/gtest.h>

#include "support/avx2_lanes.hpp"

namespace skv {
namespace {

TEST(avx2_lanes, equal_scalar_lanes) {
  if (!test::kHaveAvx2Lanes) GTEST_SKIP() << "not with this compiler";
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
    GTEST_SKIP() << "no AVX2 here";
#endif
  test::check_avx2_lanes();
}

}  // namespace
}  // namespace skv
