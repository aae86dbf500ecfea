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
    const U32 token = field<Lanes>(number) - (code >> 2) + kTokenOffset;
    push_plan<Lanes> p;
    p.context = code & (kScaleLevels - 1);
    p.token = Lanes::min(token, U32(exponent_tokens::kEscape));
    p.bits = raw_bits<Lanes>(number) >> (kPlane ? 8 : 0);
    p.width = U32(kExtraBits);
    p.second = p.token == U32(exponent_tokens::kEscape);
    return p;
  }

  /// As in residual_coding; all second pushes are escapes.
  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE void plan_second(push_plan<Lanes>& p, U32 number, Mask /*unknown*/) {
    p.second_bits = Lanes::zero_unless(
        p.second, field<Lanes>(number) | (p.bits << Target.exponent_bits));
    p.second_width = Lanes::zero_unless(p.second, U32(kEscapeWidth));
    p.token = Lanes::select(p.second, U32(exponent_tokens::kEscape), p.token);
    p.bits = Lanes::zero_unless(!p.second, p.bits);
    p.width = Lanes::zero_unless(!p.second, p.width);
  }

  template <class Lanes>
  struct grid {
    typename Lanes::u32 code, plane;
  };
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE grid<Lanes> make_grid(U32 code, U32 /*mean*/, U32 plane) {
    return {code, plane};
  }

  template <class Lanes>
  struct pending {
    typename Lanes::mask second;  ///< escapes
    typename Lanes::u32 plane;
  };

  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE U32 pop(rans_decoder<Lanes>& coder, U32& state, const grid<Lanes>& g,
                            Mask active, pending<Lanes>& p) {
    using namespace decode_entry;
    const U32 entry = coder.token(state, g.code & (kScaleLevels - 1));
    const U32 token = entry >> kBaseShift;
    const U32 raw = coder.bits(state, (entry >> kBitsShift) & kBitsMask);
    p.second = (token == U32(kEscapeBase)) & active;
    p.plane = g.plane;
    coder.refill(state, active);
    return assemble<Lanes>(token + (g.code >> 2) - kTokenOffset, raw, g.plane);
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop_second(rans_decoder<Lanes>& coder, U32& state,
                                   const pending<Lanes>& p, U32 number) {
    const U32 bits = coder.bits(state, Lanes::zero_unless(p.second, U32(kEscapeWidth)));
    coder.refill(state, p.second);
    return Lanes::select(p.second,
                         assemble<Lanes>(bits & Target.max_exponent(),
                                         bits >> Target.exponent_bits, p.plane),
                         number);
  }

 private:
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 field(U32 number) {
    return (number & Target.magnitude_mask()) >> Target.mantissa_bits;
  }
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 assemble(U32 field, U32 raw, U32 plane) {
    constexpr std::uint32_t M = Target.mantissa_bits;
    if constexpr (kPlane) raw = (raw << 8) | plane;
    return ((field & Target.max_exponent()) << M) | (raw & ((1u << M) - 1)) |
           ((raw >> M) << Target.magnitude_bits());
  }
};

}  // namespace skv
