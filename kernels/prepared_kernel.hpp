// Kernels on the host: made ready once, launched often.
#pragma once

#include <cuda_runtime_api.h>

#include <skv/base/status.hpp>
#include <skv/cuda/codec.hpp>
#include <string>

#include "launch.hpp"
#include "schedule.hpp"
#include "tuning.hpp"

namespace skv::cuda {

inline error device_error(cudaError_t e, const char* doing) {
  return fail(status::unsupported, std::string(doing) + ": " + cudaGetErrorString(e));
}

/// The device that is current.
struct device_properties {
  std::uint32_t multiprocessors = 0;
  std::size_t max_shared_bytes = 0;  ///< of a block

  static result<device_properties> current() {
    int device = 0, multiprocessors = 0, max_shared = 0;
    cudaError_t e = cudaGetDevice(&device);
    if (e == cudaSuccess)
      e = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    if (e == cudaSuccess)
      e = cudaDeviceGetAttribute(&max_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (e != cudaSuccess) return device_error(e, "there is no device");
    return device_properties{static_cast<std::uint32_t>(multiprocessors),
                             static_cast<std::size_t>(max_shared)};
  }
};

struct prepared_kernel {
  const void* function = nullptr;
  std::uint32_t threads = 0;
  std::uint32_t resident_blocks = 0;  ///< on all multiprocessors
  std::uint32_t multiprocessors = 0;
  std::size_t shared_bytes = 0;

  /// A kernel for blocks of a plan, on the current device.
  static result<prepared_kernel> make(const kernel_entry& entry, std::uint32_t threads,
                                      const block_plan& plan, const device_properties& device) {
    return make(entry, threads, make_schedule(plan, 1, threads / kLanes, 1, false).round_blocks,
                plan.tiles, device);
  }
  static result<prepared_kernel> make(const kernel_entry& entry, std::uint32_t threads,
                                      std::uint32_t round_blocks, std::uint32_t tiles,
                                      const device_properties& device) {
    if (entry.function == nullptr) return fail(status::unsupported, "there is no such coding");
    prepared_kernel k;
    k.function = entry.function;
    k.threads = threads;
    k.multiprocessors = device.multiprocessors;
    k.shared_bytes = entry.shared_bytes(round_blocks, tiles);
    cudaFuncAttributes compiled{};
    cudaError_t e = cudaFuncGetAttributes(&compiled, k.function);
    if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
    const std::size_t most = device.max_shared_bytes - compiled.sharedSizeBytes;
    if (k.shared_bytes > most)
      return fail(status::unsupported, "a block needs " + std::to_string(k.shared_bytes) +
                                           " bytes of shared memory: make tiles larger");
    // The limit is the function's, and others launch it with other plans: never less than all.
    e = cudaFuncSetAttribute(k.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(most));
    int blocks = 0;
    if (e == cudaSuccess)
      e = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, k.function,
                                                        static_cast<int>(threads), k.shared_bytes);
    if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
    if (blocks == 0) return fail(status::unsupported, "a kernel does not fit this device");
    k.resident_blocks = static_cast<std::uint32_t>(blocks) * device.multiprocessors;
    return k;
  }

  /// Blocks that run at once on the multiprocessors that may be used.
  std::uint32_t blocks_within(launch_limits limits) const {
    std::uint32_t used = multiprocessors;
    if (limits.multiprocessors != 0 && limits.multiprocessors < used) used = limits.multiprocessors;
    return resident_blocks / multiprocessors * used;
  }
  schedule schedule_of(const block_plan& plan, std::uint32_t items, launch_limits limits,
                       bool staged) const {
    return make_schedule(plan, items, threads / kLanes, blocks_within(limits), staged);
  }

  template <class Parameters>
  result<done> launch(const schedule& s, Parameters& p, void* stream) const {
    return launch(s.grid_blocks, p, stream);
  }
  template <class Parameters>
  result<done> launch(std::uint32_t grid_blocks, Parameters& p, void* stream) const {
    void* arguments[] = {&p};
    const cudaError_t e = cudaLaunchKernel(function, dim3(grid_blocks), dim3(threads), arguments,
                                           shared_bytes, static_cast<cudaStream_t>(stream));
    if (e != cudaSuccess) return device_error(e, "a kernel was not launched");
    return done{};
  }
};

/// The plan of a launch: that of a geometry, for a batch's layers.
inline result<block_plan> plan_of(const block_plan& geometry, const block_batch& batch) {
  const auto range = layers_of(batch, geometry.layers);
  if (!range) return range.failure();
  if (std::uint64_t{batch.items} * geometry.layers > 0x7fffffff)
    return fail(status::invalid_argument, "a batch has at most 2^31 - 1 blocks");
  block_plan plan = geometry;
  plan.layers = range->end - range->first;
  return plan;
}

inline result<done> check_room(const workspace& room, std::size_t needed) {
  if (room.bytes < needed)
    return fail(status::invalid_argument, "the workspace has " + std::to_string(room.bytes) +
                                              " bytes, but " + std::to_string(needed) +
                                              " are needed");
  if (room.data == nullptr || reinterpret_cast<std::uintptr_t>(room.data) % 256 != 0)
    return fail(status::invalid_argument,
                "the workspace must be device memory at a multiple of 256");
  return done{};
}

/// Blocks that exist; and do they, and tensors within them, begin at multiples of numbers?
inline result<done> check_blocks(const block_places& b, const char* what) {
  if (b.base == nullptr && b.pointers_dev == nullptr)
    return fail(status::invalid_argument,
                std::string(what) + ": there is neither a base nor pointers");
  return done{};
}
inline bool are_aligned(const block_places& b, std::int64_t number_bytes) {
  return reinterpret_cast<std::uintptr_t>(b.base) % static_cast<std::uintptr_t>(number_bytes) ==
             0 &&
         b.layer_stride_bytes % number_bytes == 0 && b.block_stride_bytes % number_bytes == 0;
}
inline bool is_aligned(const tensor_place& t, std::int64_t number_bytes) {
  return t.offset_bytes % number_bytes == 0 && t.token_stride_bytes % number_bytes == 0 &&
         t.head_stride_bytes % number_bytes == 0;
}
inline error misaligned(const char* what, std::int64_t number_bytes) {
  return fail(status::invalid_argument, std::string(what) + ": numbers must be aligned to their " +
                                            std::to_string(number_bytes) + " bytes");
}

/// Slots that may be written.
inline result<done> check_slots(const block_places& slots) {
  if (slots.pointers_dev == nullptr &&
      (slots.base == nullptr || reinterpret_cast<std::uintptr_t>(slots.base) % kTileAlign != 0 ||
       slots.layer_stride_bytes % kTileAlign != 0 || slots.block_stride_bytes % kTileAlign != 0))
    return fail(status::invalid_argument, "slots must exist and begin at multiples of 4");
  return done{};
}

/// Compressed blocks that may be read.
inline result<done> check_stored(const stored_places& in) {
  if (in.sizes == nullptr || in.statuses == nullptr ||
      (in.packed != nullptr && in.offsets == nullptr))
    return fail(status::invalid_argument,
                "sizes, statuses and, for packed blocks, offsets must be given");
  if (in.packed == nullptr && in.slots.base == nullptr && in.slots.pointers_dev == nullptr)
    return fail(status::invalid_argument, "there are no slots");
  return done{};
}

}  // namespace skv::cuda
