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
  static constexpr std::uint32_t kParts = Lanes::kParts;

  rans_encoder<Lanes> coder;
  u32 states[kParts];
  tile_hash<Lanes> data_hash, prediction_hash;
  std::uint32_t power = 1;
  std::uint32_t tail_steps = 0;
  bool in_tail = true;

  /// Encodes the `count` numbers of `token` from number `first` of its row on; `kAll`: kLanes, and
  /// the tail has ended. `plane`: room for the row's raw bytes.
  template <bool kAll, class Rows, class Scales>
  SKV_INLINE void step(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                       const Rows& rows, const Mean& mean, const Scales& scales, std::byte* plane) {
    using active_lanes = skv::active_lanes<Lanes, kAll>;
    // Each loop is short, and its parts are independent: their latencies overlap.
    u32 numbers[kParts];
    typename Coding::template grid<Lanes> grids[kParts];
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const u32 number = rows.template load<Lanes>(token, first, part, count);
      const u32 mu = mean.template load<Lanes>(token, first, part, count);
      const auto scale = scales.template load<Lanes, Coding, kEncodeTableShift>(first, part, count);
      data_hash.prepend(part, number, power);
      if constexpr (Mean::kOutside) prediction_hash.prepend(part, mu, power);
      if constexpr (Coding::kPlane)
        Lanes::template store<std::uint8_t>(plane + first, part, count,
                                            Coding::template plane_byte<Lanes>(number));
      numbers[part] = number;
      grids[part] = Coding::template make_grid<Lanes, kEncodeTableShift>(scale, mu, u32(0));
    }
    power *= kHashBase;

    typename Coding::template plan<Lanes> plans[kParts];
    typename rans_encoder<Lanes>::entry entries[kParts];
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part)
      plans[part] = Coding::template make_plan<Lanes>(grids[part], numbers[part]);
    bool any_second = false;
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      entries[part] = coder.lookup(grids[part].context, plans[part].token);
      plans[part].second =
          active_lanes(part, count).among(plans[part].second | entries[part].is_unknown());
      any_second |= Lanes::any(plans[part].second);
    }

    if (any_second) [[unlikely]] {
      second_push<Lanes> seconds[kParts];
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        seconds[part] = Coding::template plan_second<Lanes>(plans[part], grids[part], numbers[part],
                                                            entries[part].is_unknown());
        entries[part] = coder.lookup(grids[part].context, plans[part].token);
      }
      if (!kAll && in_tail) {
        bool is_full = false;
        SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part)
          is_full |= Lanes::any(active_lanes(part, count)
                                    .among(coder.fills(states[part], entries[part],
                                                       plans[part].width + seconds[part].width)));
        continue_tail(is_full);
      }
      SKV_UNROLL
      for (std::uint32_t i = 0; i < kParts; ++i) {
        const std::uint32_t part = kParts - 1 - i;
        coder.bits(states[part], seconds[part].bits, seconds[part].width, plans[part].second);
      }
    } else if (!kAll && in_tail) [[unlikely]] {
      bool is_full = false;
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part)
        is_full |=
            Lanes::any(active_lanes(part, count)
                           .among(coder.fills(states[part], entries[part], plans[part].width)));
      continue_tail(is_full);
    }

    SKV_UNROLL
    for (std::uint32_t i = 0; i < kParts; ++i) {
      const std::uint32_t part = kParts - 1 - i;
      const active_lanes active(part, count);
      coder.spill(states[part],
                  active.among(coder.is_high(states[part], entries[part], plans[part].width)));
    }
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const active_lanes active(part, count);
      const u32 with_bits =
          Coding::template push_bits<Lanes>(states[part], plans[part], numbers[part]);
      states[part] = active.or_else(coder.token(with_bits, entries[part]), states[part]);
    }
  }

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

  tile_encoder<Lanes, Coding, Mean> tile{{words, table}, {}, {}, {}};
  for (u32& s : tile.states) s = u32(kStartState);

  if constexpr (Coding::kPlane) plane += shape.elements();
  for (std::uint32_t token = shape.tokens; token-- > 0;) {
    if constexpr (Coding::kPlane) plane -= shape.width;
    auto end = static_cast<std::int32_t>(kLanes * steps_per_token(shape.width));
    for (; end > 0 && (tile.in_tail || static_cast<std::uint32_t>(end) > shape.width);
         end -= kLanes) {
      const std::uint32_t first = static_cast<std::uint32_t>(end) - kLanes;
      tile.template step<false>(token, first, shape.width - first, rows, mean, scales, plane);
    }
    // Whole steps after the tail, nearly all there are, have a loop that asks for neither.
    for (; end > 0; end -= kLanes)
      tile.template step<true>(token, static_cast<std::uint32_t>(end) - kLanes, kLanes, rows, mean,
                               scales, plane);
  }
  if (tile.in_tail) tile.end_tail();

  encoded_tile<Lanes> e{{}, tile.coder.words};
  for (std::uint32_t part = 0; part < Lanes::kParts; ++part) e.states[part] = tile.states[part];
  e.tail_steps = tile.tail_steps;
  e.data_hash = tile.data_hash.finish(shape);
  e.prediction_hash = Mean::kOutside ? tile.prediction_hash.finish(shape) : 0;
  return e;
}

}  // namespace skv
