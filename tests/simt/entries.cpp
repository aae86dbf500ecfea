// The kernels of the stand-in for the CUDA runtime: what the files of kernels/*.cu are for a device.
#include <kernels/compact.cuh>
#include <kernels/decode.cuh>
#include <kernels/encode.cuh>
#include <kernels/linear.cuh>
#include <kernels/pool.cuh>

#include "simt/entry.hpp"

namespace skv::cuda {

using simt::entry_of;

template <format_id Target>
kernel_entry find_encode_kernel(mean_source source, format_id mean, head_layout heads) {
  return entry_of<encode_kernel, encode_parameters, Target, true>(source, mean, heads);
}
template <format_id Target>
kernel_entry find_decode_kernel(mean_source source, format_id mean, head_layout heads) {
  return entry_of<decode_kernel, decode_parameters, Target, false>(source, mean, heads);
}
template kernel_entry find_encode_kernel<format_id::bf16>(mean_source, format_id, head_layout);
template kernel_entry find_decode_kernel<format_id::bf16>(mean_source, format_id, head_layout);
template kernel_entry find_encode_kernel<format_id::fp16>(mean_source, format_id, head_layout);
template kernel_entry find_decode_kernel<format_id::fp16>(mean_source, format_id, head_layout);
template kernel_entry find_encode_kernel<format_id::e4m3>(mean_source, format_id, head_layout);
template kernel_entry find_decode_kernel<format_id::e4m3>(mean_source, format_id, head_layout);
template kernel_entry find_encode_kernel<format_id::e5m2>(mean_source, format_id, head_layout);
template kernel_entry find_decode_kernel<format_id::e5m2>(mean_source, format_id, head_layout);

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

kernel_entry find_compact_kernel() {
  return entry_of<compact_kernel, compact_parameters, kernel_kind::move>();
}
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
