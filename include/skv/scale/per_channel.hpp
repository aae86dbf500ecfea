// One scale per (layer, K|V, head, channel): how far values stray from their prediction.
// docs/format.md, section "Scales".
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <skv/number/format.hpp>

namespace skv {

/// A scale code is log2 sigma in quarter octaves above 2^-40, sigma being the root mean square of
/// target - prediction, in units of the stored numbers.
using scale_code = std::uint8_t;
inline constexpr std::uint32_t kScaleOrigin = 40;
inline constexpr std::uint32_t kScaleLevels = 4;  ///< codes per octave

/// The step of the grid is 2^(floor(log2 sigma) - kStepShift); docs/decisions/0002 says why 1.
inline constexpr std::uint32_t kStepShift = 1;

/// Contexts count quarter octaves of sigma / max(step, ulp of the prediction), from 2^-4 on.
inline constexpr std::uint32_t kContextsBelow = 4 * kScaleLevels;
inline constexpr std::uint32_t kScaleContexts = kContextsBelow + kScaleLevels * (kStepShift + 1);

/// The code nearest to a standard deviation; 0 for one too small, zero or not a number.
inline scale_code to_scale_code(double sigma) {
  const double code = std::round(kScaleLevels * (std::log2(sigma) + kScaleOrigin));
  return !(code > 0) ? scale_code{0} : code > 255 ? scale_code{255} : static_cast<scale_code>(code);
}

// log2 of the step is (code >> 2) - origin - shift; log2 of an ulp is field - bias - mantissa bits.
template <number_format Format>
inline constexpr std::int32_t kFloorOffset = static_cast<std::int32_t>(Format.bias() +
                                                                       Format.mantissa_bits) -
                                             static_cast<std::int32_t>(kScaleOrigin + kStepShift);
/// The smallest floor_exponent of a format.
template <number_format Format>
inline constexpr std::uint32_t kMinFloor = kFloorOffset<Format> < 1 ? 1 : kFloorOffset<Format>;

/// The exponent field whose ulp is the step, clamped to the format.
template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 floor_exponent(U32 code) {
  constexpr std::int32_t offset = kFloorOffset<Format>;
  U32 octave = code >> 2;
  if constexpr (offset < 1)
    octave = Lanes::max(octave, U32(static_cast<std::uint32_t>(1 - offset)));
  const U32 field = octave + static_cast<std::uint32_t>(offset);
  if constexpr (63 + offset <= static_cast<std::int32_t>(Format.max_exponent()))
    return field;
  else
    return Lanes::min(field, U32(Format.max_exponent()));
}

/// The context of predictions whose ulp is not above the step (wraps if it is below 0).
template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 top_context(U32 code) {
  constexpr std::uint32_t top = kScaleContexts - 1;
  constexpr std::int32_t offset = kFloorOffset<Format>;
  if constexpr (offset >= 1 && 63 + offset <= static_cast<std::int32_t>(Format.max_exponent())) {
    return (code & (kScaleLevels - 1)) + (kScaleContexts - kScaleLevels);
  } else {
    // code - 4 * (floor + origin - bias - mantissa bits) + kContextsBelow, at most `top`
    const U32 floor = floor_exponent<Format, Lanes>(code);
    const U32 context =
        code - (floor << 2) +
        (kContextsBelow - kScaleLevels * (kScaleOrigin - Format.bias() - Format.mantissa_bits));
    return U32(top) - Lanes::excess(U32(top), context);
  }
}

/// The context of predictions whose ulp is `above` octaves above the step. Contexts are scaled by
/// 2^kContextShift, `above` by 2^kAboveShift.
template <class Lanes, std::uint32_t kContextShift, std::uint32_t kAboveShift,
          class U32 = typename Lanes::u32>
SKV_INLINE U32 scale_context(U32 top, U32 above) {
  constexpr std::uint32_t up = kContextShift + 2;
  if constexpr (up >= kAboveShift)
    return Lanes::excess(top, above << (up - kAboveShift));
  else
    return Lanes::excess(top, above >> (kAboveShift - up));
}

/// What a scale code says, in the terms of a coding (tile/residual.hpp, tile/exponent.hpp) and of
/// the tables that it is used with.
template <class U32>
struct channel {
  U32 floor;  ///< the step's floor (number/step_floor.hpp)
  U32 top;    ///< the context of predictions whose ulp is not above the step, scaled
};

/// The scales of a row: a code for each of its numbers.
struct scale_codes {
  const std::byte* codes;

  template <class Lanes, class Coding, std::uint32_t kTableShift>
  SKV_INLINE channel<typename Lanes::u32> load(std::uint32_t first, std::uint32_t part,
                                               std::uint32_t count) const {
    return Coding::template to_channel<Lanes, kTableShift>(
        Lanes::template load<scale_code>(codes + first, part, count));
  }
};

}  // namespace skv
