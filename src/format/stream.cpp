#include <skv/format/stream.hpp>

#include <algorithm>
#include <skv/tile/block_image.hpp>

namespace skv {
namespace {

std::uint64_t divided_up(std::uint64_t a, std::uint64_t b) { return a / b + (a % b != 0); }

}  // namespace

std::uint64_t stream::bytes() const {
  return is_tensor ? numbers() * find_format(static_cast<std::uint8_t>(format))->bytes()
                   : opaque_bytes;
}

std::uint64_t stream::tiles() const {
  return is_tensor ? divided_up(first_position % tile_tokens + tokens, tile_tokens) *
                         divided_up(heads, tile_heads)
                   : divided_up(opaque_bytes, kOpaqueChunkBytes);
}

std::uint64_t count_tiles(std::span<const stream> streams) {
  std::uint64_t n = 0;
  for (const stream& s : streams) n += s.tiles();
  return n;
}

tile_range tile_at(const stream& s, std::uint64_t index) {
  const std::uint64_t head_blocks = divided_up(s.heads, s.tile_heads);
  tile_range r;
  const std::uint32_t cut = s.first_position % s.tile_tokens;  // of the first tile
  const std::uint64_t begin = index / head_blocks * s.tile_tokens;
  r.first_token = begin == 0 ? 0 : begin - cut;
  r.tokens =
      static_cast<std::uint32_t>(std::min(begin + s.tile_tokens - cut, s.tokens) - r.first_token);
  r.first_head = static_cast<std::uint32_t>(index % head_blocks) * s.tile_heads;
  r.heads = std::min(s.tile_heads, s.heads - r.first_head);
  return r;
}

result<done> choose_tiles(stream& s, std::uint32_t tile_elements) {
  if (s.tokens == 0 || s.heads == 0 || s.head_dim == 0 || s.head_dim > kMaxTileElements)
    return fail(status::invalid_argument, to_string(s.id) + ": cannot be divided into tiles");
  tile_elements = std::clamp<std::uint32_t>(tile_elements, 1, kMaxTileElements);
  s.tile_heads = std::clamp<std::uint32_t>(kMaxTileElements / s.head_dim, 1, s.heads);
  const std::uint32_t width = s.tile_heads * s.head_dim;
  s.tile_tokens = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(s.tokens, std::max(1u, tile_elements / width)));
  return done{};
}

bool place_streams(std::span<stream> streams, std::uint32_t first) {
  std::uint64_t longest = 0;
  for (const stream& s : streams) longest = std::max(longest, s.tokens);
  if (longest > (std::uint64_t{1} << 32) - first) return false;
  for (stream& s : streams)
    if (s.is_tensor) s.first_position = first + static_cast<std::uint32_t>(longest - s.tokens);
  return true;
}

result<done> choose_linear_tiles(std::span<stream> streams, std::uint32_t tile_elements,
                                 std::uint32_t first_position) {
  std::uint64_t longest = 0;
  std::uint64_t tokens = tile_elements;
  for (stream& s : streams) {
    if (!s.is_tensor) continue;
    if (auto ok = choose_tiles(s, tile_elements); !ok) return ok;
    if (s.tile_heads != s.heads)
      return fail(status::invalid_argument, to_string(s.id) + ": too wide for linear propagation");
    longest = std::max(longest, s.tokens);
    const std::uint64_t width = std::uint64_t{s.heads} * s.head_dim;
    tokens = std::min(tokens, std::max<std::uint64_t>(1, tile_elements / width));
  }
  if (!place_streams(streams, first_position))
    return fail(status::invalid_argument, "positions beyond 2^32");
  for (stream& s : streams)
    if (s.is_tensor) s.tile_tokens = static_cast<std::uint32_t>(std::min(tokens, longest));
  return done{};
}

}  // namespace skv
