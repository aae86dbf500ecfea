// This whole file is compiled for AVX2, templates included: they are only instantiated at its end.
// So it holds no test, which would be registered on machines without AVX2, too.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#if !defined(__AVX2__)  // before GCC 13 the pragma does not define it: the preprocessor runs ahead
#define __AVX2__ 1
#endif
#define SKV_TEST_AVX2_LANES
#endif

#include "support/avx2_lanes.hpp"

#if defined(SKV_TEST_AVX2_LANES)
#include <skv/lanes/simd.hpp>

#include "support/lanes_equal_scalar.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv::test {

struct avx2_flags;

const bool kHaveAvx2Lanes = true;
void check_avx2_lanes() {
  lanes_equal_scalar<simd_lanes<avx2_flags>>::everything();
  words_equal_scalar<simd_lanes<avx2_flags>>::everything();
}

}  // namespace skv::test

#else

const bool skv::test::kHaveAvx2Lanes = false;
void skv::test::check_avx2_lanes() {}

#endif
