// One number through a coding, with plain integers: pushed as encode_tile does it, then popped.
#pragma once

#include <skv/tile/exponent.hpp>
#include <skv/tile/residual.hpp>

#include "support/frequencies.hpp"
#include "support/plain_lanes.hpp"

namespace skv::test {

/// All that encode_tile pushes for a number.
template <class Coding>
struct pushes : Coding::template plan<plain_lanes> {
  std::uint32_t context = 0;  ///< not scaled
  /// The token in the terms of its alphabet.
  std::uint32_t alphabet_token() const { return std::min(this->token, Coding::tokens::kEscape); }
  std::uint32_t second_bits = 0, second_width = 0;
};

/// The plan of a number, as encode_tile makes it; `unknown`: its token has no frequency.
template <class Coding>
pushes<Coding> whole_plan(std::uint32_t code, std::uint32_t mean, std::uint32_t number,
                          bool unknown = false) {
  const auto grid = Coding::template make_grid<plain_lanes, 0>(
      Coding::template to_channel<plain_lanes, 0>(code), mean, 0u);
  pushes<Coding> p{Coding::template make_plan<plain_lanes>(grid, number), grid.context};
  unknown |= p.token >= Coding::tokens::kEscape;  // the tables have none
  p.second |= unknown;
  if (p.second) {
    const auto second = Coding::template plan_second<plain_lanes>(p, grid, number, unknown);
    p.second_bits = second.bits;
    p.second_width = second.width;
  }
  return p;
}
template <class Coding>
pushes<Coding> whole_plan(const rans_encoder<plain_lanes>& coder, std::uint32_t code,
                          std::uint32_t mean, std::uint32_t number) {
  const auto grid = Coding::template make_grid<plain_lanes, kEncodeTableShift>(
      Coding::template to_channel<plain_lanes, kEncodeTableShift>(code), mean, 0u);
  const auto p = Coding::template make_plan<plain_lanes>(grid, number);
  return whole_plan<Coding>(code, mean, number, coder.lookup(grid.context, p.token).is_unknown());
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
  const active_lanes<plain_lanes, true> active(0, kLanes);
  const auto grid = Coding::template make_grid<plain_lanes, kDecodeTableShift>(
      Coding::template to_channel<plain_lanes, kDecodeTableShift>(code), mean, plane_byte);
  const std::uint32_t entry = decoder.lookup(state, grid.context);
  const auto popped = Coding::template pop_token<plain_lanes>(state, entry, grid, active);
  if (!popped.second) {
    const std::uint32_t number = Coding::template pop_bits<plain_lanes, false>(state, grid, popped);
    decoder.refill(state, decoder.is_low(state));
    return number;
  }
  const std::uint32_t number = Coding::template pop_bits<plain_lanes, true>(state, grid, popped);
  decoder.refill(state, decoder.is_low(state));
  return Coding::template pop_second<plain_lanes>(decoder, state, grid, popped, number);
}

/// Pushes a number onto `state` (at least kStateFloor) and pops it again.
template <class Coding>
fault push_and_pop(const table_pair& tables, std::uint32_t state, std::uint32_t code,
                   std::uint32_t mean, std::uint32_t number) {
  std::byte room[8] = {};
  rans_encoder<plain_lanes> encoder{word_writer{room, room + sizeof room}, tables.encode.data()};
  auto p = whole_plan<Coding>(code, mean, number);
  if (p.context >= Coding::kContexts) return fault::context_range;
  if (p.token >= Coding::tokens::kEscape && p.token != encode_entry::kEscapeAt)
    return fault::token_range;
  p = whole_plan<Coding>(encoder, code, mean, number);
  if (p.width > kBitsWithToken || p.second_width > 16 || p.width + p.second_width > 22)
    return fault::width_range;
  if (p.second_bits >> p.second_width != 0) return fault::stray_bits;

  std::uint32_t pushed = state;
  encoder.bits(pushed, p.second_bits, p.second_width, p.second);
  const auto entry = encoder.lookup(p.context << kEncodeTableShift, p.token);
  encoder.spill(pushed, encoder.is_high(pushed, entry, p.width));
  const std::uint32_t with_bits = Coding::template push_bits<plain_lanes>(pushed, p, number);
  if (with_bits >> p.width != pushed) return fault::stray_bits;
  pushed = encoder.token(with_bits, entry);
  if (pushed < kStateFloor) return fault::wrong_state;

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
  return make_tables<typename Coding::tokens>(
      Coding::kContexts, Coding::kExtraBits, [&](std::uint32_t context) {
        return context % 2 == 0 ? equal_frequencies(Coding::tokens::kCount)
                                : random_frequencies(Coding::tokens::kCount, random);
      });
}

}  // namespace skv::test
