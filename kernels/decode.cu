// The decoding kernels of one format: compiled for each, with SKV_TARGET naming it.
#include "decode.cuh"

#include "entry.cuh"

namespace skv::cuda {

template <>
kernel_entry find_decode_kernel<format_id::SKV_TARGET>(mean_source source, format_id mean,
                                                       head_layout heads) {
  return entry_of<decode_kernel, decode_parameters, format_id::SKV_TARGET, kernel_kind::decode>(
      source, mean, heads);
}

}  // namespace skv::cuda
