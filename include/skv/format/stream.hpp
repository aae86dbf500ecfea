// What a container is a list of, and how that is divided into tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/status.hpp>
#include <skv/base/tensor.hpp>
#include <skv/number/format.hpp>
#include <span>

namespace skv {

/// Opaque bytes are stored in chunks of this size.
inline constexpr std::uint64_t kOpaqueChunkBytes = 1u << 20;

/// A run of the source's bytes: a tensor of numbers that are coded, or bytes that only travel.
struct stream {
  bool is_tensor = false;
  std::uint64_t opaque_bytes = 0;  ///< of bytes that only travel

  tensor_id id;  ///< of a tensor [tokens, heads, head_dim], contiguous
  format_id format = format_id::bf16;
  std::uint64_t tokens = 0;
  std::uint32_t heads = 0, head_dim = 0;
  std::uint32_t tile_tokens = 0,
                tile_heads = 0;  ///< shape of a tile; those at the ends are smaller
  /// Position of the first token: 0 but for linear propagation. Tiles begin at multiples of
  /// tile_tokens.
  std::uint32_t first_position = 0;

  std::uint64_t numbers() const { return tokens * heads * head_dim; }
  std::uint64_t bytes() const;
  std::uint64_t tiles() const;
  friend bool operator==(const stream&, const stream&) = default;
};

/// A tile of a tensor stream: token and head ranges.
struct tile_range {
  std::uint64_t first_token = 0;
  std::uint32_t tokens = 0, first_head = 0, heads = 0;
};
/// Tile `index` of a tensor stream: head ranges ascend within a token range, and tokens count from
/// the stream's first.
tile_range tile_at(const stream& s, std::uint64_t index);

/// Tiles of all streams together.
std::uint64_t count_tiles(std::span<const stream> streams);

/// Token and head counts of tiles of about `tile_elements` numbers with all heads, or, for very
/// wide tensors, with as many heads as fit. Fails if one head alone is wider than a tile may be.
result<done> choose_tiles(stream& s, std::uint32_t tile_elements);

/// The same for streams that linear propagation goes through: tiles of all heads, and of the same
/// tokens, that serve the widest. All tensors end at the same position; the longest begins at
/// `first_position`. Fails with invalid_argument if a tensor is too wide or positions exceed 32
/// bits.
result<done> choose_linear_tiles(std::span<stream> streams, std::uint32_t tile_elements,
                                 std::uint32_t first_position);

/// Sets the positions of the first tokens: all tensors end at the same one, and the longest begins
/// at `first`. False, and nothing changes, if that needs more than 32 bits.
bool place_streams(std::span<stream> streams, std::uint32_t first);

}  // namespace skv
