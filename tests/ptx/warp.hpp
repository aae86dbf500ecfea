// What an instruction sees of the warp that runs it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "ptx/kernel.hpp"
#include "ptx/traffic.hpp"
#include "simt/buffer.hpp"
#include "simt/launch.hpp"
#include "support/random.hpp"

namespace skv::ptx {

using simt::outcome;

inline constexpr std::uint32_t kWarpLanes = simt::kWarpThreads;
inline constexpr std::uint32_t kAllLanes = ~0u;

/// Ends a launch.
struct fault : std::runtime_error {
  fault(outcome is, const std::string& message) : std::runtime_error(message), what_is(is) {}
  outcome what_is;
};

/// Device memory that may be accessed: where it begins and ends.
struct memory_range {
  std::uintptr_t begin, end;
};
/// Do `bytes` bytes at `at` lie in `size` bytes?
constexpr bool is_within(std::uint64_t at, std::uint64_t bytes, std::uint64_t size) {
  return bytes <= size && at <= size - bytes;
}
/// In the order of their places.
using memory_map = std::vector<memory_range>;

/// Shared memory, and who was there since the block's threads last met: another warp may not read what
/// one has written, nor write what one has read or written.
class shared_memory {
 public:
  shared_memory(std::size_t bytes, std::uint64_t seed);

  std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  void next_epoch() { ++epoch_; }
  void note_read(std::size_t at, std::size_t bytes, std::uint32_t warp);
  void note_write(std::size_t at, std::size_t bytes, std::uint32_t warp);

 private:
  static constexpr std::uint32_t kMany = 63;
  struct access {
    std::uint32_t epoch : 26 = 0, warp : 6 = 0;
  };
  simt::fenced_bytes bytes_;
  std::uint32_t epoch_ = 1;
  std::vector<access> writes_, reads_;  ///< of each byte the last one
};

/// A copy to shared memory that was begun, and is made when it must.
struct pending_copy {
  static constexpr std::size_t kBytes = 16;
  std::uint32_t lane;
  std::uint64_t to, from, group;
};

class warp {
 public:
  /// A value for each lane, with the bits of its register and zeros above.
  using values = std::array<std::uint64_t, kWarpLanes>;

  /// `registers`: room for those of the kernel, with anything in them.
  warp(const kernel& code, const memory_map& memory, shared_memory& shared,
       const std::byte* parameters, std::uint32_t index, values* registers, traffic* counted);

  values& operator[](std::uint32_t r) { return registers_[r]; }
  /// That of an instruction whose first source is one.
  std::uint64_t address(const instruction& i, std::uint32_t lane) const {
    return registers_[i.from[0]][lane] + static_cast<std::uint64_t>(i.offset);
  }

  /// Where `bytes` bytes at an address are on the host. Faults if they are not there, or not aligned.
  std::byte* reach(memory_space space, std::uint64_t address, std::size_t bytes, bool writes) {
    if (address % bytes != 0)
      throw fault(outcome::overrun, "a misaligned address: " + std::to_string(address) + " for " +
                                        std::to_string(bytes) + " bytes");
    if (space == memory_space::shared) return in_shared(address & 0xffffffff, bytes, writes);
    if (is_shared(space, address)) return in_shared(address - shared_begin(), bytes, writes);
    if (!is_within(address - range_.begin, bytes, range_.end - range_.begin))
      find_range(address, bytes);
    return reinterpret_cast<std::byte*>(address);
  }
  /// For what an instruction accesses in these lanes, before it does; does nothing if nobody counts.
  void count(const instruction& i, std::uint32_t lanes, std::size_t bytes, bool stores) {
    if (traffic_ != nullptr) count_traffic(i, lanes, bytes, stores);
  }
  const std::byte* parameter(std::uint64_t at, std::size_t bytes) const;

  void begin_copy(std::uint32_t lane, std::uint64_t to, std::uint64_t from);
  void commit_copies(std::uint32_t lanes);
  void wait_copies(std::uint32_t lanes, std::uint64_t groups_left);

 private:
  std::uint64_t shared_begin() const { return reinterpret_cast<std::uint64_t>(shared_->data()); }
  bool is_shared(memory_space space, std::uint64_t address) const {
    return space == memory_space::shared ||
           (space == memory_space::generic &&
            is_within(address - shared_begin(), 1, shared_->size()));
  }
  void count_traffic(const instruction& i, std::uint32_t lanes, std::size_t bytes, bool stores);
  std::byte* in_shared(std::uint64_t address, std::size_t bytes, bool writes);
  void find_range(std::uint64_t address, std::size_t bytes);

  const kernel* code_;
  const memory_map* memory_;
  shared_memory* shared_;
  const std::byte* parameters_;
  std::uint32_t index_;       ///< in its block
  memory_range range_{0, 0};  ///< the last one accessed
  values* registers_;
  traffic* traffic_;  ///< null: nobody counts
  std::vector<pending_copy> copies_;
  test::random_source random_;  ///< which copies are made at once
  std::array<std::uint64_t, kWarpLanes> copy_groups_{};
};

/// Calls f(lane) for each of the lanes.
template <class F>
void each(std::uint32_t lanes, F&& f) {
  if (lanes == kAllLanes) {
    for (std::uint32_t l = 0; l < kWarpLanes; ++l) f(l);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) f(static_cast<std::uint32_t>(std::countr_zero(lanes)));
  }
}

}  // namespace skv::ptx
