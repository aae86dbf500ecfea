// The codec's kernels under the SIMT executor, chosen by run-time ids.
#pragma once

#include <kernels/decode.cuh>
#include <kernels/encode.cuh>

#include "cpu/tile_codec.hpp"
#include "simt/executor.hpp"

namespace skv::simt {

report run_encode(cpu::coding_id id, bool one_row, const cuda::encode_parameters& p,
                  launch_shape shape);
report run_decode(cpu::coding_id id, bool one_row, const cuda::decode_parameters& p,
                  launch_shape shape);

}  // namespace skv::simt
