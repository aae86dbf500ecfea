// The hash of a tile's numbers, parallel over lanes. docs/format.md, section "Tile hash".
#pragma once

#include <cstdint>
#include <skv/base/view.hpp>
#include <skv/lanes/lanes.hpp>

namespace skv {

// Per lane the polynomial  sum of x_t * P^(T-1-t)  over its T steps, mod 2^32: Horner's rule, one
// multiply-add per number, on the way up (decoding), and with the inverse of P on the way down
// (encoding), where one multiplication by P^(T-1) is left at the end.
// P = 5 mod 8 has the largest order there is, so that no two flips of one bit, closer than 2^15
// steps in a lane, cancel. Lanes are scrambled, with their number, before they are summed.
inline constexpr std::uint32_t kHashBase = 0x9E3779B5;
static_assert(kHashBase % 8 == 5);
inline constexpr std::uint32_t kHashBaseInverse = 0x0B5A6C9D;
static_assert(kHashBase * kHashBaseInverse == 1);

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
  u32 lane[Lanes::kParts];

  SKV_INLINE tile_hash() {
    for (u32& l : lane) l = u32(0);
  }
  /// A part of the next step of numbers, in ascending order.
  SKV_INLINE void append(std::uint32_t part, u32 numbers) {
    lane[part] = lane[part] * kHashBase + numbers;
  }
  /// A part of the step before, in descending order.
  SKV_INLINE void prepend(std::uint32_t part, u32 numbers) {
    lane[part] = lane[part] * kHashBaseInverse + numbers;
  }
  /// After all `steps` (at least 1) were prepended: as if they had been appended.
  SKV_INLINE void turn(std::uint64_t steps) {
    std::uint32_t power = 1, base = kHashBase;
    for (std::uint64_t n = steps - 1; n != 0; n >>= 1, base *= base)
      if (n % 2 != 0) power *= base;
    for (u32& l : lane) l = l * power;
  }

  SKV_INLINE std::uint32_t finish(tile_shape shape) const {
    std::uint32_t sum = 0;
    for (std::uint32_t part = 0; part < Lanes::kParts; ++part)
      sum += Lanes::sum(avalanche(lane[part] ^ ((Lanes::index(part) + 1) * 0x9E3779B9u)));
    return avalanche(sum + shape.tokens * 0x27D4EB2Fu + shape.width * 0x165667B1u);
  }
};

/// The hash of numbers that are not coded.
template <class Lanes, class Rows>
SKV_INLINE std::uint32_t hash_tile(tile_shape shape, const Rows& rows) {
  tile_hash<Lanes> hash;
  for (std::uint32_t token = 0; token < shape.tokens; ++token)
    for (std::uint32_t first = 0; first < shape.width; first += kLanes) {
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      for (std::uint32_t part = 0; part < Lanes::kParts; ++part)
        hash.append(part, rows.template load<Lanes>(token, first, part, count));
    }
  return hash.finish(shape);
}

}  // namespace skv
