// Step-floored integers: a float's ordered integer above a step, a linear grid below it.
// docs/format.md, section "Step-floored integers".
#pragma once

#include <skv/number/format.hpp>

namespace skv {

/// A magnitude on the grid of a step.
template <class U32>
struct stepped {
  U32 steps;  ///< q: monotone in the magnitude, 0 below one step
  U32 above;  ///< by how many octaves the magnitude's ulp exceeds the step, times 2^mantissa bits
};

// A step is given by its floor: the smallest pattern whose ulp it is, of exponent field 1 ...
// Format.max_exponent() and mantissa 0. Where that field is known to be at least `MinFloor`, cases
// near the smallest exponents fall away.

/// Puts magnitude `u` (a pattern without its sign) on the grid of a step.
///
///   e4m3, floor 0x28 (exponent 5):
///     u = 0x2B (exponent 5, mantissa 3)  ->  q = 8 + 3      (on the grid)
///     u = 0x1B (exponent 3, mantissa 3)  ->  q = 11 >> 2    (below: truncated)
///     u = 0x33 (exponent 6, mantissa 3)  ->  q = 11 + 8     (above: ordered)
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE stepped<U32> to_steps(U32 u, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  constexpr std::uint32_t hidden = 1u << M;
  U32 binade = u & (Format.magnitude_mask() ^ (hidden - 1));
  U32 significand = (u & (hidden - 1)) | hidden;
  if constexpr (MinFloor < M + 2) {  // otherwise all subnormals are far below the step
    binade = Lanes::max(binade, U32(hidden));
    significand = u - binade + hidden;
  }
  const U32 above = Lanes::excess(binade, floor);
  return {Lanes::shift_out(significand, Lanes::excess(floor, binade) >> M) + above, above};
}

/// The low `width` (below 32) bits.
template <class U32>
SKV_INLINE U32 low_bits(U32 a, U32 width) {
  return a & ((U32(~0u) << width) ^ ~0u);
}

/// How many bits of the pattern `to_steps` dropped, for q >= 1; for q = 0 at most all there are.
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE U32 dropped_bits(U32 q, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  const U32 n = Lanes::template leading_zeros<M + 1>(q);
  return MinFloor > M + 1 ? n : Lanes::min(n, (floor >> M) - 1);
}

/// The inverse of `to_steps` for q >= 1, given q followed by the n = dropped_bits(q, floor) bits.
template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 from_steps(U32 q_and_dropped, U32 n, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  return q_and_dropped + (floor - (1u << M) - (n << M));
}

/// The largest q that a pattern can have.
template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 max_steps(U32 floor) {
  return U32(Format.magnitude_mask() + (1u << Format.mantissa_bits)) - floor;
}

// The zero bin, q = 0: magnitudes below one step. Each lower binade is half as likely, so its
// distance below the step is coded in unary, and the mantissa follows; when the whole bin is
// subnormal it is a linear grid, coded plainly.

/// Binades of the zero bin that have a code; deeper magnitudes are escapes.
inline constexpr std::uint32_t kZeroBinDepth = 6;

template <class Lanes>
struct zero_bin_code {
  typename Lanes::u32 bits;   ///< the code, lowest bit first
  typename Lanes::u32 width;  ///< at most 16
  typename Lanes::mask deep;  ///< there is none: escape
};

/// The code of magnitude `u` within the zero bin of `floor`.
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE zero_bin_code<Lanes> zero_bin_encode(U32 u, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  const U32 field = floor >> M;
  const U32 top = Lanes::max(field, U32(M + 1)) - (M + 1);  // exponent field of the upper binade
  const U32 depth = top - Lanes::min(u >> M, top);
  const U32 unary = Lanes::min(depth, U32(kZeroBinDepth - 1)) + 1;
  const U32 mantissa = u & ((1u << M) - 1);
  zero_bin_code<Lanes> code{(U32(1) << (unary - 1)) | (mantissa << unary), unary + M,
                            depth >= U32(kZeroBinDepth)};
  if constexpr (MinFloor <= M + 1) {
    const auto linear = field <= U32(M + 1);
    code.bits = Lanes::select(linear, u, code.bits);
    code.width = Lanes::select(linear, field - 1, code.width);
    code.deep = code.deep & !linear;
  }
  return code;
}

template <class U32>
struct zero_bin_value {
  U32 magnitude;
  U32 width;  ///< bits that the code took
};

/// Reads a zero-bin code from the low 16 bits of `word`. Words that no encoder writes give some
/// magnitude of the bin.
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE zero_bin_value<U32> zero_bin_decode(U32 word, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  const U32 field = floor >> M;
  const U32 top = Lanes::max(field, U32(M + 1)) - (M + 1);
  const U32 guarded = (word & ((1u << kZeroBinDepth) - 1)) | (1u << (kZeroBinDepth - 1));
  const U32 depth = Lanes::floor_log2(guarded & (U32(0) - guarded));
  const U32 mantissa = (word >> (depth + 1)) & ((1u << M) - 1);
  zero_bin_value<U32> value{((top - Lanes::min(depth, top)) << M) | mantissa, depth + (M + 1)};
  if constexpr (MinFloor <= M + 1) {
    const auto linear = field <= U32(M + 1);
    const U32 plain = Lanes::min(field - 1, U32(M));
    value.magnitude = Lanes::select(linear, word & ((U32(1) << plain) - 1), value.magnitude);
    value.width = Lanes::select(linear, plain, value.width);
  }
  return value;
}

}  // namespace skv
