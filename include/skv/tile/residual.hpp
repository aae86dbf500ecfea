// How a number is coded against a prediction: the difference on the grid of a step as a token,
// and the bits below the step raw. docs/format.md, section "Residuals".
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/number/step_floor.hpp>
#include <skv/scale/per_channel.hpp>

namespace skv {

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
  static constexpr bool kPlane = false;             ///< is there a plane of raw bytes?
  static constexpr std::uint32_t kEscapeWidth = 0;  ///< raw bits that go with the escape
  /// Can a state fall below kStateFloor in a push?
  static constexpr bool kMayUnderflow = true;

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
    if constexpr (kFiner == 0) {
      const auto s = to_steps<Target, Lanes, kFloor>(mean, g.floor);
      g.mean = s.steps;
      g.flip = U32(0);
      g.context = scale_context<Lanes, kTableShift, Target.mantissa_bits>(scale.top, s.above);
    } else {
      constexpr std::uint32_t half = 1u << (kFiner - 1);
      const U32 mean_floor =
          (g.floor << kFiner) + ((Mean.bias() - Target.bias()) << Mean.mantissa_bits);
      const U32 fine =
          to_steps<Mean, Lanes, kFloor + (Mean.bias() - Target.bias())>(mean, mean_floor).steps;
      // Targets round, but below the floor their bins truncate: there the centre is half a step up.
      const auto truncates = (fine < U32(1u << Mean.mantissa_bits)) & (g.floor > U32(kHidden));
      const U32 centred = Lanes::excess(fine, Lanes::zero_unless(truncates, U32(half)));
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

  /// What encoding a number pushes: a token, with raw bits.
  template <class Lanes>
  struct plan {
    using u32 = typename Lanes::u32;
    u32 token;  ///< as the encoding table has it
    u32 width;  ///< of the raw bits
    u32 bits;   ///< the raw bits are its lowest ones
  };

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE plan<Lanes> make_plan(const grid<Lanes>& g, U32 number) {
    const auto s = to_steps<Target, Lanes, kFloor>(number, g.floor);
    const U32 opposite = Lanes::template sign_mask<Target.bits()>(number ^ g.sign);
    U32 difference = (s.steps ^ opposite) - g.mean;
    if constexpr (kFiner != 0) difference = (difference ^ g.flip) - g.flip;
    return {Lanes::clip(difference + (tokens::kBelow + encode_entry::kFirst), encode_entry::kAbove),
            s.dropped, s.significand};
  }

  /// The state with the raw bits: the last digit is pushed first.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 push_bits(U32 state, const plan<Lanes>& p) {
    return Lanes::append_top(state, Lanes::reverse_bits(p.bits), p.width);
  }

  /// Pops a token and its raw bits, and gives the number; of an escape, anything. Codes that no encoder
  /// writes give some number; the tile's hash tells.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE U32 pop(U32& state, U32 entry, const grid<Lanes>& g) {
    using coder = rans_decoder<Lanes>;
    coder::token(state, entry);
    U32 value;
    if constexpr (kFiner == 0) {
      value = coder::token_of(entry) + Lanes::keep(g.mean - tokens::kBelow);
    } else {
      const U32 difference = coder::token_of(entry) - tokens::kBelow;
      value = ((difference ^ g.flip) - g.flip) + g.mean;
    }
    const U32 opposite = Lanes::signed_shift(value, 31);
    const U32 steps = value ^ opposite;
    const U32 digits = Lanes::reverse_bits(state);
    const U32 n = count_digits<Target, Lanes, kFloor>(steps, digits, g.floor);
    state = state >> n;
    return from_steps<Target, Lanes>(Lanes::append_top(steps, digits, n), n, g.floor) +
           ((opposite & kSignBit) ^ g.sign);
  }
};

}  // namespace skv
