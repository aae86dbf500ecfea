#include "linear.cuh"

#include "entry.cuh"

namespace skv::cuda {
static_assert(policy_of(kernel_kind::product, 0).threads == product_tile::kThreads);

kernel_entry find_hide_kernel() {
  return entry_of<hide_kernel, hide_parameters, kernel_kind::product>();
}

kernel_entry find_take_kernel() {
  return entry_of<take_kernel, take_parameters, kernel_kind::update>();
}

kernel_entry find_predict_kernel(format_id mean) {
  kernel_entry entry;
  with_formats(mean, mean, [&]<number_format, number_format M>() {
    entry = entry_of<predict_kernel<M>, predict_parameters, kernel_kind::product>();
  });
  return entry;
}

kernel_entry find_update_kernel(format_id target, format_id mean) {
  kernel_entry entry;
  with_formats(target, mean, [&]<number_format T, number_format M>() {
    entry = entry_of<update_kernel<T, M>, update_parameters, kernel_kind::update>();
  });
  return entry;
}

}  // namespace skv::cuda
