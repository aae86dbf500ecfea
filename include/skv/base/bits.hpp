// The bits of one integer, on the host and in a kernel.
#pragma once

#include <bit>
#include <cstdint>
#include <skv/base/config.hpp>

namespace skv {

SKV_HOST_DEVICE inline std::uint32_t count_ones(std::uint32_t a) {
#if defined(__CUDA_ARCH__)
  return static_cast<std::uint32_t>(__popc(static_cast<int>(a)));
#else
  return static_cast<std::uint32_t>(std::popcount(a));
#endif
}

/// Of 0: all ones.
SKV_HOST_DEVICE inline std::uint32_t floor_log2(std::uint32_t a) {
#if defined(__CUDA_ARCH__)
  std::uint32_t log;
  asm("bfind.u32 %0, %1;" : "=r"(log) : "r"(a));
  return log;
#else
  return static_cast<std::uint32_t>(std::bit_width(a)) - 1;
#endif
}

}  // namespace skv
