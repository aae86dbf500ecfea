// How blocks of a batch are shared among the blocks of a grid, which stay until all is done: in
// rounds, drawn in order from a counter, so that a round's predecessors are done or being worked on.
#pragma once

#include <skv/lanes/device.cuh>

#include "parameters.hpp"

namespace skv::cuda {

/// The next round: the same in all threads of the block. `ticket` is shared memory.
SKV_DEVICE std::uint32_t next_round(round_counter* counter, std::uint32_t* ticket) {
  device::sync_block();
  if (device::thread() == 0)
    *ticket = device::atomic_add(reinterpret_cast<std::uint32_t*>(&counter->next), 1u);
  device::sync_block();
  return *ticket;
}

// Decoupled look-back (D. Merrill and M. Garland, "Single-pass Parallel Prefix Scan with Decoupled
// Look-back", NVIDIA 2016). A round's descriptor says nothing yet, its own sum, or the sum of all
// rounds up to it.
namespace look_back {

inline constexpr std::uint64_t kNothing = 0, kOwn = 1, kUpTo = 2;

SKV_DEVICE std::uint64_t sum(std::uint64_t a) {  // of values below 2^58
  const auto low = static_cast<std::uint32_t>(a & 0x3ffffff);
  const auto high = static_cast<std::uint32_t>(a >> 26);
  return device::sum(low) + (std::uint64_t{device::sum(high)} << 26);
}

/// The sum of all rounds before `round`; one warp. `own` is this round's.
SKV_DEVICE std::uint64_t exclusive_sum(std::uint64_t* descriptors, std::uint32_t round,
                                       std::uint64_t own) {
  if (device::lane() == 0 && round != 0)
    device::store_release(descriptors + round, own << 2 | kOwn);
  std::uint64_t before = 0;
  std::int64_t nearest = std::int64_t{round} - 1;
  bool found = round == 0;
  while (!found) {
    const std::int64_t at = nearest - device::lane();
    const std::uint64_t d = at < 0 ? kUpTo : device::load_acquire(descriptors + at);
    if (device::any((d & 3) == kNothing)) continue;
    const std::uint32_t complete = device::ballot((d & 3) == kUpTo);
    const std::uint32_t up_to = complete & (~complete + 1);  // the nearest lane that knows all
    const bool counts = complete == 0 || (1u << device::lane()) <= up_to;
    before += sum(counts ? d >> 2 : 0);
    nearest -= 32;
    found = complete != 0;
  }
  if (device::lane() == 0) device::store_release(descriptors + round, (before + own) << 2 | kUpTo);
  return before;
}

}  // namespace look_back
}  // namespace skv::cuda
