// Decoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/base/bits.hpp>
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

/// How many steps of a whole group are unrolled on a GPU: addresses of all but the first are then
/// immediates. Rows that do otherwise say so.
template <class Rows>
inline constexpr std::int32_t kStepsAtOnce = kGroupSteps;
template <class Rows>
requires requires { Rows::kStepsAtOnce; }
inline constexpr std::int32_t kStepsAtOnce<Rows> = Rows::kStepsAtOnce;

/// What decoding a tile carries from step to step.
template <class Lanes, class Coding, class Mean>
struct tile_decoder {
  using u32 = typename Lanes::u32;
  static constexpr std::uint32_t kParts = Lanes::kParts;

  rans_decoder<Lanes> coder;
  u32 states[kParts];
  tile_hash<Lanes> data_hash, prediction_hash;
  bool well_formed = true;  ///< so far: states began as they should, escapes are numbers

  SKV_INLINE void enter_tail() {
    coder.enter_tail();
    for (u32& s : states) s = s - kStateFloor;
  }

  /// Decodes a group of `steps` steps: the numbers of `token` from number `first` of its row on, of
  /// which there are `count`; `kAll`: kLanes in each step, and no tail; `kWhole`: the group has all its
  /// steps. The tail is entered before step `tail_at`. `plane`: the row's raw bytes.
  template <bool kAll, bool kWhole, class Rows, class Scales>
  SKV_INLINE void group(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                        std::uint32_t steps, std::uint32_t tail_at, const Rows& all_rows,
                        const Mean& all_means, const Scales& scales, const std::byte* plane) {
    const auto& rows = in_group(all_rows, token, first);
    const auto& mean = in_group(all_means, token, first);
    u32 escapes[kParts];  // a bit for every step
    for (u32& e : escapes) e = u32(0);
    const tile_hash<Lanes> hash_before = data_hash;
    SKV_UNROLL_STEPS(kWhole ? kStepsAtOnce<Rows> : 1)
    for (std::uint32_t k = 0; k < (kWhole ? kGroupSteps : steps); ++k) {
      if (!kAll && k == tail_at) enter_tail();
      const std::uint32_t left = kAll ? kLanes : count - k * kLanes;
      step<kAll>(token, first + k * kLanes, left, rows, mean, scales, plane, escapes);
    }
    u32 any_escapes(0);
    for (const u32& e : escapes) any_escapes = any_escapes | e;
    // A vote costs one instruction; in which steps they are, a reduction, is asked only then.
    if (Lanes::any(any_escapes != u32(0))) [[unlikely]] {
      data_hash = hash_before;  // without what escapes had left
      replace_escapes<kAll>(token, first, count, steps, rows, escapes,
                            Lanes::any_bits(any_escapes));
      SKV_UNROLL_STEPS(kWhole ? kStepsAtOnce<Rows> : 1)
      for (std::uint32_t k = 0; k < (kWhole ? kGroupSteps : steps); ++k) {
        const std::uint32_t left = kAll ? kLanes : count - k * kLanes;
        SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part)
          data_hash.append(part, rows.template load<Lanes>(token, first + k * kLanes, part, left));
      }
    }
  }

 private:
  /// Replaces what escapes have left, which is anything, by their numbers: in the steps of a group that
  /// have a bit in `with_escapes`, the lanes that have it in `escapes`. The last step's is the lowest.
  template <bool kAll, class Rows>
  SKV_INLINE void replace_escapes(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                                  std::uint32_t steps, const Rows& rows,
                                  const u32 (&escapes)[kParts], std::uint32_t with_escapes) {
    while (with_escapes != 0) {
      const std::uint32_t last = floor_log2(with_escapes), bit = 1u << last;
      with_escapes ^= bit;
      const std::uint32_t k = steps - 1 - last;
      const std::uint32_t at = first + k * kLanes, left = kAll ? kLanes : count - k * kLanes;
      SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        const auto escaped = (escapes[part] & bit) != u32(0);
        if (kParts != 1 && !Lanes::any(escaped)) continue;
        const u32 words = coder.escaped(escaped),
                  others = rows.template load<Lanes>(token, at, part, left);
        if constexpr (Coding::kTarget.bits() < 16)
          well_formed = well_formed && !Lanes::any((words >> Coding::kTarget.bits()) != u32(0));
        rows.template store<Lanes>(token, at, part, left, Lanes::select(escaped, words, others));
      }
    }
  }

  /// Decodes a step, and appends to `escapes` which of its tokens are.
  template <bool kAll, class Rows, class GroupMean, class Scales>
  SKV_INLINE void step(std::uint32_t token, std::uint32_t first, std::uint32_t count,
                       const Rows& rows, const GroupMean& mean, const Scales& scales,
                       const std::byte* plane, u32 (&escapes)[kParts]) {
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
    u32 entries[kParts];
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part)
      entries[part] = coder.lookup(states[part], grids[part].context);
    SKV_UNROLL
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const active_lanes<Lanes, kAll> active(part, count);
      u32 state = states[part];
      const u32 number = Coding::template pop<Lanes>(state, entries[part], grids[part]);
      coder.refill(state, active.among(coder.template is_low<kAll>(state)));
      states[part] = active.or_else(state, states[part]);
      escapes[part] = coder.append_escape(escapes[part], active.or_zero(entries[part]));
      data_hash.append(part, active.or_zero(number));
      rows.template store<Lanes>(token, first, part, count, number);
    }
  }
};

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
  std::uint32_t until_tail = shape.tokens * steps;
  if (image_bytes < words_at || (image_bytes - words_at) % 2 != 0 || tail_steps > until_tail)
    return {};
  until_tail -= tail_steps;

  tile_decoder<Lanes, Coding, Mean> tile{
      {{image + words_at, image + image_bytes}, typename Lanes::table(table)}, {}, {}, {}};
  SKV_UNROLL
  for (std::uint32_t part = 0; part < Lanes::kParts; ++part) {
    tile.states[part] = Lanes::template load<std::uint32_t>(image, part, kLanes);
    tile.well_formed &= !Lanes::any((tile.states[part] >> 16) == u32(0));
  }

  const std::byte* plane = image + kStateBytes;
  bool in_tail = false;
  for (std::uint32_t token = 0; token < shape.tokens; ++token, plane += shape.width) {
    const std::uint32_t before_tail = until_tail < steps ? until_tail : steps;
    until_tail -= before_tail;
    // Whole groups before the tail, nearly all there are, have a loop that asks for neither.
    const std::uint32_t whole =
        shape.width / kLanes < before_tail ? shape.width / kLanes : before_tail;
    std::int32_t first = 0;  // counted down groups: a bound would be computed again and again
    for (std::uint32_t groups = whole / kGroupSteps; groups != 0; --groups, first += kGroupNumbers)
      tile.template group<true, true>(token, static_cast<std::uint32_t>(first), kLanes, kGroupSteps,
                                      kGroupSteps, rows, mean, scales, plane);
    for (std::uint32_t step = whole / kGroupSteps * kGroupSteps; step < steps;
         step += kGroupSteps) {
      const std::uint32_t from = step * kLanes;
      const std::uint32_t in_group = steps - step < kGroupSteps ? steps - step : kGroupSteps;
      if (step + in_group <= whole) {
        tile.template group<true, false>(token, from, kLanes, in_group, kGroupSteps, rows, mean,
                                         scales, plane);
      } else {
        const std::uint32_t tail_at = in_tail ? kGroupSteps : before_tail - step;
        in_tail |= tail_at < in_group;
        tile.template group<false, false>(token, from, shape.width - from, in_group, tail_at, rows,
                                          mean, scales, plane);
      }
    }
  }

  decoded_tile d;
  d.is_image = true;
  const std::uint32_t last = tail_steps == 0 ? kStateFloor + kStartState : kStartState;
  for (const u32& s : tile.states) tile.well_formed &= !Lanes::any(s != u32(last));
  d.well_formed = tile.well_formed && tile.coder.words.is_finished();
  d.data_hash = tile.data_hash.finish(shape);
  d.prediction_hash = Mean::kOutside ? tile.prediction_hash.finish(shape) : 0;
  return d;
}

}  // namespace skv
