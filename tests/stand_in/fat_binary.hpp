// What nvcc leaves of kernels in a program: modules one after the other, for a device or as text, each with a header.
// The layout is not documented; it is as read off what nvcc 12.4 (which compresses text with LZ4) and 13.0 (zstd, or
// LZ4, or not at all) make of a source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace skv::stand_in {

struct fat_header {
  static constexpr std::uint32_t kMagic = 0xba55ed50;
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;  ///< of the modules
};
struct module_header {
  static constexpr std::uint16_t kPtx = 1;
  static constexpr std::uint64_t kIsLz4 = 0x2000, kIsZstd = 0x8000, kIsCompressed = 0xf000;
  std::uint16_t kind, version;
  std::uint32_t header_bytes;
  std::uint64_t bytes;
  std::uint32_t compressed_bytes, unknown[2], architecture, unknown_too[2];
  std::uint64_t flags, also_unknown, text_bytes;  ///< text: of what is compressed
};

/// The first text in a fat binary; empty if there is none, or it is not understood.
std::string ptx_of(std::span<const std::byte> binary);

}  // namespace skv::stand_in
