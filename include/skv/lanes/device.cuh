// What kernels ask of the device they run on. nvcc gets intrinsics; other compilers get the SIMT
// executor of the tests, which runs every thread as a fiber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>

#if !defined(__CUDACC__)

#include <simt/device_functions.hpp>

#else

#include <cuda_pipeline.h>

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
SKV_DEVICE std::uint32_t any_bits(std::uint32_t value) {
  return __reduce_or_sync(kAllLanes, value);
}
SKV_DEVICE std::uint32_t shuffle(std::uint32_t value, std::uint32_t from_lane) {
  return __shfl_sync(kAllLanes, value, static_cast<int>(from_lane));
}
SKV_DEVICE void sync_warp() { __syncwarp(); }
SKV_DEVICE void sync_block() { __syncthreads(); }

/// sums += a * b, of 16 x 32 by 32 x 8 int8, exactly (modulo 2^32): one warp. With g = lane / 4 and
/// t = lane % 4, a lane has in a[i] the four numbers from column 4t + 16 (i / 2) on of row
/// g + 8 (i % 2) of `a`; in b[i] those from row 4t + 16 i on of column g of `b`; and in sums[i] the one
/// in row g + 8 (i / 2), column 2t + i % 2.
SKV_DEVICE void multiply_add(std::int32_t (&sums)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Begins to copy 16 bytes, at multiples of 16, from device memory to shared memory.
SKV_DEVICE void copy_async(std::byte* to, const std::byte* from) {
  __pipeline_memcpy_async(to, from, 16);
}
/// What the thread has begun to copy since the last call becomes a group.
SKV_DEVICE void commit_copies() { __pipeline_commit(); }
/// Waits for all groups of the thread but the last `kLeft`: what they copied is there, for this thread.
template <unsigned kLeft>
SKV_DEVICE void wait_copies() {
  __pipeline_wait_prior(kLeft);
}

/// The dynamic shared memory of the block, aligned to 16 bytes.
SKV_DEVICE std::byte* shared() {
  extern __shared__ uint4 memory[];
  return reinterpret_cast<std::byte*>(memory);
}

/// The same address, of which the compiler then knows that it is one of device memory (or of pinned memory of the
/// host): of a pointer that was itself read it knows nothing, and accesses ask each time.
template <class T>
SKV_DEVICE T* global(T* address) {
  __builtin_assume(__isGlobal(address));
  return address;
}

/// The same, but the compiler keeps it rather than computing it anew where it is used.
template <class T>
SKV_DEVICE T* keep(T* address) {
  asm volatile("" : "+l"(address));
  return global(address);
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
