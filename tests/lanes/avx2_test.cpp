// The AVX2 form of simd_lanes, in whatever build: only what follows the pragma is compiled for
// AVX2, and it only runs where there is AVX2.
#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/guarded.hpp"
#include "support/random.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#if !defined(__AVX2__)  // before GCC 13 the pragma does not define it: the preprocessor runs ahead
#define __AVX2__ 1
#endif
#include <skv/lanes/simd.hpp>

#include "support/lanes_equal_scalar.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv {
namespace {

struct avx2_flags;
void check_everything() {
  test::lanes_equal_scalar<simd_lanes<avx2_flags>>::everything();
  test::words_equal_scalar<simd_lanes<avx2_flags>>::everything();
}

}  // namespace
}  // namespace skv
#pragma GCC pop_options

TEST(avx2_lanes, equal_scalar_lanes) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2"))
    GTEST_SKIP() << "no AVX2 here";
  skv::check_everything();
}
#endif
