// Compiled for AVX-512, where there is such a thing, the standard library's templates included. So it holds no test,
// which would be registered on machines without AVX-512, too.
#include "support/avx512_lanes.hpp"

#if defined(__AVX512F__)
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
