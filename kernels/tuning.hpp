// Tuning as data: how much of a multiprocessor a kernel takes. No byte depends on it.
#pragma once

#include <cstdint>

namespace skv::cuda {

/// Threads per block, and blocks per multiprocessor that registers must allow.
struct occupancy {
  std::uint32_t threads, blocks;
};

struct policy {
  occupancy encode, decode;
};

/// `architecture` is 10 * major + minor. Decoding shares a table of 48 or 96 KiB per block, so its
/// blocks are large; where shared memory is small one block of them must do.
constexpr policy policy_of(int architecture) {
  const bool small_shared_memory =
      architecture == 86 || architecture == 89 || architecture == 120;  // 100 KiB
  return small_shared_memory ? policy{{256, 4}, {768, 1}} : policy{{256, 4}, {512, 2}};
}

}  // namespace skv::cuda
