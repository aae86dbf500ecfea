// Compiled for AVX2, where there is such a thing, the standard library's templates included. So it holds no test, which
// would be registered on machines without AVX2, too.
#include "support/avx2_lanes.hpp"

#if defined(__AVX2__)
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
