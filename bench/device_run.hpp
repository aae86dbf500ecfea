// What all benchmarks of the device share.
#pragma once

#include "device_pages.hpp"

namespace skv::bench {

inline constexpr int kRepetitions = 5;
inline constexpr std::uint32_t kRequestPages = 4096 / kPageTokens;

struct bench_device {
  explicit bench_device(std::size_t bytes) : arena(bytes) {}

  device_arena arena;
  std::size_t cache_bytes = 0;
  // Bytes a second, counted once.
  double copy_rate = 0, copy_to_host_rate = 0;
  bool all_came_back = true;
};

/// The time between events on both sides of what is enqueued.
template <class F>
float milliseconds_of(cudaStream_t stream, F&& enqueue) {
  cudaEvent_t begin{}, end{};
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  check(cudaEventRecord(begin, stream));
  enqueue();
  check(cudaEventRecord(end, stream));
  check(cudaEventSynchronize(end));
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end));
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return milliseconds;
}

}  // namespace skv::bench
