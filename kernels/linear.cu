#include "linear.cuh"

#include "entry.cuh"

namespace skv::cuda {
namespace {

#if defined(__CUDA_ARCH__)
constexpr linear_policy kTuned = linear_policy_of(__CUDA_ARCH__ / 10);
#else
constexpr linear_policy kTuned = linear_policy_of(0);
#endif
static_assert(kTuned.product.threads == product_tile::kThreads);

}  // namespace

kernel_entry find_hide_kernel() { return entry_of<hide_kernel, hide_parameters, kTuned.product>(); }

kernel_entry find_take_kernel() { return entry_of<take_kernel, take_parameters, kTuned.update>(); }

kernel_entry find_predict_kernel(format_id mean) {
  kernel_entry entry;
  with_formats(mean, mean, [&]<number_format, number_format M>() {
    entry = entry_of<predict_kernel<M>, predict_parameters, kTuned.product>();
  });
  return entry;
}

kernel_entry find_update_kernel(format_id target, format_id mean) {
  kernel_entry entry;
  with_formats(target, mean, [&]<number_format T, number_format M>() {
    entry = entry_of<update_kernel<T, M>, update_parameters, kTuned.update>();
  });
  return entry;
}

}  // namespace skv::cuda
