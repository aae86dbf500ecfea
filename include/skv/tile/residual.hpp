// How a number is coded against a prediction: the difference on the grid of a step as a token,
// and the bits below the step raw. docs/format.md, section "Residuals".
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/number/step_floor.hpp>
#include <skv/scale/per_channel.hpp>

namespace skv {

/// Raw bits that are pushed on their own, before the token is: at most 16; mostly none.
template <class Lanes>
struct second_push {
  typename Lanes::u32 bits, width;
};

/// Codes numbers of format `Target` against means of format `Mean`: the same format, or a finer
/// one, whose position between two target numbers then selects the context.
template <number_format Target, number_format Mean>
struct residual_coding {
  static constexpr number_format kTarget = Target;
  static constexpr number_format kMean = Mean;
  using tokens = residual_tokens;

  static_assert(Target == Mean || (Mean.mantissa_bits >= Target.mantissa_bits + 3 &&
                                   Mean.bias() >= Target.bias()),
                "a mean has the target's format, or a finer one that covers its range");
  static constexpr std::uint32_t kFiner = Mean.mantissa_bits - Target.mantissa_bits;
  static constexpr std::uint32_t kPositions = kFiner ? 4 : 1;
  /// With positions, half octaves instead of quarters: the table stays small.
  static constexpr std::uint32_t kContexts =
      kFiner ? kScaleContexts / 2 * kPositions : kScaleContexts;
  static constexpr std::uint32_t kExtraBits = 0;  ///< raw bits with every token
  static constexpr bool kPlane = false;           ///< is there a plane of raw bytes?
  static constexpr std::uint32_t kEscapeWidth = Target.bits();

  /// What decoding a number starts from; independent of the coder's state.
  template <class Lanes>
  struct grid {
    using u32 = typename Lanes::u32;
    u32 floor;    ///< of the step
    u32 mean;     ///< the prediction in steps
    u32 sign;     ///< the prediction's sign, where the target has its own
    u32 flip;     ///< all ones where the prediction lies below its step
    u32 context;  ///< scaled by 2^kTableShift
  };

  static constexpr std::uint32_t kFloor = kMinFloor<Target>;
  static constexpr bool kDropsAll = kFloor > Target.mantissa_bits + 1;  ///< even in the zero bin
  static constexpr std::uint32_t kSignBit = 1u << Target.magnitude_bits();
  static constexpr std::uint32_t kHidden = 1u << Target.mantissa_bits;

  /// A context is a quarter octave; with positions, half of one: twice as many words for an octave.
  static constexpr std::uint32_t kQuarterShift = kFiner ? 1 : 0;

  /// For tables of 2^kTableShift words a context.
  template <class Lanes, std::uint32_t kTableShift, class U32 = typename Lanes::u32>
  static SKV_INLINE channel<U32> to_channel(U32 code) {
    return {floor_exponent<Target, Lanes>(code) << Target.mantissa_bits,
            top_context<Target, Lanes>(code) << (kTableShift + kQuarterShift)};
  }

  /// The grid that scale and mean (a pattern) span.
  template <class Lanes, std::uint32_t kTableShift, class U32 = typename Lanes::u32>
  static SKV_INLINE grid<Lanes> make_grid(const channel<U32>& scale, U32 mean,
                                          U32 /*plane*/ = U32(0)) {
    grid<Lanes> g;
    g.floor = scale.floor;
    g.sign = (mean >> (Mean.bits() - Target.bits())) & kSignBit;
    const U32 magnitude = mean & Mean.magnitude_mask();
    if constexpr (kFiner == 0) {
      const auto [steps, above] = to_steps<Target, Lanes, kFloor>(magnitude, g.floor);
      g.mean = steps;
      g.flip = U32(0);
      g.context = scale_context<Lanes, kTableShift, Target.mantissa_bits>(scale.top, above);
    } else {
      constexpr std::uint32_t half = 1u << (kFiner - 1);
      const U32 mean_floor =
          (g.floor << kFiner) + ((Mean.bias() - Target.bias()) << Mean.mantissa_bits);
      const U32 fine = to_steps<Mean, Lanes>(magnitude, mean_floor).steps;
      // Targets round, but below the floor their bins truncate: there the centre is half a step up.
      const auto truncates = (fine < U32(1u << Mean.mantissa_bits)) & (g.floor > U32(kHidden));
      const U32 centred = Lanes::select(truncates, Lanes::max(fine, U32(half)) - half, fine);
      g.mean = Lanes::min((centred + half) >> kFiner, max_steps<Target, Lanes>(g.floor));
      const U32 left = centred - (g.mean << kFiner);
      g.flip = Lanes::signed_shift(left, 31);
      const U32 distance = (left ^ g.flip) - g.flip;
      const U32 position = Lanes::min(distance >> (kFiner - 3), U32(kPositions - 1));
      const U32 above = Lanes::excess(g.mean & ~(kHidden - 1), U32(kHidden));
      const U32 quarters =
          scale_context<Lanes, kTableShift + kQuarterShift, Target.mantissa_bits>(scale.top, above);
      g.context = (quarters & ~((kPositions << kTableShift) - 1)) + (position << kTableShift);
    }
    return g;
  }

  /// What encoding a number pushes: a token with at most kBitsWithToken raw bits.
  template <class Lanes>
  struct plan {
    using u32 = typename Lanes::u32;
    u32 token;                    ///< as the encoding table has it
    u32 width;                    ///< raw bits: those of the token, then the dropped ones
    typename Lanes::mask second;  ///< lanes for which plan_second changes the plan
    u32 steps, distance, raw_bits, dropped;
  };

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE plan<Lanes> make_plan(const grid<Lanes>& g, U32 number) {
    plan<Lanes> p;
    p.steps = to_steps<Target, Lanes, kFloor>(number & Target.magnitude_mask(), g.floor).steps;
    const U32 opposite = Lanes::template sign_mask<Target.bits()>(number ^ g.sign);
    U32 difference = (p.steps ^ opposite) - g.mean;
    if constexpr (kFiner != 0) difference = (difference ^ g.flip) - g.flip;
    const U32 negative = Lanes::signed_shift(difference, 31);
    p.distance = Lanes::min(difference ^ negative, U32(residual_tokens::kLimit));
    const auto t = residual_tokens::of<Lanes>(p.distance, U32(0) - negative);
    p.token = t.token;
    p.raw_bits = t.bits;
    p.dropped = dropped_bits<Target, Lanes, kFloor>(p.steps, g.floor);
    p.width = p.raw_bits + p.dropped;
    p.second = needs_second<Lanes>(p.steps, t.above, p.width);
    return p;
  }

  /// The state with the raw bits.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 push_bits(U32 state, const plan<Lanes>& p, U32 number) {
    return Lanes::append_low(Lanes::append_low(state, number, p.dropped), p.distance, p.raw_bits);
  }

  /// Moves to a push of their own what does not fit with the token, in the lanes of p.second;
  /// those in `unknown` (a token without frequency) and others that need it become escapes.
  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE second_push<Lanes> plan_second(plan<Lanes>& p, const grid<Lanes>& g, U32 number,
                                                   Mask unknown) {
    const auto in_zero_bin = p.steps == U32(0);
    const auto zero =
        zero_bin_encode<Target, Lanes, kFloor>(number & Target.magnitude_mask(), g.floor);
    const auto apart = in_zero_bin | (p.width > U32(kBitsWithToken));
    const auto escapes =
        (p.distance >= U32(residual_tokens::kLimit)) | (in_zero_bin & zero.deep) | unknown;
    const U32 apart_bits = Lanes::select(in_zero_bin, zero.bits, low_bits(number, p.dropped));
    const U32 apart_width = Lanes::select(in_zero_bin, zero.width, p.dropped);
    p.token = Lanes::select(escapes, U32(encode_entry::kEscapeAt), p.token);
    p.raw_bits = Lanes::zero_unless(!escapes, p.raw_bits);
    p.dropped = Lanes::zero_unless(!(escapes | apart), p.dropped);
    p.width = p.raw_bits + p.dropped;
    return {Lanes::zero_unless(p.second, Lanes::select(escapes, number, apart_bits)),
            Lanes::zero_unless(p.second, Lanes::select(escapes, U32(kEscapeWidth), apart_width))};
  }

  /// What a token says of a number.
  template <class Lanes>
  struct popped {
    using u32 = typename Lanes::u32;
    u32 steps, sign;
    u32 raw_bits;                 ///< of the token, as in its decode_entry; still in the state
    typename Lanes::mask second;  ///< lanes that have a second pop
  };

  /// Pops the tokens of a part of a step, but not the raw bits.
  template <class Lanes, class Active, class U32 = typename Lanes::u32>
  static SKV_INLINE popped<Lanes> pop_token(U32& state, U32 entry, const grid<Lanes>& g,
                                            const Active& active) {
    using coder = rans_decoder<Lanes>;
    coder::token(state, entry);
    popped<Lanes> p;
    p.raw_bits = coder::raw_bits(entry);
    const U32 above = Lanes::shift_left(U32(~0u), p.raw_bits);
    const U32 difference = coder::base(entry) ^ (state & (above ^ ~0u));
    const U32 value = kFiner == 0 ? difference + g.mean : ((difference ^ g.flip) - g.flip) + g.mean;
    const U32 opposite = Lanes::signed_shift(value, 31);
    p.steps = value ^ opposite;
    p.sign = (opposite & kSignBit) ^ g.sign;
    p.second = active.among(needs_second<Lanes>(
        p.steps, above, (p.raw_bits & 31) + dropped_bits<Target, Lanes, kFloor>(p.steps, g.floor)));
    return p;
  }

  /// Pops the raw bits of the tokens, and those below the steps. `kAnySecond`: of lanes in p.second
  /// only the former, and of escapes none. Codes that no encoder writes give some number; the tile's
  /// hash tells.
  template <class Lanes, bool kAnySecond, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop_bits(U32& state, const grid<Lanes>& g, const popped<Lanes>& p) {
    U32 raw_bits = p.raw_bits;
    U32 dropped = dropped_bits<Target, Lanes, kFloor>(p.steps, g.floor);
    if constexpr (kAnySecond) {
      raw_bits = Lanes::zero_unless(!rans_decoder<Lanes>::is_escape(raw_bits), raw_bits);
      dropped = Lanes::zero_unless(!p.second, dropped);
    }
    state = Lanes::shift_right(state, raw_bits);
    const U32 steps = Lanes::append_low(p.steps, state, dropped);
    state = state >> dropped;
    return from_steps<Target, Lanes>(steps, dropped, g.floor) + p.sign;
  }

  /// Pops the numbers of the lanes in p.second; the others keep `number`.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop_second(rans_decoder<Lanes>& coder, U32& state, const grid<Lanes>& g,
                                   const popped<Lanes>& p, U32 number) {
    const auto in_zero_bin = p.steps == U32(0);
    const auto escape = coder.is_escape(p.raw_bits);
    const auto zero = zero_bin_decode<Target, Lanes, kFloor>(state & 0xffff, g.floor);
    const U32 dropped = dropped_bits<Target, Lanes, kFloor>(p.steps, g.floor);
    const U32 width =
        Lanes::select(escape, U32(kEscapeWidth), Lanes::select(in_zero_bin, zero.width, dropped));
    const U32 raw = coder.bits(state, Lanes::zero_unless(p.second, width));
    const U32 magnitude =
        Lanes::select(in_zero_bin, zero.magnitude,
                      from_steps<Target, Lanes>((p.steps << dropped) | raw, dropped, g.floor));
    coder.refill(state, coder.is_low(state) & p.second);
    return Lanes::select(p.second, Lanes::select(escape, raw, magnitude | p.sign), number);
  }

 private:
  /// Is a number in the zero bin, or are its raw bits, `width` of which those not in `above` belong
  /// to the token, too many for the token's push? Of escapes (kEscapeBits) it is true.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE typename Lanes::mask needs_second(U32 steps, U32 above, U32 width) {
    // Where dropped bits are mantissa bits - log2(steps), the sum is too large if this is.
    if constexpr (kDropsAll && Target.mantissa_bits >= kBitsWithToken)
      return (steps & (above << (Target.mantissa_bits - kBitsWithToken))) == U32(0);
    else
      return (width > U32(kBitsWithToken)) | (steps == U32(0));
  }
};

}  // namespace skv
