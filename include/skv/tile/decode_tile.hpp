// Decoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/predict/mean.hpp>
#include <skv/scale/per_channel.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/hash.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// What decode_tile found out while it wrote the numbers.
struct decoded_tile {
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
  bool is_image = false;  ///< if not, its size is impossible: nothing is decoded, not even hashed
  bool well_formed = false;  ///< states began and ended as they should, no word too many or few
};

/// What decoding a tile carries from step to step.
template <class Lanes, class Coding, class Mean>
struct tile_decoder {
  using u32 = typename Lanes::u32;
  static constexpr std::uint32_t kParts = Lanes::kParts;

  rans_decoder<Lanes> coder;
  u32 states[kParts];
  tile_hash<Lanes> data_hash, prediction_hash;

  /// Decodes the `count` numbers of `token` from number `first` of its row on; `kAll`: kLanes.
  /// `plane`: the row's raw bytes.
  template <bool kAll, class Rows, class Scales>
  SKV_INLINE void step(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                       const Rows& rows, const Mean& mean, const Scales& scales,
                       const std::byte* plane) {
    // Each loop is short, and its parts are independent: their latencies overlap.
    typename Coding::template grid<Lanes> grids[kParts];
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const u32 mu = mean.template load<Lanes>(token, first, part, count);
      const auto scale = scales.template load<Lanes, Coding, kDecodeTableShift>(first, part, count);
      u32 plane_byte(0);
      if constexpr (Coding::kPlane)
        plane_byte = Lanes::template load<std::uint8_t>(plane + first, part, count);
      if constexpr (Mean::kOutside) prediction_hash.append(part, mu);
      grids[part] = Coding::template make_grid<Lanes, kDecodeTableShift>(scale, mu, plane_byte);
    }
    u32 entries[kParts], popped_states[kParts], numbers[kParts];
    typename Coding::template popped<Lanes> popped[kParts];
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part)
      entries[part] = coder.lookup(states[part], grids[part].context);
    bool any_second = false;
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const active_lanes<Lanes, kAll> active(part, count);
      popped_states[part] = states[part];
      popped[part] = Coding::template pop_token<Lanes>(popped_states[part], entries[part],
                                                       grids[part], active);
      any_second |= Lanes::any(popped[part].second);
    }
    const auto pop_bits = [&]<bool kAnySecond> {
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        const active_lanes<Lanes, kAll> active(part, count);
        u32 state = popped_states[part];
        numbers[part] =
            Coding::template pop_bits<Lanes, kAnySecond>(state, grids[part], popped[part]);
        coder.refill(state, active.among(coder.is_low(state)));
        states[part] = active.or_else(state, states[part]);
      }
    };
    if (!any_second) [[likely]] {
      pop_bits.template operator()<false>();
    } else {
      pop_bits.template operator()<true>();
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part)
        numbers[part] = Coding::template pop_second<Lanes>(coder, states[part], grids[part],
                                                           popped[part], numbers[part]);
    }
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const active_lanes<Lanes, kAll> active(part, count);
      data_hash.append(part, active.or_zero(numbers[part]));
      rows.template store<Lanes>(token, first, part, count, numbers[part]);
    }
  }
};

/// How many steps are decoded at once: addresses of all but the first are then immediates, which
/// pays where a step is few instructions. Rows say so by `kStepsAtOnce`.
template <class Rows>
inline constexpr std::int32_t kStepsAtOnce = 1;
template <class Rows>
requires requires { Rows::kStepsAtOnce; }
inline constexpr std::int32_t kStepsAtOnce<Rows> = Rows::kStepsAtOnce;

/// Decodes a block image of `image_bytes` bytes. The caller compares the hashes with the record.
/// Any bytes whatever are safe to decode: nothing but `rows` is written, and nothing is read
/// beyond the image.
/// `rows`, `scales`: as for encode_tile, with `store`. `table`: the decoding tables of all contexts.
template <class Lanes, class Coding, class Rows, class Mean, class Scales>
SKV_INLINE decoded_tile decode_tile(tile_shape shape, const std::byte* image,
                                    std::size_t image_bytes, std::uint32_t tail_steps,
                                    const Rows& rows, const Mean& mean, const Scales& scales,
                                    const std::uint32_t* table) {
  using u32 = typename Lanes::u32;

  const std::size_t words_at = kStateBytes + plane_bytes(Coding::kPlane, shape);
  const std::uint32_t steps = steps_per_token(shape.width);
  std::uint64_t until_tail = std::uint64_t{shape.tokens} * steps;
  if (image_bytes < words_at || (image_bytes - words_at) % 2 != 0 || tail_steps > until_tail)
    return {};
  until_tail -= tail_steps;

  tile_decoder<Lanes, Coding, Mean> tile{
      {{image + words_at, image + image_bytes}, table}, {}, {}, {}};
  bool well_formed = true;
  SKV_UNROLL
  for (std::uint32_t part = 0; part < Lanes::kParts; ++part) {
    tile.states[part] = Lanes::template load<std::uint32_t>(image, part, kLanes);
    well_formed &= !Lanes::any((tile.states[part] >> 16) == u32(0));
  }

  const std::byte* plane = image + kStateBytes;
  bool in_tail = false;
  for (std::uint32_t token = 0; token < shape.tokens; ++token, plane += shape.width) {
    // Whole steps before the tail, nearly all there are, have a loop that asks for neither.
    const auto before_tail = static_cast<std::uint32_t>(until_tail < steps ? until_tail : steps);
    until_tail -= before_tail;
    const std::uint32_t whole =
        shape.width / kLanes < before_tail ? shape.width / kLanes : before_tail;
    const auto whole_end = static_cast<std::int32_t>(kLanes * whole);
    const auto whole_step = [&](std::int32_t first) {
      tile.template step<true>(token, static_cast<std::uint32_t>(first), kLanes, rows, mean, scales,
                               plane);
    };
    constexpr std::int32_t kAtOnce = kStepsAtOnce<Rows> * kLanes;
    std::int32_t next = 0;
    for (; next + kAtOnce <= whole_end; next += kAtOnce) {
      SKV_UNROLL
      for (std::int32_t i = 0; i < kAtOnce; i += kLanes) whole_step(next + i);
    }
    for (; kAtOnce > kLanes && next < whole_end; next += kLanes) whole_step(next);
    for (std::uint32_t step = whole; step < steps; ++step) {
      if (step == before_tail && !in_tail) {
        in_tail = true;
        tile.coder.enter_tail();
        for (u32& s : tile.states) s = s - kStateFloor;
      }
      const std::uint32_t first = step * kLanes;
      tile.template step<false>(token, first, shape.width - first, rows, mean, scales, plane);
    }
  }

  decoded_tile d;
  d.is_image = true;
  const std::uint32_t last = tail_steps == 0 ? kStateFloor + kStartState : kStartState;
  for (const u32& s : tile.states) well_formed &= !Lanes::any(s != u32(last));
  d.well_formed = well_formed && tile.coder.words.is_finished();
  d.data_hash = tile.data_hash.finish(shape);
  d.prediction_hash = Mean::kOutside ? tile.prediction_hash.finish(shape) : 0;
  return d;
}

}  // namespace skv
