// What the accesses of a kernel ask of the memories of a multiprocessor: not how long they take, but how much there
// is to be done, which addresses alone decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace skv::ptx {

struct traffic {
  struct kind {
    std::uint64_t instructions = 0;
    /// Of shared memory, wavefronts: each has a word of every one of its 32 banks, for 32 lanes with up to 4
    /// bytes each, 16 with 8, or 8 with 16. Of device memory, the sectors of 32 bytes that a warp touches.
    std::uint64_t parts = 0;
  };
  kind shared_loads, shared_stores, device_loads, device_stores;
  std::uint64_t instructions = 0;  ///< all of the kernel

  /// An instruction of a warp: where each of its lanes has `bytes` bytes.
  void note_shared(bool stores, std::span<const std::uint64_t> addresses, std::size_t bytes);
  void note_device(bool stores, std::span<const std::uint64_t> addresses, std::size_t bytes);
};

/// The sum over all launches of a kernel in this process, which at its end is written, for all kernels, to the file
/// that SKV_PTX_TRAFFIC names; null if it names none.
traffic* traffic_of(const std::string& kernel);

}  // namespace skv::ptx
