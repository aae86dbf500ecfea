#include "pool.cuh"

#include "entry.cuh"

namespace skv::cuda {

kernel_entry find_store_kernel() {
  return entry_of<store_kernel, store_parameters, kernel_kind::move>();
}
kernel_entry find_load_kernel() {
  return entry_of<load_kernel, load_parameters, kernel_kind::move>();
}
kernel_entry find_drop_kernel() {
  return entry_of<drop_kernel, drop_parameters, kernel_kind::move>();
}
kernel_entry find_clear_kernel() {
  return entry_of<clear_kernel, clear_parameters, kernel_kind::move>();
}

}  // namespace skv::cuda
