// The .skv container: what a file of compressed caches says about itself.
// docs/format.md, section "Container".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <skv/base/status.hpp>
#include <skv/format/stream.hpp>
#include <skv/number/format.hpp>
#include <skv/predict/identity.hpp>
#include <skv/predict/mean.hpp>
#include <skv/tile/block_image.hpp>
#include <span>
#include <vector>

namespace skv {

/// The version of the container that this build writes and reads.
inline constexpr std::uint16_t kContainerVersion = 1;

/// Everything in a .skv file but the tiles' bytes.
struct container {
  std::array<std::byte, 16> profile{};  ///< the profile's name
  format_id target = format_id::bf16;
  mean_source source = mean_source::none;
  format_id mean = format_id::bf16;
  /// With linear propagation, what it corrects: `none`, or `given` by a reference. The source is
  /// then `given`; choose_linear_tiles says what is true of the streams.
  std::optional<mean_source> linear_base;
  std::uint64_t draft_hash = 0;  ///< with linear propagation: cpu::outside_rows::draft_hash
  /// Who makes the given means (with linear propagation, the given bases), if the file says so.
  std::optional<predictor_identity> predictor;
  std::vector<std::byte> preamble;  ///< source bytes before the first stream: its header
  std::vector<stream> streams;
  std::vector<std::byte> embedded_profile;  ///< the bytes of the .skvp, or empty
  std::vector<tile_record> records;         ///< of all tiles, stream by stream
  std::uint64_t tiles_begin = 0;            ///< offset in the file of the first tile's bytes

  std::uint64_t source_bytes() const;  ///< of the file that was compressed
};

/// The bytes before the tiles: header, metadata, index. Their number depends on all members but
/// the records, of which there must be count_tiles(streams).
std::vector<std::byte> front_matter(const container& c);

/// Reads and checks everything but the tiles' bytes, and that these are all there. Any bytes are
/// safe; the memory taken is at most 256 times `file.size()`. Fails with truncated, corrupt (also
/// for bytes that are no .skv file) or unsupported.
result<container> parse_container(std::span<const std::byte> file);

/// An opaque chunk as it is stored: its record and, unless they are `chunk` itself, its bytes.
struct opaque_tile {
  tile_record record;
  std::vector<std::byte> bytes;  ///< empty in mode raw
};
opaque_tile encode_opaque(std::span<const std::byte> chunk);

/// Restores a chunk of exactly `chunk.size()` bytes. Fails with corrupt.
result<done> decode_opaque(const tile_record& record, std::span<const std::byte> bytes,
                           std::span<std::byte> chunk);

}  // namespace skv
