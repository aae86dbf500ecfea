// Tuning as data: how much of a multiprocessor a kernel takes. No byte depends on it.
#pragma once

#include <cstdint>

namespace skv::cuda {

struct occupancy {
  std::uint32_t threads;       ///< of a block: small ones spread little work more evenly
  std::uint32_t most_threads;  ///< of a block that has a multiprocessor for itself
  std::uint32_t resident;      ///< threads that registers must leave room for on a multiprocessor
};

/// What kernels do that are tuned alike.
enum class kernel_kind {
  encode,
  decode,
  move,  ///< copies compressed blocks
  // Of linear propagation. Two blocks of tiles at a time: one multiplies while the other finishes its sums.
  product,
  update,
};

/// `architecture` is 10 * major + minor. 1,024 threads on a multiprocessor, of which each needs 64 registers,
/// hide what coding waits for; what only copies needs all of them. Only `resident` may differ between
/// architectures: the host launches code that was compiled for any.
constexpr occupancy policy_of(kernel_kind kind, int architecture) {
  const bool is_large = architecture == 80 || (architecture >= 90 && architecture < 110);
  switch (kind) {
    case kernel_kind::encode: return {256, 1024, 1024};
    case kernel_kind::decode: return {512, 1024, 1024};
    case kernel_kind::move: return {256, 512, is_large ? 2048u : 1536u};
    case kernel_kind::product: return {256, 256, 512};
    case kernel_kind::update: return {256, 256, 1024};
  }
  return {};
}

}  // namespace skv::cuda
