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
  word_writer words;              ///< from `next` on: the words, if not `overrun`
  std::uint32_t tail_steps = 0;
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
  bool all_predicted = false;     ///< every number equals its mean
  bool all_equal = false;         ///< every number equals the first
};

/// Encodes a tile of at least one number.
/// `codes`: one scale_code per number of a row. `table`: the encoding tables of all contexts.
/// `plane`: room for the raw bytes of every number, or null if the coding has no plane.
/// `words`: the room for words. Nothing outside the two is written, whatever the numbers.
template <class Lanes, class Coding, class Mean>
SKV_INLINE encoded_tile<Lanes> encode_tile(tile_shape shape,
                                           row_view<const pattern_of<Coding::kTarget>> numbers,
                                           const Mean& mean, const std::byte* codes,
                                           const std::uint32_t* table, std::byte* plane,
                                           word_writer words) {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;
  using number_type = pattern_of<Coding::kTarget>;
  constexpr std::uint32_t kParts = Lanes::kParts;

  rans_encoder<Lanes> coder{words, table};
  encoded_tile<Lanes> e;
  for (u32& s : e.states) s = u32(kStartState);
  tile_hash<Lanes> data_hash, prediction_hash;
  std::uint32_t power = 1;
  u32 unlike_mean(0), unlike_first(0);
  const u32 first_number(
      Lanes::sum(Lanes::template load<number_type>(numbers.at(0, 0), 0, 1)));
  mask full[kParts], partial[kParts];  // the lanes of a full step, and of a row's last one
SKV_UNROLL
  for (std::uint32_t part = 0; part < kParts; ++part) {
    full[part] = Lanes::index(part) < u32(kLanes);
    partial[part] = Lanes::index(part) < u32(shape.width % kLanes);
  }

  for (std::uint32_t token = shape.tokens; token-- > 0;) {
    for (std::uint32_t step = steps_per_token(shape.width); step-- > 0;) {
      const std::uint32_t first = step * kLanes;
      const bool is_full = shape.width - first >= kLanes;
      const std::uint32_t count = is_full ? kLanes : shape.width - first;
      push_plan<Lanes> plans[kParts];
      typename rans_encoder<Lanes>::entry entries[kParts];
      bool any_second = false;

SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        const mask active = is_full ? full[part] : partial[part];
        const u32 number =
            Lanes::template load<number_type>(numbers.at(token, first), part, count);
        const u32 mu = mean.template load<Lanes>(token, first, part, count);
        const u32 code = Lanes::template load<scale_code>(codes + first, part, count);
        data_hash.prepend(part, number, power);
        if constexpr (Mean::kOutside) prediction_hash.prepend(part, mu, power);
        unlike_mean = unlike_mean | (number ^ mu);
        unlike_first = unlike_first | Lanes::zero_unless(active, number ^ first_number);
        if constexpr (Coding::kPlane)
          Lanes::template store<std::uint8_t>(
              plane + std::size_t{token} * shape.width + first, part, count,
              Coding::template plane_byte<Lanes>(number));

        auto p = Coding::template plan<Lanes>(code, mu, number);
        auto entry = coder.lookup(p.context, p.token);
        const mask unknown = entry.frequency() == u32(0);
        p.second = (p.second | unknown) & active;
        p.second_bits = p.second_width = u32(0);
        if (Lanes::any(p.second)) {
          any_second = true;
          Coding::template plan_second<Lanes>(p, number, unknown);
          entry = coder.lookup(p.context, p.token);
        }
        plans[part] = p;
        entries[part] = entry;
      }
      power *= kHashBase;

      if (coder.in_tail) {
        bool is_filled = e.tail_steps == kMaxTailSteps;
SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part)
          is_filled |= coder.fills(e.states[part], entries[part],
                              plans[part].width + plans[part].second_width,
                              is_full ? full[part] : partial[part]);
        e.tail_steps += !is_filled;
        if (is_filled) {
          coder.in_tail = false;
          for (u32& s : e.states) s = s + kStateFloor;
        }
      }
      if (any_second)
SKV_UNROLL
        for (std::uint32_t i = 0; i < kParts; ++i) {
          const std::uint32_t part = kParts - 1 - i;
          coder.bits(e.states[part], plans[part].second_bits, plans[part].second_width,
                     plans[part].second);
        }
SKV_UNROLL
      for (std::uint32_t i = 0; i < kParts; ++i) {
        const std::uint32_t part = kParts - 1 - i;
        coder.token(e.states[part], entries[part], plans[part].bits, plans[part].width,
                    is_full ? full[part] : partial[part]);
      }
    }
  }
  if (coder.in_tail)
    for (u32& s : e.states) s = s + kStateFloor;

  e.words = coder.words;
  e.data_hash = data_hash.finish(shape);
  e.prediction_hash = Mean::kOutside ? prediction_hash.finish(shape) : 0;
  e.all_predicted = !Lanes::any(unlike_mean != u32(0));
  e.all_equal = !Lanes::any(unlike_first != u32(0));
  return e;
}

}  // namespace skv
