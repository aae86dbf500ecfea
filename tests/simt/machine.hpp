// The state of a running kernel, and the scheduler that picks who runs next.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "simt/buffer.hpp"
#include "simt/fiber.hpp"
#include "simt/launch.hpp"
#include "support/random.hpp"

namespace skv::simt {

/// Two memory mappings each; Linux allows a process 65,530.
inline constexpr std::uint64_t kMaxThreads = 24576;

/// What a thread takes part in; none: it runs.
enum class meeting : std::uint8_t {
  none,
  ballot,
  any,
  any_bits,
  sum,
  shuffle,
  multiply_add,
  sync_warp,
  sync_block
};

/// Where the kernel's text calls a device function. (clang 14 has no std::source_location.)
struct call_site {
  const char* file = "";
  std::uint32_t line = 0;

  static constexpr call_site current(const char* file = __builtin_FILE(),
                                     std::uint32_t line = __builtin_LINE()) {
    return {file, line};
  }
  bool operator==(const call_site& other) const {
    return line == other.line && std::string_view(file) == other.file;
  }
};

class machine;

/// What a lane brings to a product of matrices, and gets.
struct matrix_operands {
  std::uint32_t a[4], b[2];
  std::int32_t sums[4];
};

/// A copy to shared memory that was begun.
struct pending_copy {
  static constexpr std::size_t kBytes = 16;
  std::byte* to;
  const std::byte* from;
  std::uint64_t group;
};

struct warp_state {
  std::uint32_t values[kWarpThreads];   ///< what the lanes bring, then what they get
  std::uint32_t sources[kWarpThreads];  ///< of a shuffle
  matrix_operands matrices[kWarpThreads];
  std::uint32_t runnable = 0;  ///< one bit a lane
  std::uint32_t waiting = 0;
  std::uint32_t ended = 0;
  std::uint32_t place = 0;  ///< in the list of runnable warps
  meeting what = meeting::none;
  call_site site;  ///< of the lane that came first
};

struct block_state {
  std::unique_ptr<fenced_bytes> shared;
  std::uint32_t waiting = 0, ended = 0;  ///< threads at sync_block, threads that are done
};

struct thread_state {
  machine* host = nullptr;
  warp_state* in_warp = nullptr;
  block_state* in_block = nullptr;
  std::uint32_t block = 0, thread = 0;
  /// How often it found the same word while nobody did anything else.
  std::uint32_t polls = 0;
  std::uint64_t polls_epoch = 0;
  const void* polled = nullptr;
  std::vector<pending_copy> copies;
  std::uint64_t copy_groups = 0;
  call_site site;  ///< of its last scheduling point
  fiber runner;
};

/// The thread that runs. Fibers stay on the system thread of their launch().
inline constinit thread_local thread_state* current = nullptr;

class machine {
 public:
  machine(const launch_shape& shape, void (*body)(const void*), const void* kernel);
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  report run();

  const launch_shape& shape() const { return shape_; }

  /// A scheduling point; `counts`: the thread did something that others may wait for.
  void yield(thread_state& t, const call_site& site, bool counts = true) {
    t.site = site;
    if (counts) ++epoch_, spinning_ = 0;
    t.runner.pause();
  }
  /// A scheduling point of a thread that reads what others may write.
  void poll(thread_state& t, const call_site& site, const void* at);
  /// Waits for the other threads of the warp, or of the block. Values, and the results, are the warp's.
  void meet(thread_state& t, meeting what, const call_site& site);

 private:
  /// When all that can run have polled one word each so often, with no other deed between, nothing
  /// will ever change. (A kernel that gives up after so many polls would be wronged.)
  static constexpr std::uint32_t kPolls = 1000;
  static constexpr std::uint32_t kLogBurst = 13;

  enum class scope : std::uint8_t { all, block, warp };

  std::uint32_t warps_per_block() const { return shape_.threads_per_block / kWarpThreads; }
  thread_state& pick();
  void finish(thread_state& t);
  void make_runnable(warp_state& warp, std::uint32_t lanes);
  void stop_running(warp_state& warp, std::uint32_t lanes);
  void complete(warp_state& warp);
  void fail(outcome what, std::string message);
  std::string standstill() const;
  void check_memory();

  launch_shape shape_;
  test::random_source random_;
  report report_;
  std::vector<block_state> blocks_;
  std::vector<warp_state> warps_;
  std::unique_ptr<thread_state[]> threads_;
  std::vector<warp_state*> runnable_;  // warps with a runnable lane
  std::size_t runnable_threads_ = 0, live_ = 0;
  std::uint64_t epoch_ = 1;   // how often something but polling happened
  std::size_t spinning_ = 0;  // threads that polled kPolls times in this epoch
  scope scope_ = scope::all;  // a burst: only warps of focus_ are picked
  std::uint32_t focus_ = 0, burst_ = 0;
};

}  // namespace skv::simt
