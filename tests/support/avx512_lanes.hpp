// The checks of lanes that are compiled for AVX-512 (lanes/avx512_lanes.cpp).
#pragma once

namespace skv::test {

extern const bool kHaveAvx512Lanes;
void check_avx512_lanes();

}  // namespace skv::test
