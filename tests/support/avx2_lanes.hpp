// The checks of lanes that are compiled for AVX2 (lanes/avx2_lanes.cpp).
#pragma once

namespace skv::test {

extern const bool kHaveAvx2Lanes;
void check_avx2_lanes();

}  // namespace skv::test
