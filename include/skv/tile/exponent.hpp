// How a number is coded without a prediction: its exponent, relative to the scale of its channel,
// as a token; sign and mantissa raw. docs/format.md, section "Exponents".
#pragma once

#include <skv/tile/residual.hpp>

namespace skv {

template <number_format Target>
struct exponent_coding {
  static constexpr number_format kTarget = Target;
  static constexpr number_format kMean = Target;  ///< not read
  using tokens = exponent_tokens;

  static constexpr std::uint32_t kContexts = kScaleLevels;
  /// Sign and mantissa: eight of their bits go to a plane of bytes if there are as many, the
  /// others to the state.
  static constexpr std::uint32_t kRawBits = Target.mantissa_bits + 1;
  static constexpr bool kPlane = kRawBits >= 8;
  static constexpr std::uint32_t kExtraBits = kPlane ? kRawBits - 8 : kRawBits;
  static constexpr std::uint32_t kEscapeWidth = kExtraBits;
  /// Can a state fall below kStateFloor in a push?
  static constexpr bool kMayUnderflow = false;
  static_assert(kExtraBits <= kBitsWithToken);

  /// What a token stands for: exponent field - exponent field of the scale = field - octave + this.
  static constexpr std::uint32_t kOffset = kScaleOrigin - Target.bias();

  /// The raw bits of a number: mantissa below sign.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 raw_bits(U32 number) {
    constexpr std::uint32_t M = Target.mantissa_bits;
    return (number & ((1u << M) - 1)) | (number >> Target.magnitude_bits() << M);
  }
  /// The byte of a number in the plane: the low bits of the raw ones.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 plane_byte(U32 number) {
    return raw_bits<Lanes>(number) & 0xff;
  }

  template <class Lanes>
  struct grid {
    typename Lanes::u32 context, octave, plane;
  };
  /// The scale's octave stands for its floor.
  template <class Lanes, std::uint32_t kTableShift, class U32 = typename Lanes::u32>
  static SKV_INLINE channel<U32> to_channel(U32 code) {
    return {code >> 2, (code & (kScaleLevels - 1)) << kTableShift};
  }
  template <class Lanes, std::uint32_t /*kTableShift*/, class U32 = typename Lanes::u32>
  static SKV_INLINE grid<Lanes> make_grid(const channel<U32>& scale, U32 /*mean*/, U32 plane) {
    return {scale.top, scale.floor, plane};
  }

  template <class Lanes>
  struct plan {
    typename Lanes::u32 token, width, bits;
  };

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE plan<Lanes> make_plan(const grid<Lanes>& g, U32 number) {
    const U32 field = (number & Target.magnitude_mask()) >> Target.mantissa_bits;
    return {Lanes::clip(field - g.octave + (kOffset + tokens::kBelow + encode_entry::kFirst),
                        encode_entry::kAbove),
            U32(kExtraBits), raw_bits<Lanes>(number) >> (kPlane ? 8 : 0)};
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 push_bits(U32 state, const plan<Lanes>& p) {
    if constexpr (kExtraBits == 0)
      return state;
    else
      return (state << kExtraBits) | p.bits;
  }

  /// As in residual_coding.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop(U32& state, U32 entry, const grid<Lanes>& g) {
    constexpr std::uint32_t M = Target.mantissa_bits;
    using coder = rans_decoder<Lanes>;
    coder::token(state, entry);
    U32 raw = g.plane;
    if constexpr (kExtraBits != 0) {
      const U32 upper = state & ((1u << kExtraBits) - 1);
      raw = kPlane ? (upper << 8) | raw : upper;
      state = state >> kExtraBits;
    }
    const U32 field = coder::token_of(entry) + g.octave - (kOffset + tokens::kBelow);
    return ((field & Target.max_exponent()) << M) | (raw & ((1u << M) - 1)) |
           ((raw >> M) << Target.magnitude_bits());
  }
};

}  // namespace skv
