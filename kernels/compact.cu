#include "compact.cuh"

#include "entry.cuh"

namespace skv::cuda {

kernel_entry find_compact_kernel() {
  return entry_of<compact_kernel, compact_parameters, kernel_kind::move>();
}

}  // namespace skv::cuda
