// Slices and rows as callers describe them, checked.
#pragma once

#include <skv/skv.h>

#include <cstddef>
#include <skv/cpu/codec.hpp>

namespace skv::c_api {

/// A slice, and how it is cut into tiles.
struct geometry {
  cpu::tile_slice whole;
  std::uint32_t tokens_per_tile = 1;
  std::size_t tiles = 0;

  std::uint32_t width() const { return whole.head_count * whole.head_dim; }
  std::uint32_t first_token(std::size_t tile) const {
    return static_cast<std::uint32_t>(tile * tokens_per_tile);
  }
  cpu::tile_slice tile(std::size_t index) const;
};

/// Fails with invalid_argument or unsupported, as skv_tile_count says.
result<geometry> read_slice(const skv_slice* slice);

/// The bytes of `g` without gaps. Fails with invalid_argument if no memory is that large.
result<std::size_t> dense_bytes(const geometry& g, number_format format);

/// How rows lie in memory.
struct row_layout {
  std::size_t stride_bytes = 0;
  std::size_t extent_bytes = 0;  ///< from the first row to the end of the last
};

/// The rows of `g` at `data`, `stride_bytes` apart or, if that is 0, without gaps. Fails with
/// invalid_argument: null, rows that overlap, or more than memory holds. `what` names the rows.
result<row_layout> lay_out(const geometry& g, number_format format, const void* data,
                           std::size_t stride_bytes, const char* what);

}  // namespace skv::c_api
