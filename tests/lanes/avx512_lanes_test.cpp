// This whole file is compiled for AVX-512, templates included: they are only instantiated at its
// end. So it holds no test, which would be registered on machines without AVX-512, too.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vbmi,avx512vbmi2")
#define SKV_TEST_AVX512_LANES
#endif

#include "support/avx512_lanes.hpp"

#if defined(SKV_TEST_AVX512_LANES)
#include <skv/lanes/avx512.hpp>

#include "support/lanes_equal_scalar.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv::test {

struct avx512_flags;

const bool kHaveAvx512Lanes = true;
void check_avx512_lanes() {
  lanes_equal_scalar<avx512_lanes<avx512_flags>>::everything();
  words_equal_scalar<avx512_lanes<avx512_flags>>::everything();
}

}  // namespace skv::test

#else

const bool skv::test::kHaveAvx512Lanes = false;
void skv::test::check_avx512_lanes() {}

#endif
