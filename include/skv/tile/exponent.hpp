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
    typename Lanes::u32 token, width, raw;
    typename Lanes::mask second;  ///< escapes
  };

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE plan<Lanes> make_plan(const grid<Lanes>& g, U32 number) {
    const U32 token =
        Lanes::min(field<Lanes>(number) - g.octave + kTokenOffset, U32(exponent_tokens::kEscape));
    return {token, U32(kExtraBits), raw_bits<Lanes>(number) >> (kPlane ? 8 : 0),
            token == U32(exponent_tokens::kEscape)};
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 push_bits(U32 state, const plan<Lanes>& p, U32 /*number*/) {
    return (state << p.width) | p.raw;
  }

  /// As in residual_coding; all second pushes are escapes.
  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE second_push<Lanes> plan_second(plan<Lanes>& p, const grid<Lanes>&, U32 number,
                                                   Mask /*unknown*/) {
    static_assert(exponent_tokens::kEscape == encode_entry::kEscapeAt);
    const U32 bits = field<Lanes>(number) | (p.raw << Target.exponent_bits);
    p.token = Lanes::select(p.second, U32(exponent_tokens::kEscape), p.token);
    p.raw = Lanes::zero_unless(!p.second, p.raw);
    p.width = Lanes::zero_unless(!p.second, p.width);
    return {Lanes::zero_unless(p.second, bits), Lanes::zero_unless(p.second, U32(kEscapeWidth))};
  }

  template <class Lanes>
  struct popped {
    typename Lanes::u32 number;
    typename Lanes::mask second;  ///< escapes
  };

  template <class Lanes, class Active, class U32 = typename Lanes::u32>
  static SKV_INLINE popped<Lanes> pop_token(U32& state, U32 entry, const grid<Lanes>& g,
                                            const Active& active) {
    using coder = rans_decoder<Lanes>;
    coder::token(state, entry);
    const auto escape = coder::is_escape(coder::raw_bits(entry));
    const U32 raw = coder::bits(state, Lanes::zero_unless(!escape, U32(kExtraBits)));
    return {assemble<Lanes>((entry & 0xff) + g.octave - kTokenOffset, raw, g.plane),
            active.among(escape)};
  }

  template <class Lanes, bool /*kAnySecond*/, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop_bits(U32&, const grid<Lanes>&, const popped<Lanes>& p) {
    return p.number;
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop_second(rans_decoder<Lanes>& coder, U32& state, const grid<Lanes>& g,
                                   const popped<Lanes>& p, U32 number) {
    const U32 bits = coder.bits(state, Lanes::zero_unless(p.second, U32(kEscapeWidth)));
    coder.refill(state, coder.is_low(state) & p.second);
    return Lanes::select(
        p.second,
        assemble<Lanes>(bits & Target.max_exponent(), bits >> Target.exponent_bits, g.plane),
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
