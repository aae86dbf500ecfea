// Shaped, non-owning views of number patterns in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/config.hpp>
#include <type_traits>

namespace skv {

/// The logical shape of a tile: `tokens` rows of `width` numbers, a row being (head, channel).
struct tile_shape {
  std::uint32_t tokens = 0;
  std::uint32_t width = 0;

  SKV_HOST_DEVICE constexpr std::size_t elements() const { return std::size_t{tokens} * width; }
  friend constexpr bool operator==(tile_shape, tile_shape) = default;
};

/// Rows of bit patterns (`Element` is an unsigned integer, possibly const). Numbers of a row are
/// contiguous; rows lie `token_stride_bytes` apart and need no alignment.
template <class Element>
struct row_view {
  using element = std::remove_const_t<Element>;
  using byte = std::conditional_t<std::is_const_v<Element>, const std::byte, std::byte>;

  byte* data = nullptr;
  std::size_t token_stride_bytes = 0;

  SKV_HOST_DEVICE byte* at(std::uint32_t token, std::uint32_t first) const {
    return data + token * token_stride_bytes + first * sizeof(element);
  }

  /// The rows from one on, each from one of its bytes on. What is null stays null.
  SKV_HOST_DEVICE row_view from(std::size_t token, std::size_t first_byte = 0) const {
    if (data == nullptr) return *this;
    return {data + token * token_stride_bytes + first_byte, token_stride_bytes};
  }

  /// A part of the step from number `first` of a row on, of which `count` numbers are in the row.
  template <class Lanes>
  SKV_INLINE typename Lanes::u32 load(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                                      std::uint32_t count) const {
    return Lanes::template load<element>(at(token, first), part, count);
  }
  template <class Lanes>
  SKV_INLINE void store(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                        std::uint32_t count, typename Lanes::u32 numbers) const {
    Lanes::template store<element>(at(token, first), part, count, numbers);
  }
};

/// Rows of which only numbers of one group of steps (tile/block_image.hpp) will be asked, from number `first` of
/// `token` on; some compute its place once.
template <class Rows>
SKV_INLINE decltype(auto) in_group(const Rows& rows, std::uint32_t token, std::uint32_t first) {
  if constexpr (requires { rows.in_group(token, first); })
    return rows.in_group(token, first);
  else
    return (rows);
}

}  // namespace skv
