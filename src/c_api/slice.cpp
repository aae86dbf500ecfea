#include "slice.hpp"

#include <skv/cpu/tensor_codec.hpp>
#include <string>

#include "call.hpp"
#include "handles.hpp"
#include "sized.hpp"

namespace skv::c_api {
namespace {

error refuse(tensor_id id, const std::string& what) {
  return fail(status::invalid_argument, to_string(id) + ": " + what);
}

}  // namespace

cpu::tile_slice geometry::tile(std::size_t index) const {
  cpu::tile_slice t = whole;
  t.tokens = std::min(tokens_per_tile, whole.tokens - first_token(index));
  return t;
}

result<geometry> read_slice(const skv_slice* slice) {
  // `reserved` came with the first version, as what follows `tokens` only.
  const auto read = take_sized(slice, offsetof(skv_slice, reserved), "slice");
  if (!read) return read.failure();
  const skv_slice& s = *read;
  if (s.kind > SKV_KIND_LATENT)
    return fail(status::invalid_argument, "slice: unknown kind " + std::to_string(s.kind));
  const tensor_id id{s.layer, static_cast<tensor_kind>(s.kind)};
  if (s.reserved != 0)
    return fail(status::unsupported, to_string(id) + ": the slice's reserved member is not zero");
  if (s.heads == 0 || s.head_dim == 0 || s.head_count == 0 || s.tokens == 0)
    return refuse(id, "no heads, channels or tokens");
  if (s.head_count > s.heads || s.first_head > s.heads - s.head_count)
    return refuse(id, std::to_string(s.head_count) + " heads from head " +
                          std::to_string(s.first_head) + " on, of " + std::to_string(s.heads));
  if (std::uint64_t{s.head_count} * s.head_dim > kMaxTileElements)
    return refuse(id, "more than " + std::to_string(kMaxTileElements) + " numbers a token");
  geometry g;
  g.whole = {id, s.heads, s.head_dim, s.first_head, s.head_count, s.tokens};
  g.tokens_per_tile = cpu::tokens_per_tile({id, s.tokens, s.head_count, s.head_dim});
  g.tiles = (std::size_t{s.tokens} - 1) / g.tokens_per_tile + 1;
  return g;
}

result<std::size_t> dense_bytes(const geometry& g, number_format format) {
  // 2^32 tokens of 2^22 numbers of 2 bytes fit 64 bits, though not all of them a size_t.
  const std::uint64_t bytes = std::uint64_t{g.width()} * format.bytes() * g.whole.tokens;
  if (bytes > PTRDIFF_MAX) return refuse(g.whole.tensor, "more bytes than memory can hold");
  return static_cast<std::size_t>(bytes);
}

result<row_layout> lay_out(const geometry& g, number_format format, const void* data,
                           std::size_t stride_bytes, const char* what) {
  const tensor_id id = g.whole.tensor;
  const std::size_t row = std::size_t{g.width()} * format.bytes();
  if (data == nullptr) return refuse(id, std::string(what) + ": null pointer");
  if (stride_bytes == 0) stride_bytes = row;
  if (stride_bytes < row)
    return refuse(id, std::string(what) + ": a stride of " + std::to_string(stride_bytes) +
                          " bytes between rows of " + std::to_string(row));
  const std::size_t gaps = g.whole.tokens - 1;
  if (gaps != 0 && stride_bytes > (PTRDIFF_MAX - row) / gaps)
    return refuse(id, std::string(what) + ": more bytes than memory can hold");
  const row_layout layout{stride_bytes, gaps * stride_bytes + row};
  if (layout.extent_bytes > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(data))
    return refuse(id, std::string(what) + ": they end beyond the address space");
  return layout;
}

}  // namespace skv::c_api

using namespace skv;
using namespace skv::c_api;

skv_status skv_tile_count(const skv_slice* slice, size_t* tiles, uint32_t* tokens_per_tile) {
  return call([&]() -> result<done> {
    const auto g = read_slice(slice);
    if (!g) return g.failure();
    if (tiles != nullptr) *tiles = g->tiles;
    if (tokens_per_tile != nullptr) *tokens_per_tile = g->tokens_per_tile;
    return done{};
  });
}

skv_status skv_max_compressed_bytes(const skv_codec* codec, const skv_slice* slice, size_t* bytes) {
  return call([&]() -> result<done> {
    if (codec == nullptr || bytes == nullptr)
      return fail(status::invalid_argument, "codec or bytes: null pointer");
    const auto g = read_slice(slice);
    if (!g) return g.failure();
    const auto most = dense_bytes(*g, codec->coder.target());
    if (!most) return most.failure();
    *bytes = *most;
    return done{};
  });
}
