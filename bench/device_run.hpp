// What all benchmarks of the device share.
#pragma once

#include <algorithm>

#include "device_pages.hpp"

namespace skv::bench {

/// Pages of a request of 4,096 tokens, or of `mib` MiB in one layer if that is less.
inline std::uint32_t request_pages(std::size_t mib) {
  constexpr std::size_t kPageBytes = std::size_t{2} * 2 * kPageTokens * kPageChannels;
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(4096 / kPageTokens, (mib << 20) / kPageBytes));
}
/// How often to do what is done `most` times with gigabytes: `mib` times if that is less, for then
/// times mean nothing.
inline int iterations(std::size_t mib, int most) {
  return static_cast<int>(std::min<std::size_t>(mib, static_cast<std::size_t>(most)));
}
/// Of a benchmark; at least two, which have a median.
inline int repetitions(std::size_t mib) {
  return static_cast<int>(std::clamp<std::size_t>(mib, 2, 5));
}

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
