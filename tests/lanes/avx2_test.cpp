// The AVX2 form of simd_lanes, in whatever build. All that needs AVX2 is in avx2_lanes.cpp.
#include <gtest/gtest.h>

#include "support/avx2_lanes.hpp"

namespace skv {
namespace {

TEST(avx2_lanes, equal_scalar_lanes) {
#if defined(SKV_HAVE_X86_ISAS)
  ASSERT_TRUE(test::kHaveAvx2Lanes) << "compiled without the flags";
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
    GTEST_SKIP() << "no AVX2 here";
  test::check_avx2_lanes();
#else
  GTEST_SKIP() << "not built for it";
#endif
}

}  // namespace
}  // namespace skv
