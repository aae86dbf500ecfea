// Kernels as the host sees them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/number/format.hpp>
#include <skv/predict/mean.hpp>

#include "head_layout.hpp"
#include "tuning.hpp"

namespace skv::cuda {

/// A kernel: its only argument is its parameters, as in parameters.hpp.
struct kernel_entry {
  const void* function = nullptr;  ///< null: there is no such coding
  std::size_t (*shared_bytes)(std::uint32_t round_blocks, std::uint32_t tiles) = nullptr;
  occupancy on{};
};

/// Defined for every format of kFormats, each in an object of its own: kernels take long to compile.
template <format_id Target>
kernel_entry find_encode_kernel(mean_source source, format_id mean, head_layout heads);
template <format_id Target>
kernel_entry find_decode_kernel(mean_source source, format_id mean, head_layout heads);

// Of linear propagation.
kernel_entry find_hide_kernel();
kernel_entry find_predict_kernel(format_id mean);
kernel_entry find_update_kernel(format_id target, format_id mean);
kernel_entry find_take_kernel();

kernel_entry find_compact_kernel();
kernel_entry find_store_kernel();
kernel_entry find_load_kernel();
kernel_entry find_drop_kernel();
kernel_entry find_clear_kernel();

}  // namespace skv::cuda
