// Tuning as data: how much of a multiprocessor a kernel takes. No byte depends on it.
#pragma once

#include <cstdint>

namespace skv::cuda {

/// Threads per block, and how many blocks registers must leave room for on a multiprocessor.
struct occupancy {
  std::uint32_t threads, blocks;
};

struct policy {
  occupancy encode, decode;
  occupancy encode_apart;  ///< without means, where heads lie apart: it takes more registers
  occupancy move;          ///< of kernels that copy compressed blocks
};

/// `architecture` is 10 * major + minor. Decoding shares a table of 48 or 96 KiB per block, so its
/// blocks are large; what only copies needs as many threads as a multiprocessor runs, which is 1,536
/// or more. All is the same everywhere: code for 80 also runs on 86 and 89.
constexpr policy policy_of(int /*architecture*/) {
  return {{256, 4}, {512, 2}, {256, 3}, {256, 6}};
}

/// Of linear propagation. Two blocks of tiles at a time: one multiplies while the other finishes its sums.
struct linear_policy {
  occupancy product, update;
};
constexpr linear_policy linear_policy_of(int /*architecture*/) { return {{256, 2}, {256, 4}}; }

}  // namespace skv::cuda
