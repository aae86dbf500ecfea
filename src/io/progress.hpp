// A line on stderr that says how far long work has come.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace skv::io {

/// Shown only if stderr is a terminal and the work takes longer than half a second, and wiped out
/// by the destructor.
class progress {
 public:
  /// `what` says what is done in a few words: "compressing".
  progress(std::string_view what, std::uint64_t total_bytes);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress();

  /// So many bytes more are done. Any thread, at any rate: it waits for nobody.
  void add(std::uint64_t bytes);

 private:
  using clock = std::chrono::steady_clock;

  const std::string what_;
  const std::uint64_t total_bytes_;
  const bool shown_;
  const clock::time_point start_;
  std::atomic<std::uint64_t> done_bytes_ = 0;
  std::atomic<clock::rep> next_print_;

  std::mutex printing_;
  std::size_t printed_width_ = 0;
};

/// The line, at most 79 bytes: " 42%   3.21 GB/s  compressing".
std::string progress_line(std::string_view what, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, double seconds);

}  // namespace skv::io
