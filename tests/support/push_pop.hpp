// One number through a coding, with plain integers: pushed as encode_tile does it, then popped.
#pragma once

#include <skv/tile/exponent.hpp>
#include <skv/tile/residual.hpp>

#include "support/frequencies.hpp"
#include "support/plain_lanes.hpp"

namespace skv::test {

/// The plan of a number, before the tables are asked about its token.
template <class Coding>
struct pushes : Coding::template plan<plain_lanes> {
  std::uint32_t context = 0;  ///< not scaled
  /// The token in the terms of its alphabet.
  std::uint32_t alphabet_token() const {
    const std::uint32_t own = this->token - encode_entry::kFirst;
    return this->width < kMaxDigits ? std::min(own, Coding::tokens::kEscape)
                                    : Coding::tokens::kEscape;
  }
  /// All raw bits, and the number itself if it is an escape.
  std::uint32_t raw_bits() const {
    return alphabet_token() == Coding::tokens::kEscape ? kEscapeBits + Coding::kEscapeWidth
                                                       : this->width;
  }
};

template <class Coding>
pushes<Coding> whole_plan(std::uint32_t code, std::uint32_t mean, std::uint32_t number) {
  const auto grid = Coding::template make_grid<plain_lanes, 0>(
      Coding::template to_channel<plain_lanes, 0>(code), mean, 0u);
  return {Coding::template make_plan<plain_lanes>(grid, number), grid.context};
}

enum class fault {
  none,
  context_range,  ///< no such table
  token_range,
  width_range,  ///< more bits than one refill brings back
  stray_bits,   ///< bits above their width
  wrong_number,
  wrong_state,  ///< the state after popping is not the one before pushing
  wrong_words,
};

template <class Coding>
std::uint32_t plane_byte_of(std::uint32_t number) {
  if constexpr (Coding::kPlane) return Coding::template plane_byte<plain_lanes>(number);
  return 0;
}

/// Pops one number, as decode_tile does it.
template <class Coding>
std::uint32_t pop(rans_decoder<plain_lanes>& decoder, std::uint32_t& state, std::uint32_t code,
                  std::uint32_t mean, std::uint32_t plane_byte) {
  const auto grid = Coding::template make_grid<plain_lanes, kDecodeTableShift>(
      Coding::template to_channel<plain_lanes, kDecodeTableShift>(code), mean, plane_byte);
  const std::uint32_t entry = decoder.lookup(state, grid.context);
  const std::uint32_t number = Coding::template pop<plain_lanes>(state, entry, grid);
  decoder.refill(state, decoder.is_low<false>(state));
  return decoder.append_escape(0, entry) != 0
             ? decoder.escaped(1) & ((1u << Coding::kTarget.bits()) - 1)
             : number;
}

/// Pushes a number onto `state` (at least kStateFloor) and pops it again.
template <class Coding>
fault push_and_pop(const table_pair& tables, std::uint32_t state, std::uint32_t code,
                   std::uint32_t mean, std::uint32_t number) {
  std::byte room[8] = {};
  rans_encoder<plain_lanes> encoder{word_writer{room, room + sizeof room}, tables.encode.data()};
  auto p = whole_plan<Coding>(code, mean, number);
  if (p.context >= Coding::kContexts) return fault::context_range;
  if (p.token > encode_entry::kAbove) return fault::token_range;

  std::uint32_t pushed = 0;
  bool stray = false;
  const std::uint32_t place = encoder.place(p.context << kEncodeTableShift, p.token);
  const auto push = [&](std::uint32_t at) {
    const auto entry = encoder.lookup(at);
    const std::uint32_t bound = encoder.bound(entry, p.width);
    if (encoder.is_impossible(bound)) return false;
    pushed = state;
    encoder.spill(pushed, encoder.is_high(pushed, bound));
    const std::uint32_t with_bits = Coding::template push_bits<plain_lanes>(pushed, p);
    stray |= with_bits >> p.width != pushed;
    pushed = encoder.token(with_bits, entry);
    return pushed >= kStateFloor;
  };
  if (!push(place)) {
    encoder.words = word_writer{room, room + sizeof room};
    encoder.escape(number, 1);
    p.width = Coding::kEscapeWidth;
    if (!push(encoder.escape_of(place))) return fault::wrong_state;
  }
  if (p.width >= kMaxDigits) return fault::width_range;
  if (stray) return fault::stray_bits;

  rans_decoder<plain_lanes> decoder{word_reader{encoder.words.next, room + sizeof room},
                                    tables.decode.data()};
  const std::uint32_t back =
      pop<Coding>(decoder, pushed, code, mean, plane_byte_of<Coding>(number));
  if (back != number) return fault::wrong_number;
  if (pushed != state) return fault::wrong_state;
  if (encoder.words.overrun || decoder.words.overrun || decoder.words.left() != 0)
    return fault::wrong_words;
  return fault::none;
}

/// States at and around every bound of the coder, and any.
inline std::uint32_t any_state(random_source& random) {
  switch (random.below(4)) {
    case 0: return (kStateFloor << random.below(16)) + random.below(3);
    case 1: return 0u - 1 - (random.bits() >> (16 + random.below(16)));
    default: return (1u << (16 + random.below(16))) | (random.bits() >> (16 - random.below(16)));
  }
}

/// Frequencies of every context differ: even ones have every token, in odd ones many are escapes.
template <class Coding>
table_pair varied_tables() {
  random_source random(7);
  return make_tables<typename Coding::tokens>(Coding::kContexts, [&](std::uint32_t context) {
    return context % 2 == 0 ? equal_frequencies(Coding::tokens::kCount)
                            : random_frequencies(Coding::tokens::kCount, random);
  });
}

}  // namespace skv::test
