#include "pool.cuh"

#include "entry.cuh"

namespace skv::cuda {

kernel_entry find_store_kernel() {
  return entry_of<store_kernel, store_parameters, &policy::move>();
}
kernel_entry find_load_kernel() { return entry_of<load_kernel, load_parameters, &policy::move>(); }
kernel_entry find_drop_kernel() { return entry_of<drop_kernel, drop_parameters, &policy::move>(); }
kernel_entry find_clear_kernel() {
  return entry_of<clear_kernel, clear_parameters, &policy::move>();
}

}  // namespace skv::cuda
