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
  static constexpr std::uint32_t kEscapeWidth = Target.exponent_bits + kExtraBits;
  static_assert(kExtraBits <= kBitsWithToken && kEscapeWidth <= 16);

  /// Token = exponent field - exponent field of the scale + kBelow (wraps: escapes are >= kEscape).
  static constexpr std::uint32_t kTokenOffset =
      kScaleOrigin - Target.bias() + exponent_tokens::kBelow;

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

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE push_plan<Lanes> plan(U32 code, U32 /*mean*/, U32 number) {
    constexpr std::uint32_t M = Target.mantissa_bits;
    const U32 field = (number & Target.magnitude_mask()) >> M;
    const U32 token = field - (code >> 2) + kTokenOffset;
    const U32 raw = raw_bits<Lanes>(number) >> (kPlane ? 8 : 0);
    push_plan<Lanes> p;
    p.context = code & (kScaleLevels - 1);
    p.token = Lanes::min(token, U32(exponent_tokens::kEscape));
    p.bits = raw;
    p.width = U32(kExtraBits);
    p.second_bits = p.second_width = U32(0);
    p.escape_bits = field | (raw << Target.exponent_bits);
    return p;
  }

  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE U32 pop(rans_decoder<Lanes>& coder, U32 code, U32 /*mean*/, U32 plane,
                            Mask active, Mask& corrupt) {
    using namespace decode_entry;
    constexpr std::uint32_t M = Target.mantissa_bits;
    const U32 entry = coder.token(code & (kScaleLevels - 1));
    const auto escape = ((entry >> kEscapeShift) != U32(0)) & active;
    const U32 token = (entry >> kBaseShift) & kBaseMask;
    U32 field = token + (code >> 2) - kTokenOffset;
    U32 raw = coder.bits((entry >> kBitsShift) & kBitsMask);
    coder.refill(active);
    if (Lanes::any(escape)) {
      const U32 bits = coder.bits(Lanes::select(escape, U32(kEscapeWidth), U32(0)));
      field = Lanes::select(escape, bits & Target.max_exponent(), field);
      raw = Lanes::select(escape, bits >> Target.exponent_bits, raw);
      coder.refill(escape);
    }
    corrupt = corrupt | (active & (field > U32(Target.max_exponent())));
    if constexpr (kPlane) raw = (raw << 8) | plane;
    return ((field & Target.max_exponent()) << M) | (raw & ((1u << M) - 1)) |
           ((raw >> M) << Target.magnitude_bits());
  }
};

}  // namespace skv
