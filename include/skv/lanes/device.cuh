// What kernels ask of the device they run on. nvcc gets intrinsics; other compilers get the SIMT
// executor of the tests, which runs every thread as a fiber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>

#if !defined(__CUDACC__)

#include <simt/device_functions.hpp>

#else

#include <cuda/atomic>

namespace skv::device {

inline constexpr std::uint32_t kAllLanes = 0xffffffff;

SKV_DEVICE std::uint32_t lane() { return threadIdx.x % 32; }
// From a shuffle, so that the compiler knows it to be one for the whole warp: branches on it keep the
// warp together, and the collectives behind them need no code for a warp that is not.
SKV_DEVICE std::uint32_t warp() { return __shfl_sync(0xffffffff, threadIdx.x / 32, 0); }
SKV_DEVICE std::uint32_t thread() { return threadIdx.x; }
SKV_DEVICE std::uint32_t threads() { return blockDim.x; }
SKV_DEVICE std::uint32_t block() { return blockIdx.x; }
SKV_DEVICE std::uint32_t blocks() { return gridDim.x; }

// Collectives: all 32 lanes of a warp, or all threads of a block, take part.
SKV_DEVICE std::uint32_t ballot(bool vote) { return __ballot_sync(kAllLanes, vote); }
SKV_DEVICE bool any(bool vote) { return __any_sync(kAllLanes, vote); }
SKV_DEVICE std::uint32_t sum(std::uint32_t value) { return __reduce_add_sync(kAllLanes, value); }
SKV_DEVICE std::uint32_t shuffle(std::uint32_t value, std::uint32_t from_lane) {
  return __shfl_sync(kAllLanes, value, static_cast<int>(from_lane));
}
SKV_DEVICE void sync_warp() { __syncwarp(); }
SKV_DEVICE void sync_block() { __syncthreads(); }

/// The dynamic shared memory of the block, aligned to 16 bytes.
SKV_DEVICE std::byte* shared() {
  extern __shared__ uint4 memory[];
  return reinterpret_cast<std::byte*>(memory);
}

// Atomics on device memory, relaxed unless they say otherwise; they return the old value.
template <class T>
using atomic = ::cuda::atomic_ref<T, ::cuda::thread_scope_device>;

template <class T>
SKV_DEVICE T atomic_add(T* at, T value) {
  return atomic<T>(*at).fetch_add(value, ::cuda::memory_order_relaxed);
}
template <class T>
SKV_DEVICE T atomic_max(T* at, T value) {
  return atomic<T>(*at).fetch_max(value, ::cuda::memory_order_relaxed);
}
template <class T>
SKV_DEVICE T atomic_compare_exchange(T* at, T expected, T desired) {
  atomic<T>(*at).compare_exchange_strong(expected, desired, ::cuda::memory_order_relaxed);
  return expected;
}
SKV_DEVICE std::uint64_t load_acquire(const std::uint64_t* at) {
  return atomic<std::uint64_t>(*const_cast<std::uint64_t*>(at)).load(::cuda::memory_order_acquire);
}
SKV_DEVICE void store_release(std::uint64_t* at, std::uint64_t value) {
  atomic<std::uint64_t>(*at).store(value, ::cuda::memory_order_release);
}

}  // namespace skv::device

#endif
