// What an instruction sees of the warp that runs it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ptx/kernel.hpp"
#include "ptx/memory.hpp"
#include "ptx/traffic.hpp"
#include "simt/launch.hpp"
#include "support/random.hpp"

namespace skv::ptx {

inline constexpr std::uint32_t kWarpLanes = simt::kWarpThreads;
inline constexpr std::uint32_t kAllLanes = ~0u;

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

  /// Where `bytes` bytes at an address are on the host. Faults if they are not there, not aligned, or loaded
  /// before they were stored.
  std::byte* reach(memory_space space, std::uint64_t address, std::size_t bytes, access is) {
    if (address % bytes != 0)
      throw fault(outcome::overrun, "a misaligned address: " + std::to_string(address) + " for " +
                                        std::to_string(bytes) + " bytes");
    if (space == memory_space::shared) return in_shared(address & 0xffffffff, bytes, is);
    if (is_shared(space, address)) return in_shared(address - shared_begin(), bytes, is);
    if (!range_.holds(address, bytes)) find_range(address, bytes);
    range_.note(address, bytes, is);
    return reinterpret_cast<std::byte*>(address);
  }
  /// Where an instruction accesses `bytes` bytes in a lane. Faults as reach() does.
  std::byte* place(const instruction& i, std::uint32_t lane, std::size_t bytes, access is) {
    const std::uint64_t at = address(i, lane);
    return i.space == memory_space::local ? local(lane, at, bytes, is)
                                          : reach(i.space, at, bytes, is);
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
  /// In the lane's own memory.
  std::byte* local(std::uint32_t lane, std::uint64_t at, std::size_t bytes, access is);
  std::byte* in_shared(std::uint64_t address, std::size_t bytes, access is);
  void find_range(std::uint64_t address, std::size_t bytes);

  const kernel* code_;
  const memory_map* memory_;
  shared_memory* shared_;
  const std::byte* parameters_;
  std::uint32_t index_;       ///< in its block
  memory_range range_{0, 0};  ///< the last one accessed
  values* registers_;
  traffic* traffic_;                         ///< null: nobody counts
  std::vector<std::byte> local_;             ///< of one lane after the other
  std::vector<std::uint8_t> local_written_;  ///< of memory_range, of local_
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
