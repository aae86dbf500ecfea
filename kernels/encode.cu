// The encoding kernels of one format: compiled for each, with SKV_TARGET naming it.
#include "encode.cuh"

#include "entry.cuh"

namespace skv::cuda {

template <>
kernel_entry find_encode_kernel<format_id::SKV_TARGET>(mean_source source, format_id mean,
                                                       head_layout heads) {
  return entry_of<encode_kernel, encode_parameters, format_id::SKV_TARGET, kernel_kind::encode>(
      source, mean, heads);
}

}  // namespace skv::cuda
