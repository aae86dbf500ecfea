// Linear propagation: what was wrong with the prediction of one layer says what will be wrong with
// that of the next. The integer arithmetic of its steps but the matrix product, lane by lane.
// docs/format.md, section "Linear propagation"; docs/linear-propagation.md has the idea.
#pragma once

#include <array>
#include <skv/lanes/lanes.hpp>
#include <skv/number/format.hpp>

namespace skv {

// --- Fixed point
// ---------------------------------------------------------------------------------- Numbers become
// integers in a unit of their channel, 2^-exponent; `unit` is exponent + 128, a u8. Rounding is to
// the nearest, halves away from zero, and everything saturates.

inline constexpr std::uint32_t kUnitOrigin = 128;
/// Numbers reach this many units; 2 * (kFixedLimit + kDeviationLimit) fits 31 bits.
inline constexpr std::uint32_t kFixedLimit = 1u << 29;
/// Deviations and corrections reach this many: two products with a sine, below, fit 31 bits.
inline constexpr std::uint32_t kDeviationLimit = 32767;
/// Innovations and hidden values are int8 without -128.
inline constexpr std::uint32_t kInnovationLimit = 127;
/// Products that a sum has: |sum| <= 2^16 * 128 * 127 < 2^30.
inline constexpr std::uint32_t kMaxInputs = 1u << 16;

/// -1 (all ones) where `a` is negative as a signed integer, else 0.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 sign_of(U32 a) {
  return Lanes::signed_shift(a, 31);
}
/// `a` where `sign` is 0, -a where it is -1: |a| if `sign` is its own.
template <class U32>
SKV_INLINE U32 with_sign(U32 a, U32 sign) {
  return (a ^ sign) - sign;
}
/// a / 2^shift, for a below 2^30; halves up.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 rounded_shift(U32 a, U32 shift) {
  return (Lanes::shift_out(a + a, shift) + 1) >> 1;
}
/// A signed value within -limit ... limit; |a| below 2^31 - limit.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 clamped(U32 a, std::uint32_t limit) {
  return Lanes::min(Lanes::excess(a + limit, U32(0)), U32(2 * limit)) - limit;
}

/// The value of a pattern in units.
template <class Lanes>
struct fixed_number {
  typename Lanes::u32 value;          ///< signed, |value| <= kFixedLimit
  typename Lanes::mask has_no_value;  ///< infinity or NaN
};

/// Patterns of infinity and NaN: magnitudes above this one.
SKV_HOST_DEVICE constexpr std::uint32_t max_finite(number_format f) {
  return f.id == format_id::e4m3 ? f.magnitude_mask() - 1
                                 : (f.max_exponent() << f.mantissa_bits) - 1;
}

template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE fixed_number<Lanes> to_fixed(U32 pattern, U32 unit) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  constexpr std::uint32_t origin = kUnitOrigin + Format.bias() + M;
  const U32 magnitude = pattern & Format.magnitude_mask();
  const U32 e = Lanes::max(magnitude >> M, U32(1));
  const U32 significand = magnitude - ((e - 1) << M);
  const U32 right = Lanes::excess(U32(origin), e + unit);
  const U32 left = Lanes::excess(e + unit, U32(origin));
  const U32 shifted = rounded_shift<Lanes>(significand, right) << Lanes::min(left, U32(28 - M));
  const auto is_large = (left > U32(28 - M)) & (significand != U32(0));
  const U32 size = Lanes::select(is_large, U32(kFixedLimit), shifted);
  const U32 sign = sign_of<Lanes>(pattern << (31 - Format.magnitude_bits()));
  return {with_sign(size, sign), magnitude > U32(max_finite(Format))};
}

/// The pattern nearest to a number of units, |value| < 2^30: halves away from zero, the largest
/// finite one for what lies beyond, +0 for 0.
template <number_format Format, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 from_fixed(U32 value, U32 unit) {
  constexpr std::uint32_t M = Format.mantissa_bits;
  constexpr std::uint32_t origin = kUnitOrigin - 1 + Format.bias();
  const U32 sign = sign_of<Lanes>(value);
  const U32 size = with_sign(value, sign);
  // floor_log2 in two ranges: it serves below 2^24.
  const auto is_large = size >= U32(1u << 23);
  const U32 log = Lanes::floor_log2(Lanes::max(Lanes::select(is_large, size >> 8, size), U32(1))) +
                  Lanes::zero_unless(is_large, U32(8));
  const U32 octave = Lanes::excess(log + origin, unit);  // exponent field - 1; 0 if subnormal
  const U32 right = Lanes::excess(octave + unit, U32(origin + M));
  const U32 left = Lanes::excess(U32(origin + M), octave + unit);
  // A significand that rounds up to 2^(M+1) carries into the exponent field, as it should.
  const U32 significand = rounded_shift<Lanes>(size, right) << Lanes::min(left, U32(M));
  const U32 magnitude = Lanes::min(significand + (octave << M), U32(max_finite(Format)));
  return Lanes::zero_unless(size != U32(0), magnitude | (sign & (1u << Format.magnitude_bits())));
}

// --- Rotation -----------------------------------------------------------------------------------
// Sines and cosines are integers, 2^15 for 1. An angle is a phase: the upper 32 bits of position *
// frequency, in turns times 2^64.

inline constexpr std::uint32_t kSineSteps = 1024;  ///< of a turn

namespace detail {
// Taylor's series about 0, for |x| <= pi / 4: exact to far less than the distance of any entry from
// the middle between two integers (tests/predict/linear_test.cpp).
constexpr double series(double x, double term, int next) {
  double sum = 0;
  for (int n = next; n < next + 24; n += 2) {
    sum += term;
    term *= -x * x / (n * (n + 1));
  }
  return sum;
}
constexpr std::int32_t sine_entry(std::uint32_t step) {
  constexpr double kStep = 6.283185307179586476925 / kSineSteps;
  constexpr std::uint32_t quarter = kSineSteps / 4, eighth = kSineSteps / 8;
  const std::uint32_t in_half = step % (2 * quarter);
  const std::uint32_t a = in_half <= quarter ? in_half : 2 * quarter - in_half;
  const double sine =
      a <= eighth ? series(a * kStep, a * kStep, 2) : series((quarter - a) * kStep, 1, 1);
  const auto rounded = static_cast<std::int32_t>(sine * 32768 + 0.5);
  return step % kSineSteps < 2 * quarter ? rounded : -rounded;
}
}  // namespace detail

/// For every step of a turn its sine, and the difference to the next step's.
struct sine_table {
  std::array<std::uint32_t, 2 * kSineSteps> entries{};
  constexpr sine_table() {
    for (std::uint32_t i = 0; i < kSineSteps; ++i) {
      const std::int32_t here = detail::sine_entry(i), there = detail::sine_entry(i + 1);
      entries[2 * i] = static_cast<std::uint32_t>(here);
      entries[2 * i + 1] = static_cast<std::uint32_t>(there - here);
    }
  }
};
inline constexpr sine_table kSines;

/// The sine of a phase (a turn is 2^32), interpolated linearly. `table`: kSines, wherever it lies.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 sine(const std::uint32_t* table, U32 phase) {
  U32 here, difference;
  Lanes::lookup_pair(table, (phase >> 22) << 1, here, difference);
  const U32 fraction = (phase >> 6) & 0xffff;
  return here + Lanes::signed_shift(difference * fraction + 0x8000, 16);
}

/// The upper half of position * frequency mod 2^64.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 phase_at(U32 position, U32 frequency_high, U32 frequency_low) {
  return position * frequency_high + Lanes::multiply_high(position, frequency_low);
}

/// A channel turned together with its partner: |own|, |other| <= kDeviationLimit.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 turned(U32 own, U32 other, U32 cosine, U32 sine) {
  return Lanes::signed_shift(own * cosine + other * sine + (1u << 14), 15);
}

// --- Innovations and corrections ----------------------------------------------------------------

/// How far a number is from its base, in units; 0 if one of them has no value.
template <number_format Target, number_format Mean, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 deviation(U32 number, U32 base, U32 unit) {
  const auto x = to_fixed<Target, Lanes>(number, unit);
  const auto b = to_fixed<Mean, Lanes>(base, unit);
  return Lanes::zero_unless(!(x.has_no_value | b.has_no_value),
                            clamped<Lanes>(x.value - b.value, kDeviationLimit));
}

/// A deviation, turned back to position 0, as the int8 that others are predicted from.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 innovation(U32 deviation, U32 centre, U32 shift) {
  const U32 centred = deviation - centre;
  const U32 sign = sign_of<Lanes>(centred);
  const U32 size = rounded_shift<Lanes>(with_sign(centred, sign), shift);
  return with_sign(Lanes::min(size, U32(kInnovationLimit)), sign);
}

/// A sum of products (|sum| < 2^30) times multiplier / 2^(12 + shift); the multiplier: below 2^15.
template <class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 scaled_sum(U32 sum, U32 multiplier, U32 shift) {
  const U32 sign = sign_of<Lanes>(sum);
  const U32 size =
      Lanes::min(rounded_shift<Lanes>(with_sign(sum, sign), shift), U32(kDeviationLimit));
  return with_sign((size * multiplier + (1u << 11)) >> 12, sign);
}

/// The mean: base and correction (turned to its position; below 2^17), in the base's format.
template <number_format Mean, class Lanes, class U32 = typename Lanes::u32>
SKV_INLINE U32 corrected(U32 base, U32 correction, U32 unit) {
  const auto b = to_fixed<Mean, Lanes>(base, unit);
  const U32 size = with_sign(b.value, sign_of<Lanes>(b.value));
  const auto keeps = b.has_no_value | (size == U32(kFixedLimit));
  return Lanes::select(keeps, base, from_fixed<Mean, Lanes>(b.value + correction, unit));
}

}  // namespace skv
