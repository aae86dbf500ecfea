// avx512_lanes, in whatever build. All that needs AVX-512 is in avx512_lanes.cpp.
#include <gtest/gtest.h>

#include "support/avx512_lanes.hpp"

namespace skv {
namespace {

TEST(avx512_lanes, equal_scalar_lanes) {
#if defined(SKV_HAVE_X86_ISAS)
  ASSERT_TRUE(test::kHaveAvx512Lanes) << "compiled without the flags";
  if (!__builtin_cpu_supports("avx512vbmi2") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512cd"))
    GTEST_SKIP() << "no AVX-512 here";
  test::check_avx512_lanes();
#else
  GTEST_SKIP() << "not built for it";
#endif
}

}  // namespace
}  // namespace skv
