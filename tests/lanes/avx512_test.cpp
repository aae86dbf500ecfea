// avx512_lanes, in whatever build. All that needs AVX-512 is in avx512_lanes_test.cpp.
#include <gtest/gtest.h>

#include "support/avx512_lanes.hpp"

namespace skv {
namespace {

TEST(avx512_lanes, equal_scalar_lanes) {
  if (!test::kHaveAvx512Lanes) GTEST_SKIP() << "not with this compiler";
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512vbmi2") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512cd"))
    GTEST_SKIP() << "no AVX-512 here";
#endif
  test::check_avx512_lanes();
}

}  // namespace
}  // namespace skv
