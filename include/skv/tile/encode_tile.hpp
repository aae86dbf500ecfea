// Encoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/predict/mean.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/hash.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// What encode_tile leaves behind beside the words.
template <class Lanes>
struct encoded_tile {
  typename Lanes::u32 states;
  word_writer words;              ///< from `next` on: the words, if not `overrun`
  std::uint32_t tail_steps = 0;
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
  bool all_predicted = false;     ///< every number equals its mean
  bool all_equal = false;         ///< every number equals the first
};

/// Encodes a tile of at least one number.
/// `codes`: one scale_code per number of a row. `table`: the encoding tables of all contexts.
/// `plane`: room for plane_bytes(...), or null if the coding has none; padding is not written.
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

  rans_encoder<Lanes> coder{u32(kStartState), words, table, true};
  tile_hash<Lanes> data_hash, prediction_hash;
  std::uint32_t power = 1, tail_steps = 0;
  u32 unlike_mean(0), unlike_first(0);
  const u32 first_number =
      u32(Lanes::sum(Lanes::template load<number_type>(numbers.at(0, 0), 1)));  // lane 0 in all lanes

  for (std::uint32_t token = shape.tokens; token-- > 0;) {
    for (std::uint32_t step = steps_per_token(shape.width); step-- > 0;) {
      const std::uint32_t first = step * kLanes;
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      const mask active = Lanes::index() < u32(count);

      const u32 number = Lanes::template load<number_type>(numbers.at(token, first), count);
      const u32 mu = mean.template load<Lanes>(token, first, count);
      const u32 code = Lanes::template load<scale_code>(codes + first, count);
      data_hash.prepend(number, power);
      if constexpr (Mean::kOutside) prediction_hash.prepend(mu, power);
      power *= kHashBase;
      unlike_mean = unlike_mean | (number ^ mu);
      unlike_first = unlike_first | Lanes::select(active, number ^ first_number, u32(0));

      push_plan<Lanes> p = Coding::template plan<Lanes>(code, mu, number);
      auto entry = coder.lookup(p.context, p.token);
      // Tokens without a frequency become escapes, and escapes bring their own raw bits.
      const mask escapes = (p.token == u32(Coding::tokens::kEscape)) | (entry.frequency() == u32(0));
      if (Lanes::any(escapes)) {
        p.token = Lanes::select(escapes, u32(Coding::tokens::kEscape), p.token);
        entry = coder.lookup(p.context, p.token);
        p.bits = Lanes::select(escapes, u32(0), p.bits);
        p.width = Lanes::select(escapes, u32(0), p.width);
        p.second_bits = Lanes::select(escapes, p.escape_bits, p.second_bits);
        p.second_width = Lanes::select(escapes, u32(Coding::kEscapeWidth), p.second_width);
      }
      if (coder.in_tail) {
        if (tail_steps == kMaxTailSteps ||
            coder.fills(entry, p.width + p.second_width, active)) {
          coder.leave_tail();
        } else {
          ++tail_steps;
        }
      }
      const mask second = (p.second_width != u32(0)) & active;
      if (Lanes::any(second))
        coder.bits(Lanes::select(active, p.second_bits, u32(0)),
                   Lanes::select(active, p.second_width, u32(0)), second);
      coder.token(entry, p.bits, p.width, active);
      if constexpr (Coding::kPlane)
        Lanes::template store<std::uint8_t>(plane + std::size_t{token} * shape.width + first, count,
                                            Coding::template plane_byte<Lanes>(number));
    }
  }
  if (coder.in_tail) coder.leave_tail();

  encoded_tile<Lanes> e;
  e.states = coder.state;
  e.words = coder.words;
  e.tail_steps = tail_steps;
  e.data_hash = data_hash.finish(shape.tokens, shape.width);
  e.prediction_hash =
      Mean::kOutside ? prediction_hash.finish(shape.tokens, shape.width) : 0;
  e.all_predicted = !Lanes::any(unlike_mean != u32(0));
  e.all_equal = !Lanes::any(unlike_first != u32(0));
  return e;
}

}  // namespace skv
