// The hash of a tile's numbers, parallel over lanes. docs/format.md, section "Tile hash".
#pragma once

#include <cstdint>
#include <skv/base/view.hpp>
#include <skv/lanes/lanes.hpp>
#include <skv/tile/block_image.hpp>

namespace skv {

// Per lane the polynomial  sum of x_t * P^(T-1-t)  over its T steps, mod 2^32: Horner's rule on the
// way up (decoding), powers of P on the way down (encoding), one multiply-add per number in both.
// P = 5 mod 8 has the largest order there is, so that no two flips of one bit, closer than 2^13
// steps in a lane, cancel. Lanes are scrambled, with their number, before they are summed.
inline constexpr std::uint32_t kHashBase = 0x9E3779B5;

/// MurmurHash3's finaliser (A. Appleby, public domain): every input bit reaches every output bit.
template <class U32>
SKV_INLINE U32 avalanche(U32 h) {
  h = h ^ (h >> 16);
  h = h * 0x85EBCA6Bu;
  h = h ^ (h >> 13);
  h = h * 0xC2B2AE35u;
  return h ^ (h >> 16);
}

template <class Lanes>
struct tile_hash {
  using u32 = typename Lanes::u32;
  u32 lane = u32(0);

  /// The next step of numbers, in ascending order.
  SKV_INLINE void append(u32 numbers) { lane = lane * kHashBase + numbers; }
  /// The step before, in descending order; `power` is kHashBase^(steps already added).
  SKV_INLINE void prepend(u32 numbers, std::uint32_t power) { lane = lane + numbers * power; }

  SKV_INLINE std::uint32_t finish(std::uint32_t tokens, std::uint32_t width) const {
    const std::uint32_t lanes_sum = Lanes::sum(avalanche(lane ^ ((Lanes::index() + 1) * 0x9E3779B9u)));
    return avalanche(lanes_sum + tokens * 0x27D4EB2Fu + width * 0x165667B1u);
  }
};
static_assert(kHashBase % 8 == 5);

/// The hash of numbers that are not coded: rows of patterns of type `Pattern`.
template <class Lanes, class Pattern>
SKV_INLINE std::uint32_t hash_tile(tile_shape shape, row_view<const Pattern> numbers) {
  tile_hash<Lanes> hash;
  for (std::uint32_t token = 0; token < shape.tokens; ++token)
    for (std::uint32_t first = 0; first < shape.width; first += kLanes) {
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      hash.append(Lanes::template load<Pattern>(numbers.at(token, first), count));
    }
  return hash.finish(shape.tokens, shape.width);
}

}  // namespace skv
