// Whole .skv files in memory: packed, unpacked, and altered with their checksum made right again.
#pragma once

#include <skv/cpu/archive.hpp>
#include <skv/format/byte_io.hpp>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "support/random.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace skv::test {

using byte_string = std::vector<std::byte>;

/// The .skv file of a source whose streams `c` names.
inline result<byte_string> pack(container& c, const cpu::codec& coder,
                                std::span<const std::byte> source, const cpu::mean_lookup& means,
                                unsigned threads = 1, const cpu::outside_rows* outside = nullptr) {
  byte_string tiles;
  const auto sink = [&](std::span<const std::byte> bytes) -> result<done> {
    append(tiles, bytes);
    return done{};
  };
  const auto written = cpu::write_archive(c, coder, source, means, sink, {threads, {}}, outside);
  if (!written) return written.failure();
  byte_string file = front_matter(c);
  append(file, tiles);
  return file;
}

/// The source again.
inline result<byte_string> unpack(std::span<const std::byte> file, const cpu::codec& coder,
                                  const cpu::mean_lookup& means, unsigned threads = 1,
                                  const cpu::outside_rows* outside = nullptr) {
  const auto c = parse_container(file);
  if (!c) return c.failure();
  byte_string source(c->source_bytes());
  const auto sink = [&](std::uint64_t at, std::span<const std::byte> bytes) -> result<done> {
    if (at > source.size() || bytes.size() > source.size() - at)
      return fail(status::io_error, "written outside of the source");
    if (!bytes.empty()) std::memcpy(source.data() + at, bytes.data(), bytes.size());
    return done{};
  };
  const auto read = cpu::read_archive(*c, coder, file, means, sink, {threads, {}}, outside);
  if (!read) return read.failure();
  return source;
}

// Fields of the header: docs/format.md, "Container".
inline constexpr std::size_t kHeaderBytes = 56, kFileBytesAt = 8, kStoredBytesAt = 32,
                             kMetadataBytesAt = 36, kTilesAt = 40, kChecksumAt = 48;

template <class T>
T get(std::span<const std::byte> bytes, std::size_t at) {
  return byte_reader(bytes.subspan(at)).template read<T>();
}
template <class T>
void put(byte_string& bytes, std::size_t at, T value) {
  byte_string little;
  append(little, value);
  std::memcpy(bytes.data() + at, little.data(), little.size());
}

/// Makes the checksum of a .skv file right, whatever else is wrong with it.
inline void reseal(byte_string& file) {
  put(file, kChecksumAt, std::uint64_t{0});
  const std::uint64_t front = kHeaderBytes + get<std::uint32_t>(file, kStoredBytesAt) +
                              12 * std::uint64_t{get<std::uint32_t>(file, kTilesAt)};
  put(file, kChecksumAt,
      static_cast<std::uint64_t>(
          XXH3_64bits(file.data(), std::min<std::size_t>(front, file.size()))));
}
/// The same for a .skvp file.
inline void reseal_profile(byte_string& file) {
  put(file, file.size() - 8, static_cast<std::uint64_t>(XXH3_64bits(file.data(), file.size() - 8)));
}

inline byte_string random_bytes(std::size_t count, std::uint64_t seed) {
  random_source random(seed);
  byte_string bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.bits() & 0xff);
  return bytes;
}

inline stream tensor_stream(tensor_id id, format_id format, std::uint64_t tokens,
                            std::uint32_t heads, std::uint32_t head_dim, std::uint32_t tile_tokens,
                            std::uint32_t tile_heads) {
  return {true, 0, id, format, tokens, heads, head_dim, tile_tokens, tile_heads};
}
inline stream opaque_stream(std::uint64_t bytes) {
  stream s;
  s.opaque_bytes = bytes;
  return s;
}

/// A container of these streams for a profile, without records.
inline container box_of(const profile& p, std::vector<stream> streams) {
  container c;
  c.profile = p.id();
  c.target = p.content().target;
  c.source = p.content().source;
  c.mean = p.content().mean;
  c.streams = std::move(streams);
  return c;
}

}  // namespace skv::test
