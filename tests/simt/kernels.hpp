// The codec's kernels under the SIMT executor, chosen by run-time ids.
#pragma once

#include <kernels/compact.cuh>
#include <kernels/decode.cuh>
#include <kernels/encode.cuh>

#include "cpu/tile_codec.hpp"
#include "simt/executor.hpp"

namespace skv::simt {

report run_encode(cpu::coding_id id, cuda::head_layout heads, const cuda::encode_parameters& p,
                  launch_shape shape);
report run_decode(cpu::coding_id id, cuda::head_layout heads, const cuda::decode_parameters& p,
                  launch_shape shape);

/// Launches a kernel that has no coding.
template <class Kernel, class Parameters>
report run_kernel(const Parameters& p, launch_shape shape, std::uint32_t round_blocks = 0) {
  shape.shared_bytes = Kernel::shared_bytes(round_blocks, 0);
  return launch(shape, Kernel{p});
}

}  // namespace skv::simt
