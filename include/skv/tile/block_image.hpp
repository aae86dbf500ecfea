// The block image: what a coded tile is, in a page of HBM and in a file alike.
// docs/format.md, section "Block image".
#pragma once

#include <cstddef>
#include <cstdint>
#include <skv/base/status.hpp>
#include <skv/base/view.hpp>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// How a tile is stored.
enum class tile_mode : std::uint8_t {
  raw = 0,         ///< the numbers themselves
  coded = 1,       ///< a block image
  prediction = 2,  ///< nothing: every number equals its prediction
  constant = 3,    ///< one number: all are that
};

/// What is known of a tile beside its bytes. It lies in a side array (a device array, the index of
/// a file), because a raw block in place has no room for it.
struct tile_record {
  std::uint32_t packed = 0;           ///< bytes (24 bits), tail steps (6), mode (2)
  std::uint32_t data_hash = 0;        ///< of the numbers
  std::uint32_t prediction_hash = 0;  ///< of the means, if they come from outside; otherwise 0

  SKV_HOST_DEVICE constexpr std::uint32_t bytes() const { return packed & 0xffffff; }
  SKV_HOST_DEVICE constexpr std::uint32_t tail_steps() const { return packed >> 24 & 63; }
  SKV_HOST_DEVICE constexpr tile_mode mode() const { return static_cast<tile_mode>(packed >> 30); }

  static SKV_HOST_DEVICE constexpr std::uint32_t pack(tile_mode mode, std::size_t bytes,
                                                      std::uint32_t tail_steps = 0) {
    return static_cast<std::uint32_t>(bytes) | tail_steps << 24 |
           static_cast<std::uint32_t>(mode) << 30;
  }
  friend constexpr bool operator==(const tile_record&, const tile_record&) = default;
};
static_assert(sizeof(tile_record) == 12);

/// A tile has at most this many numbers, so that its bytes fit a record.
inline constexpr std::uint32_t kMaxTileElements = 1u << 22;
inline constexpr std::uint32_t kMaxTailSteps = 63;

// A block image is the states of the lanes, the plane of raw bytes (if the coding has one, padded
// with zeros to four), and the words.
inline constexpr std::size_t kStateBytes = 4 * kLanes;

SKV_HOST_DEVICE constexpr std::size_t plane_bytes(bool has_plane, tile_shape shape) {
  return has_plane ? (shape.elements() + 3) / 4 * 4 : 0;
}

/// Steps of a row go in groups of so many, the last of which may have fewer: the words of a group's
/// escapes follow those of its tokens.
inline constexpr std::uint32_t kGroupSteps = 4;
inline constexpr std::uint32_t kGroupNumbers = kGroupSteps * kLanes;

/// Steps in a row: lanes are contiguous numbers of one token, the last step may lack some.
SKV_HOST_DEVICE constexpr std::uint32_t steps_per_token(std::uint32_t width) {
  return (width + kLanes - 1) / kLanes;
}

}  // namespace skv
