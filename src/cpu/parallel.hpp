// A loop on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace skv::cpu {

/// 0 means one per processor.
inline unsigned thread_count(unsigned wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

/// Calls f(i) for i in [0, count), on up to `threads` threads, this one among them. The first
/// exception is thrown again here, when all threads have stopped.
template <class F>
void parallel_for(std::size_t count, unsigned threads, const F& f) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  const auto work = [&] {
    try {
      for (std::size_t i; (i = next++) < count;) f(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(failing);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t t = 1; t < threads && t < count; ++t) others.emplace_back(work);
    } catch (const std::system_error&) {
      // No more threads to be had: those that there are do it all.
    }
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace skv::cpu
