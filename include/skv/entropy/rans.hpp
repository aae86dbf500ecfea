// Interleaved rANS: one 32-bit state per lane, 16-bit words shared by all lanes.
// docs/format.md, section "Entropy coder"; docs/rans.md derives the bounds.
//
// A state x in [2^16, 2^32) is a stack of digits. Encoding a token of frequency f pushes a digit of
// base 2^9 / f; raw bits push as they are. Before a push that would reach 2^32 the low word of the
// state moves to the stream; after a pop that fell below 2^16 it comes back.
//
// The last steps of a tile (the first that an encoder sees) run without any word: states start at
// 1 rather than 2^16, and the sixteen bits that would be lost per lane hold tokens. When one lane
// is full, all lanes get 2^16 added, which the decoder subtracts again: from there on the bounds
// above hold.
#pragma once

#include <skv/entropy/table.hpp>
#include <skv/lanes/lanes.hpp>

namespace skv {

inline constexpr std::uint32_t kStateFloor = 1u << 16;
inline constexpr std::uint32_t kStartState = 1;

/// What all lanes of a decoder share; the states are the caller's, part by part.
template <class Lanes>
struct rans_decoder {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;

  typename Lanes::reader words;
  typename Lanes::table table;   ///< kSlots entries per context
  u32 floor = u32(kStateFloor);  ///< states below need a word

  /// From here on no state needs a word.
  SKV_INLINE void enter_tail() { floor = u32(0); }

  /// The decode_entry of the token on top of a state. `context` is scaled by 2^kDecodeTableShift.
  SKV_INLINE u32 lookup(u32 state, u32 context) const {
    return Lanes::lookup(table, Lanes::or_masked(context, state, kSlots - 1));
  }
  /// Pops the token.
  static SKV_INLINE void token(u32& state, u32 entry) {
    using namespace decode_entry;
    static_assert(kFrequencyShift == kProbabilityBits);
    // offset + frequency * kSlots, less the latter again, in the quotient
    const u32 offset = entry & kPopMask;
    state = (offset >> kFrequencyShift) * ((state >> kProbabilityBits) - kSlots) + offset;
  }
  /// The token; of the escape, a number beyond 4096.
  static SKV_INLINE u32 token_of(u32 entry) { return entry >> decode_entry::kTokenShift; }
  /// `escapes`, followed by a bit: is the token the escape?
  static SKV_INLINE u32 append_escape(u32 escapes, u32 entry) {
    static_assert(decode_entry::kEscapeShift == 31);
    return Lanes::append_top(escapes, entry, u32(1));
  }

  /// Do lanes need a word? `kBeforeTail`: the tail has not been entered.
  template <bool kBeforeTail>
  SKV_INLINE mask is_low(u32 state) const {
    return Lanes::below(state, kBeforeTail ? u32(kStateFloor) : floor);
  }
  /// Takes a word in the lanes that need one.
  SKV_INLINE void refill(u32& state, mask low) { state = Lanes::take(low, words, state); }
  /// The numbers of lanes with an escape, a word each.
  SKV_INLINE u32 escaped(mask escapes) { return Lanes::take(escapes, words, u32(0)); }
};

/// What all lanes of an encoder share; the states are the caller's, part by part. Within a step,
/// parts push in descending order.
template <class Lanes>
struct rans_encoder {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;

  typename Lanes::writer words;
  typename Lanes::table table;  ///< encode_entry::kWords words for each of kMaxTokens per context

  struct entry {
    u32 multiplier, packed;
    /// kSlots - frequency.
    SKV_INLINE u32 complement() const { return packed & encode_entry::kComplementMask; }
  };

  /// Where the entry of a context (scaled by 2^kEncodeTableShift) and of what kFirst is the lowest
  /// token of lies.
  static SKV_INLINE u32 place(u32 context, u32 token) { return context + (token << 1); }
  /// The place of the same context's escape.
  static SKV_INLINE u32 escape_of(u32 place) {
    return place | (encode_entry::kEscapeAt * encode_entry::kWords);
  }
  SKV_INLINE entry lookup(u32 place) const {
    static_assert(kMaxTokens * encode_entry::kWords == 1u << kEncodeTableShift &&
                  encode_entry::kWords == 1u << 1);
    entry e;
    Lanes::lookup_pair(table, place, e.multiplier, e.packed);
    return e;
  }

  /// The lowest state onto which `width` raw bits and the token cannot be pushed without reaching 2^32:
  /// frequency * 2^(23 - width), 0 for a width above 23. Below kStateFloor the two do not go together
  /// at all: the token is too rare for so many bits, or has no frequency.
  static SKV_INLINE u32 bound(const entry& e, u32 width) {
    return Lanes::shift_left(u32(kSlots) - e.complement(), u32(32 - kProbabilityBits) - width);
  }
  static SKV_INLINE mask is_impossible(u32 bound) { return Lanes::below(bound, u32(kStateFloor)); }
  static SKV_INLINE mask is_high(u32 state, u32 bound) { return !Lanes::below(state, bound); }
  /// In the tail: would the push fill a lane? Where this is false, the lane is not high either.
  static SKV_INLINE mask fills(u32 state, u32 bound) { return is_high(state, bound >> 1); }

  /// Moves the low word of the marked lanes to the stream.
  SKV_INLINE void spill(u32& state, mask high) {
    Lanes::put(high, words, state);
    state = Lanes::select(high, state >> 16, state);
  }

  /// Writes the numbers of lanes with an escape.
  SKV_INLINE void escape(u32 numbers, mask escapes) { Lanes::put(escapes, words, numbers); }

  /// The state after pushing the token onto `x`, which has its raw bits; before them it was not
  /// high.
  static SKV_INLINE u32 token(u32 x, const entry& e) {
    using namespace encode_entry;
    const u32 quotient =
        Lanes::shift_right(Lanes::multiply_high(x + (e.packed >> kIncrementShift), e.multiplier),
                           e.packed >> kDivideShift);
    // x - quotient * f + quotient * kSlots + start
    return x + quotient * e.complement() + ((e.packed >> kStartShift) & kStartMask);
  }
};

}  // namespace skv
