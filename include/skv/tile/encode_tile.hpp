// Encoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/predict/mean.hpp>
#include <skv/scale/per_channel.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/hash.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// What encode_tile leaves behind beside the words.
template <class Lanes>
struct encoded_tile {
  typename Lanes::u32 states[Lanes::kParts];
  typename Lanes::writer words;  ///< has written the words, unless it is overrun
  std::uint32_t tail_steps = 0;
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
};

/// What encoding a tile carries from step to step.
template <class Lanes, class Coding, class Mean>
struct tile_encoder {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;
  static constexpr std::uint32_t kParts = Lanes::kParts;

  rans_encoder<Lanes> coder;
  u32 states[kParts];
  tile_hash<Lanes> data_hash, prediction_hash;
  std::uint32_t tail_steps = 0;
  bool in_tail = true;

  /// Encodes a group of `steps` steps: the numbers of `token` from number `first` of its row on, of which
  /// there are `count`; `kAll`: kLanes in each step, and the tail has ended. `plane`: room for the row's
  /// raw bytes.
  template <bool kAll, class Rows, class Scales>
  SKV_INLINE void group(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                        std::uint32_t steps, const Rows& all_rows, const Mean& all_means,
                        const Scales& scales, std::byte* plane) {
    const auto& rows = in_group(all_rows, token, first);
    const auto& mean = in_group(all_means, token, first);
    using active_lanes = skv::active_lanes<Lanes, kAll>;
    const auto left = [&](std::uint32_t k) { return kAll ? kLanes : count - k * kLanes; };

    push pushes[kGroupSteps][kParts];
    auto any_escapes = Lanes::below(u32(0), u32(0));
    SKV_UNROLL_STEPS(kGroupSteps)
    for (std::uint32_t i = 0; i < kGroupSteps; ++i) {
      const std::uint32_t k = kGroupSteps - 1 - i;
      if (k >= steps) continue;
      prepare<true>(token, first + k * kLanes, left(k), rows, mean, scales, plane, pushes[k]);
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part)
        any_escapes = any_escapes |
                      active_lanes(part, left(k)).among(coder.is_impossible(pushes[k][part].bound));
    }

    const group_start start = remember();
    if (Lanes::any(any_escapes)) [[unlikely]] {
      SKV_UNROLL_STEPS(kGroupSteps)
      for (std::uint32_t i = 0; i < kGroupSteps; ++i) {
        const std::uint32_t k = kGroupSteps - 1 - i;
        if (k < steps)
          write_escapes<kAll>(k, token, first + k * kLanes, left(k), rows, forced_escapes{},
                              pushes[k]);
      }
    }

    u32 lowest(~0u);
    SKV_UNROLL_STEPS(kGroupSteps)
    for (std::uint32_t i = 0; i < kGroupSteps; ++i) {
      const std::uint32_t k = kGroupSteps - 1 - i;
      if (k >= steps) continue;
      push_step<kAll>(left(k), pushes[k]);
      if (Coding::kMayUnderflow && (kAll || !in_tail)) {
        SKV_UNROLL
        for (const u32& x : states) lowest = Lanes::min(lowest, x);
      }
    }
    if constexpr (Coding::kMayUnderflow)
      if (Lanes::any(Lanes::below(lowest, u32(kStateFloor)))) [[unlikely]]
        group_again<kAll>(token, first, count, steps, rows, mean, scales, start);
  }

 private:
  /// What is pushed for a part of a step.
  struct push {
    typename Coding::template plan<Lanes> plan;
    u32 place;  ///< of the token's entry
    typename rans_encoder<Lanes>::entry entry;
    u32 bound;

    SKV_INLINE void look_up(const rans_encoder<Lanes>& coder) {
      entry = coder.lookup(place);
      bound = coder.bound(entry, plan.width);
    }
    /// Marked lanes push the escape.
    SKV_INLINE void escape(const rans_encoder<Lanes>& coder, mask escapes) {
      place = Lanes::select(escapes, coder.escape_of(place), place);
      plan.width = Lanes::select(escapes, u32(Coding::kEscapeWidth), plan.width);
      look_up(coder);
    }
  };
  /// Where a group begins.
  struct group_start {
    u32 states[kParts];
    typename Lanes::writer words;
    std::uint32_t tail_steps;
    bool in_tail;
  };
  SKV_INLINE group_start remember() const {
    group_start start{{}, coder.words, tail_steps, in_tail};
    for (std::uint32_t part = 0; part < kParts; ++part) start.states[part] = states[part];
    return start;
  }
  SKV_INLINE void return_to(const group_start& start) {
    coder.words = start.words;
    tail_steps = start.tail_steps;
    in_tail = start.in_tail;
    for (std::uint32_t part = 0; part < kParts; ++part) states[part] = start.states[part];
  }

  /// Which lanes are to push the escape in the steps of a group, whether they must or not: a bit for
  /// each step.
  struct forced_escapes {
    u32 steps[kParts];

    SKV_INLINE forced_escapes() {
      for (u32& s : steps) s = u32(0);
    }
    SKV_INLINE mask in(std::uint32_t k, std::uint32_t part) const {
      return (steps[part] >> k & 1) != u32(0);
    }
    SKV_INLINE void add(std::uint32_t k, std::uint32_t part, mask lanes) {
      steps[part] = steps[part] | Lanes::zero_unless(lanes, u32(1u << k));
    }
  };

  /// Makes escapes of what is forced and of what cannot be pushed: in a part of step k.
  template <bool kAll>
  SKV_INLINE mask escape(std::uint32_t k, std::uint32_t part, std::uint32_t count,
                         const forced_escapes& forced, push& p) const {
    const mask escapes = active_lanes<Lanes, kAll>(part, count)
                             .among(coder.is_impossible(p.bound) | forced.in(k, part));
    if (Lanes::any(escapes)) p.escape(coder, escapes);
    return escapes;
  }
  /// The same, with their numbers, from the last lane on.
  template <bool kAll, class Rows>
  SKV_INLINE void write_escapes(std::uint32_t k, std::uint32_t token, std::uint32_t first,
                                std::uint32_t count, const Rows& rows, const forced_escapes& forced,
                                push (&pushes)[kParts]) {
    SKV_UNROLL
    for (std::uint32_t j = 0; j < kParts; ++j) {
      const std::uint32_t part = kParts - 1 - j;
      const mask escapes = escape<kAll>(k, part, count, forced, pushes[part]);
      if (Lanes::any(escapes))
        coder.escape(rows.template load<Lanes>(token, first, part, count), escapes);
    }
  }

  template <bool kAll>
  SKV_INLINE void push_step(std::uint32_t count, const push (&pushes)[kParts]) {
    using active_lanes = skv::active_lanes<Lanes, kAll>;
    if (!kAll && in_tail) [[unlikely]] {
      bool is_full = false;
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part)
        is_full |= Lanes::any(
            active_lanes(part, count).among(coder.fills(states[part], pushes[part].bound)));
      continue_tail(is_full);
    }
    SKV_UNROLL
    for (std::uint32_t j = 0; j < kParts; ++j) {
      const std::uint32_t part = kParts - 1 - j;
      coder.spill(states[part],
                  active_lanes(part, count).among(coder.is_high(states[part], pushes[part].bound)));
    }
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const push& p = pushes[part];
      const u32 with_bits = Coding::template push_bits<Lanes>(states[part], p.plan);
      states[part] =
          active_lanes(part, count).or_else(coder.token(with_bits, p.entry), states[part]);
    }
  }

  /// Rarely a state is below kStateFloor after a push of many bits. The number is an escape instead: of
  /// every lane one after the other, until there is none. Plans are made anew, step by step, so that
  /// nothing of the group is to be kept for this.
  template <bool kAll, class Rows, class GroupMean, class Scales>
  SKV_INLINE void group_again(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                              std::uint32_t steps, const Rows& rows, const GroupMean& mean,
                              const Scales& scales, const group_start& start) {
    forced_escapes forced;
    for (bool again = true; again;) {
      again = false;
      return_to(start);
      SKV_UNROLL_STEPS(1)
      for (std::uint32_t k = steps; k-- > 0;) {
        const std::uint32_t at = first + k * kLanes, left = kAll ? kLanes : count - k * kLanes;
        push pushes[kParts];
        prepare<false>(token, at, left, rows, mean, scales, nullptr, pushes);
        write_escapes<kAll>(k, token, at, left, rows, forced, pushes);
      }
      forced_escapes found;
      SKV_UNROLL_STEPS(1)
      for (std::uint32_t k = steps; k-- > 0;) {
        const std::uint32_t at = first + k * kLanes, left = kAll ? kLanes : count - k * kLanes;
        push pushes[kParts];
        prepare<false>(token, at, left, rows, mean, scales, nullptr, pushes);
        SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part)
          escape<kAll>(k, part, left, forced, pushes[part]);
        push_step<kAll>(left, pushes);
        if (!kAll && in_tail) continue;
        SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part) {
          const auto low =
              Lanes::below(states[part], u32(kStateFloor)) & (found.steps[part] == u32(0));
          found.add(k, part, low);
          again |= Lanes::any(low);
        }
      }
      for (std::uint32_t part = 0; part < kParts; ++part)
        forced.steps[part] = forced.steps[part] | found.steps[part];
    }
  }

  /// Plans a step; `kFirst`: hashes it, too, and writes its plane.
  template <bool kFirst, class Rows, class GroupMean, class Scales>
  SKV_INLINE void prepare(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                          const Rows& rows, const GroupMean& mean, const Scales& scales,
                          std::byte* plane, push (&pushes)[kParts]) {
    // Each loop is short, and its parts are independent: their latencies overlap.
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const u32 number = rows.template load<Lanes>(token, first, part, count);
      const u32 mu = mean.template load<Lanes>(token, first, part, count);
      const auto scale = scales.template load<Lanes, Coding, kEncodeTableShift>(first, part, count);
      if constexpr (kFirst) data_hash.prepend(part, number);
      if constexpr (kFirst && Mean::kOutside) prediction_hash.prepend(part, mu);
      if constexpr (kFirst && Coding::kPlane)
        Lanes::template store<std::uint8_t>(plane + first, part, count,
                                            Coding::template plane_byte<Lanes>(number));
      const auto grid = Coding::template make_grid<Lanes, kEncodeTableShift>(scale, mu, u32(0));
      pushes[part].plan = Coding::template make_plan<Lanes>(grid, number);
      pushes[part].place = coder.place(grid.context, pushes[part].plan.token);
    }
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) pushes[part].look_up(coder);
  }

 public:
  /// In the tail, before a step: ends it if that would fill a lane.
  SKV_INLINE void continue_tail(bool would_fill) {
    if (would_fill || tail_steps == kMaxTailSteps)
      end_tail();
    else
      ++tail_steps;
  }
  SKV_INLINE void end_tail() {
    in_tail = false;
    for (u32& s : states) s = s + kStateFloor;
  }
};

/// Encodes a tile of at least one number.
/// `rows`: the numbers, a row_view or what has its `load`. `scales`: scale_codes, or what has its
/// `load`. `table`: the encoding tables of all contexts.
/// `plane`: room for the raw bytes of every number, or null if the coding has no plane.
/// `words`: the room for words. Nothing outside the two is written, whatever the numbers.
template <class Lanes, class Coding, class Rows, class Mean, class Scales>
SKV_INLINE encoded_tile<Lanes> encode_tile(tile_shape shape, const Rows& rows, const Mean& mean,
                                           const Scales& scales, const std::uint32_t* table,
                                           std::byte* plane, typename Lanes::writer words) {
  using u32 = typename Lanes::u32;

  tile_encoder<Lanes, Coding, Mean> tile{{words, typename Lanes::table(table)}, {}, {}, {}};
  for (u32& s : tile.states) s = u32(kStartState);

  const std::uint32_t steps = steps_per_token(shape.width);
  if constexpr (Coding::kPlane) plane += shape.elements();
  for (std::uint32_t token = shape.tokens; token-- > 0;) {
    if constexpr (Coding::kPlane) plane -= shape.width;
    auto end = static_cast<std::int32_t>((steps + kGroupSteps - 1) / kGroupSteps * kGroupNumbers);
    for (; end > 0 && (tile.in_tail || static_cast<std::uint32_t>(end) > shape.width);
         end -= kGroupNumbers) {
      const std::uint32_t first = static_cast<std::uint32_t>(end) - kGroupNumbers;
      const std::uint32_t left = steps - first / kLanes;
      const std::uint32_t in_group = left < kGroupSteps ? left : kGroupSteps;
      if (!tile.in_tail && shape.width % kLanes == 0)
        tile.template group<true>(token, first, kLanes, in_group, rows, mean, scales, plane);
      else
        tile.template group<false>(token, first, shape.width - first, in_group, rows, mean, scales,
                                   plane);
    }
    // Whole groups after the tail, nearly all there are, have a loop that asks for neither.
    for (; end > 0; end -= kGroupNumbers)
      tile.template group<true>(token, static_cast<std::uint32_t>(end) - kGroupNumbers, kLanes,
                                kGroupSteps, rows, mean, scales, plane);
  }
  if (tile.in_tail) tile.end_tail();
  tile.data_hash.turn(std::uint64_t{shape.tokens} * steps);
  if constexpr (Mean::kOutside) tile.prediction_hash.turn(std::uint64_t{shape.tokens} * steps);

  encoded_tile<Lanes> e{{}, tile.coder.words};
  for (std::uint32_t part = 0; part < Lanes::kParts; ++part) e.states[part] = tile.states[part];
  e.tail_steps = tile.tail_steps;
  e.data_hash = tile.data_hash.finish(shape);
  e.prediction_hash = Mean::kOutside ? tile.prediction_hash.finish(shape) : 0;
  return e;
}

}  // namespace skv
