// A launch, and what became of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace skv::simt {

inline constexpr std::uint32_t kWarpThreads = 32;
inline constexpr std::uint32_t kMaxBlockThreads = 1024;

struct launch_shape {
  std::uint32_t blocks = 1;
  std::uint32_t threads_per_block = kWarpThreads;
  std::size_t shared_bytes = 0;
  std::uint64_t seed = 0;  ///< of the schedule and of shared memory's garbage
  std::uint64_t step_limit = std::uint64_t{1} << 27;  ///< beyond it is a livelock
};

/// Why no kernel can be launched so, or nothing.
inline std::string refusal_of(const launch_shape& s) {
  const bool is_fine = s.blocks != 0 && s.threads_per_block != 0 &&
                       s.threads_per_block % kWarpThreads == 0 &&
                       s.threads_per_block <= kMaxBlockThreads;
  return is_fine ? "" : "a block has 32 to 1024 threads, whole warps of them";
}

enum class outcome { ok, bad_launch, divergence, deadlock, livelock, overrun, race, unwritten };

struct [[nodiscard]] report {
  outcome what = outcome::ok;
  std::string message;
  std::uint64_t steps = 0;  ///< how often a thread was picked; of PTX, instructions of warps

  explicit operator bool() const { return what == outcome::ok; }
};

}  // namespace skv::simt
