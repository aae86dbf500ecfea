// How a number is coded against a prediction: the difference on the grid of a step as a token,
// and the bits below the step raw. docs/format.md, section "Residuals".
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/number/step_floor.hpp>
#include <skv/scale/per_channel.hpp>

namespace skv {

/// What encoding a step of numbers pushes: raw bits, then a token with at most kBitsWithToken raw
/// bits. The first part comes out of the decoder first.
template <class Lanes>
struct push_plan {
  using u32 = typename Lanes::u32;
  u32 context, token;
  u32 bits, width;              ///< with the token
  u32 second_bits, second_width;  ///< in a step of their own, at most 16; mostly none
  u32 escape_bits;              ///< what follows the escape, Coding::kEscapeWidth bits
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

  template <class Lanes>
  struct grid {
    using u32 = typename Lanes::u32;
    u32 floor;     ///< exponent field of the step
    u32 mean;      ///< the prediction in steps
    u32 negative;  ///< all ones where the prediction is negative
    u32 flip;      ///< all ones where the prediction lies below its step
    u32 context;
  };

  /// The grid that scale code and mean (a pattern) span.
  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE grid<Lanes> make_grid(U32 code, U32 mean) {
    grid<Lanes> g;
    g.floor = floor_exponent<Target, Lanes>(code);
    g.negative = U32(0) - (mean >> Mean.magnitude_bits());
    const U32 magnitude = mean & Mean.magnitude_mask();
    if constexpr (kFiner == 0) {
      const auto [steps, exponent] = to_steps<Target, Lanes>(magnitude, g.floor);
      g.mean = steps;
      g.flip = U32(0);
      g.context = scale_context<Target, Lanes>(code, exponent);
    } else {
      constexpr std::uint32_t half = 1u << (kFiner - 1);
      const U32 fine =
          to_steps<Mean, Lanes>(magnitude, g.floor + (Mean.bias() - Target.bias())).steps;
      // Targets round, but below the floor their bins truncate: there the centre is half a step up.
      const auto truncates = (fine < U32(1u << Mean.mantissa_bits)) & (g.floor > U32(1));
      const U32 centred =
          Lanes::select(truncates, Lanes::max(fine, U32(half)) - half, fine);
      g.mean = Lanes::min((centred + half) >> kFiner, max_steps<Target, Lanes>(g.floor));
      const U32 left = centred - (g.mean << kFiner);
      g.flip = U32(0) - (left >> 31);
      const U32 distance = (left ^ g.flip) - g.flip;
      const U32 position = Lanes::min(distance >> (kFiner - 3), U32(kPositions - 1));
      const U32 octave = Lanes::max(Lanes::floor_log2(g.mean), U32(Target.mantissa_bits)) -
                         Target.mantissa_bits;
      g.context =
          ((scale_context<Target, Lanes>(code, g.floor + octave) >> 1) << 2) + position;
    }
    return g;
  }

  template <class Lanes, class U32 = typename Lanes::u32>
  static SKV_INLINE push_plan<Lanes> plan(U32 code, U32 mean, U32 number) {
    const grid<Lanes> g = make_grid<Lanes>(code, mean);
    const U32 magnitude = number & Target.magnitude_mask();
    const U32 steps = to_steps<Target, Lanes>(magnitude, g.floor).steps;
    const U32 opposite = (U32(0) - (number >> Target.magnitude_bits())) ^ g.negative;
    const U32 difference = (steps ^ opposite) - g.mean;
    const U32 z = zigzag((difference ^ g.flip) - g.flip);

    const U32 dropped = dropped_bits<Target, Lanes>(steps, g.floor);
    const auto in_zero_bin = steps == U32(0);
    const auto zero = zero_bin_encode<Target, Lanes>(magnitude, g.floor);
    const auto escapes = (z >= U32(residual_tokens::kLimit)) | (in_zero_bin & zero.deep);

    const auto t = residual_tokens::of<Lanes>(Lanes::min(z, U32(residual_tokens::kLimit - 1)));
    const U32 below = magnitude & ((U32(1) << dropped) - 1);
    const U32 bucket = z & ((U32(1) << t.bits) - 1);
    const auto together = (!in_zero_bin) & (t.bits + dropped <= U32(kBitsWithToken));

    push_plan<Lanes> p;
    p.context = g.context;
    p.token = Lanes::select(escapes, U32(residual_tokens::kEscape), t.token);
    p.bits = bucket | Lanes::select(together, below << t.bits, U32(0));
    p.width = t.bits + Lanes::select(together, dropped, U32(0));
    p.second_bits =
        Lanes::select(together, U32(0), Lanes::select(in_zero_bin, zero.bits, below));
    p.second_width =
        Lanes::select(together, U32(0), Lanes::select(in_zero_bin, zero.width, dropped));
    p.escape_bits = number;
    return p;
  }

  /// Pops the numbers of a step. `corrupt` collects nonzero values where no encoder wrote this.
  template <class Lanes, class U32 = typename Lanes::u32, class Mask = typename Lanes::mask>
  static SKV_INLINE U32 pop(rans_decoder<Lanes>& coder, U32 code, U32 mean, U32 /*plane*/,
                            Mask active, Mask& corrupt) {
    using namespace decode_entry;
    const grid<Lanes> g = make_grid<Lanes>(code, mean);
    const U32 entry = coder.token(g.context);
    const auto escape = (entry >> kEscapeShift) != U32(0);
    const U32 bucket_bits = (entry >> kBitsShift) & kBitsMask;
    const U32 z = ((entry >> kBaseShift) & kBaseMask) + coder.bits(bucket_bits);
    const U32 d = unzigzag(z);
    const U32 value = ((d ^ g.flip) - g.flip) + g.mean;
    const U32 opposite = U32(0) - (value >> 31);
    const U32 largest = max_steps<Target, Lanes>(g.floor);
    const U32 read_steps = value ^ opposite;
    const U32 steps = Lanes::min(read_steps, largest);
    corrupt = corrupt | (active & (!escape) & (read_steps > largest));

    const U32 dropped = dropped_bits<Target, Lanes>(steps, g.floor);
    const auto in_zero_bin = steps == U32(0);
    const auto second =
        (in_zero_bin | escape | (bucket_bits + dropped > U32(kBitsWithToken))) & active;
    U32 below = coder.bits(Lanes::select(second, U32(0), dropped));
    coder.refill(active);

    U32 magnitude = from_steps<Target, Lanes>(steps, dropped, below, g.floor);
    const U32 sign = (opposite ^ g.negative) & (1u << Target.magnitude_bits());
    U32 number = magnitude | sign;
    if (Lanes::any(second)) {
      const auto zero = zero_bin_decode<Target, Lanes>(coder.state & 0xffff, g.floor);
      corrupt = corrupt | (second & in_zero_bin & (!escape) & zero.corrupt);
      const U32 width = Lanes::select(
          escape, U32(kEscapeWidth), Lanes::select(in_zero_bin, zero.width, dropped));
      const U32 raw = coder.bits(Lanes::select(second, width, U32(0)));
      magnitude = Lanes::select(in_zero_bin, zero.magnitude,
                                from_steps<Target, Lanes>(steps, dropped, raw, g.floor));
      number = Lanes::select(second, Lanes::select(escape, raw, magnitude | sign), number);
      coder.refill(second);
    }
    return number;
  }
};

}  // namespace skv
