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
  U32 significand, dropped;  ///< how many of the significand's bits are below the step
};

// A step is given by its floor: the smallest pattern whose ulp it is, of exponent field 1 ...
// Format.max_exponent() and mantissa 0. Where that field is known to be at least `MinFloor`, cases
// near the smallest exponents fall away.

/// A number with fewer bits below the step than this is coded by its q and by them; encoders make
/// others escapes.
inline constexpr std::uint32_t kMaxDigits = 16;

/// Puts the magnitude of `u`, a pattern, on the grid of a step. With a smallest floor above
/// kMaxDigits, `dropped` of a subnormal is only known to be no less than that.
///
///   e4m3, floor 0x28 (exponent 5):
///     u = 0x2B (exponent 5, mantissa 3)  ->  q = 8 + 3      (on the grid)
///     u = 0x1B (exponent 3, mantissa 3)  ->  q = 11 >> 2    (below: truncated, 2 bits dropped)
///     u = 0x33 (exponent 6, mantissa 3)  ->  q = 11 + 8     (above: ordered)
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE stepped<U32> to_steps(U32 u, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  constexpr std::uint32_t hidden = 1u << M;
  U32 binade = u & (Format.magnitude_mask() ^ (hidden - 1));
  U32 significand = Lanes::or_masked(U32(hidden), u, hidden - 1);
  static_assert(M + 2 <= kMaxDigits);
  if constexpr (MinFloor <= kMaxDigits) {  // otherwise subnormals have q = 0
    binade = Lanes::max(binade, U32(hidden));
    significand = (u & Format.magnitude_mask()) - binade + hidden;
  }
  const U32 above = Lanes::excess(binade, floor);
  const U32 dropped = Lanes::excess(floor, binade) >> M;
  return {Lanes::shift_out(significand, dropped) + above, above, significand, dropped};
}

// Below the step a number is binary digits, from the highest on: as many as are missing to the M + 1 of
// its significand, the first of which is not 0. With q = 0 zeros come first; each is as likely as what
// lies above it, for the lower half of a step is half of it.

/// How many digits follow q, `digits` being the next ones, from the highest bit on: `dropped` of to_steps
/// for any number with fewer than kMaxDigits. At most kMaxDigits for any digits.
template <number_format Format, class Lanes, std::uint32_t MinFloor = 1,
          class U32 = typename Lanes::u32>
SKV_INLINE U32 count_digits(U32 q, U32 digits, U32 floor) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  constexpr std::uint32_t more = kMaxDigits - M;  // zeros of the first so many are counted
  U32 q_and_more = Lanes::append_top(q, digits, U32(more));
  if constexpr (MinFloor <= kMaxDigits)
    q_and_more = q_and_more | 1;  // 0 itself has floor - 1 digits
  const U32 n = Lanes::template leading_zeros<M + 1 + more>(q_and_more);
  return MinFloor > kMaxDigits ? n : Lanes::min(n, (floor >> M) - 1);
}

/// The inverse of `to_steps`, given q followed by the n bits that it dropped.
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

}  // namespace skv
