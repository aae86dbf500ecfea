// Kernels on the host: made ready once, launched often.
#pragma once

#include <cuda_runtime_api.h>

#include <skv/base/status.hpp>
#include <skv/cuda/codec.hpp>
#include <string>

#include "launch.hpp"
#include "refuse.hpp"
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

/// The kernel that encodes, or decodes.
inline kernel_entry find_coding_kernel(bool encode, format_id target, mean_source source,
                                       format_id mean, head_layout heads) {
  const auto of = [&]<format_id T>() {
    return encode ? find_encode_kernel<T>(source, mean, heads)
                  : find_decode_kernel<T>(source, mean, heads);
  };
  switch (target) {
    case format_id::bf16: return of.template operator()<format_id::bf16>();
    case format_id::fp16: return of.template operator()<format_id::fp16>();
    case format_id::e4m3: return of.template operator()<format_id::e4m3>();
    case format_id::e5m2: return of.template operator()<format_id::e5m2>();
  }
  return {};
}

/// A kernel on one device, in blocks of two sizes: those of which a multiprocessor runs most threads, and the
/// largest ones, which have one for themselves where a call limits them.
class prepared_kernel {
 public:
  prepared_kernel() = default;

  /// A kernel for blocks of a plan, on the current device.
  static result<prepared_kernel> make(const kernel_entry& entry, const block_plan& plan,
                                      const device_properties& device) {
    if (entry.function == nullptr) return fail(status::unsupported, "there is no such coding");
    prepared_kernel k;
    k.function_ = entry.function;
    k.multiprocessors_ = device.multiprocessors;
    cudaFuncAttributes compiled{};
    cudaError_t e = cudaFuncGetAttributes(&compiled, k.function_);
    if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
    const std::size_t most = device.max_shared_bytes - compiled.sharedSizeBytes;
    // The limit is the function's, and others launch it with other plans: never less than all.
    e = cudaFuncSetAttribute(k.function_, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(most));
    if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
    for (std::uint32_t threads = entry.on.threads;; threads += entry.on.threads) {
      block_size s{threads, 0,
                   entry.shared_bytes(round_blocks_of(plan, threads / kLanes), plan.tiles)};
      int blocks = 0;
      if (s.shared_bytes <= most)
        e = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
            &blocks, k.function_, static_cast<int>(threads), s.shared_bytes);
      if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
      s.per_multiprocessor = static_cast<std::uint32_t>(blocks);
      if (s.resident_threads() > k.many_.resident_threads()) k.many_ = s;
      if (blocks != 0) k.alone_ = s;
      if (threads >= entry.on.most_threads) break;
    }
    if (k.many_.per_multiprocessor != 0) return k;
    const std::size_t needed = entry.shared_bytes(round_blocks_of(plan, 1), plan.tiles);
    return fail(status::unsupported, needed > most
                                         ? "a block needs " + std::to_string(needed) +
                                               " bytes of shared memory: make tiles larger"
                                         : std::string("a kernel does not fit this device"));
  }

  bool is_ready() const { return function_ != nullptr; }
  std::uint32_t multiprocessors() const { return multiprocessors_; }
  /// As many blocks as run at once on the multiprocessors that may be used.
  schedule grid_of(launch_limits limits) const {
    const bool is_limited =
        limits.multiprocessors != 0 && limits.multiprocessors < multiprocessors_;
    const block_size& of = is_limited ? alone_ : many_;
    schedule s;
    s.threads = of.threads;
    s.shared_bytes = of.shared_bytes;
    s.grid_blocks = is_limited ? limits.multiprocessors : multiprocessors_ * of.per_multiprocessor;
    return s;
  }
  schedule schedule_of(const block_plan& plan, std::uint32_t items, launch_limits limits,
                       bool staged) const {
    const schedule most = grid_of(limits);
    schedule s = make_schedule(plan, items, most.threads / kLanes, most.grid_blocks, staged);
    s.shared_bytes = most.shared_bytes;
    return s;
  }

  template <class Parameters>
  result<done> launch(const schedule& s, Parameters& p, void* stream) const {
    void* arguments[] = {&p};
    const cudaError_t e =
        cudaLaunchKernel(function_, dim3(s.grid_blocks), dim3(s.threads), arguments, s.shared_bytes,
                         static_cast<cudaStream_t>(stream));
    if (e != cudaSuccess) return device_error(e, "a kernel was not launched");
    return done{};
  }

 private:
  struct block_size {
    std::uint32_t threads = 0, per_multiprocessor = 0;
    std::size_t shared_bytes = 0;

    std::uint32_t resident_threads() const { return threads * per_multiprocessor; }
  };
  const void* function_ = nullptr;
  std::uint32_t multiprocessors_ = 0;
  block_size many_, alone_;
};

/// The plan of a launch: that of a geometry, for a batch's layers.
inline result<block_plan> plan_of(const block_plan& geometry, const block_batch& batch) {
  const auto range = layers_of(batch, geometry.layers);
  if (!range) return range.failure();
  if (std::uint64_t{batch.items} * geometry.layers > 0x7fffffff)
    return bad("a batch has at most 2^31 - 1 blocks in all layers of its geometry");
  block_plan plan = geometry;
  plan.layers = range->end - range->first;
  return plan;
}

inline result<done> check_room(const workspace& room, std::size_t needed) {
  if (room.bytes < needed)
    return bad("the workspace has " + std::to_string(room.bytes) + " bytes, but " +
               std::to_string(needed) + " are needed");
  if (room.data == nullptr || reinterpret_cast<std::uintptr_t>(room.data) % 256 != 0)
    return bad("the workspace must be device memory at a multiple of 256");
  return done{};
}

/// A tensor that has blocks, of numbers of so many bytes, which begin at multiples of that.
inline result<done> check_place(const tensor_place& t, std::int64_t number_bytes,
                                const char* what) {
  const block_places& b = t.blocks;
  if (!b.are_given()) return bad(std::string(what) + ": no blocks are given");
  const auto is_aligned = [number_bytes](std::int64_t a) { return a % number_bytes == 0; };
  if (!b.are_aligned(number_bytes) || !is_aligned(t.offset_bytes) ||
      !is_aligned(t.token_stride_bytes) || !is_aligned(t.head_stride_bytes))
    return bad(std::string(what) + ": numbers must be aligned to their " +
               std::to_string(number_bytes) + " bytes");
  return done{};
}

/// Slots that may be written.
inline result<done> check_slots(const block_places& slots) {
  if (!slots.are_given() || !slots.are_aligned(kTileAlign))
    return bad("slots must exist and begin at multiples of 4");
  return done{};
}

/// Compressed blocks that may be read.
inline result<done> check_stored(const stored_places& in) {
  if (in.sizes == nullptr || in.statuses == nullptr ||
      (in.packed != nullptr && in.offsets == nullptr))
    return bad("sizes, statuses and, for packed blocks, offsets must be given");
  if (in.packed == nullptr && !in.slots.are_given()) return bad("there are no slots");
  return done{};
}

}  // namespace skv::cuda
