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
  const std::uint32_t* table;    ///< kSlots entries per context
  u32 floor = u32(kStateFloor);  ///< states below need a word

  /// From here on no state needs a word.
  SKV_INLINE void enter_tail() { floor = u32(0); }

  /// The decode_entry of the token on top of a state. `context` is scaled by 2^kDecodeTableShift.
  SKV_INLINE u32 lookup(u32 state, u32 context) const {
    return Lanes::lookup(table, context | (state & (kSlots - 1)));
  }
  /// Pops the token.
  static SKV_INLINE void token(u32& state, u32 entry) {
    using namespace decode_entry;
    static_assert(kFrequencyShift - kOffsetShift == kProbabilityBits);
    // offset + frequency * kSlots, less the latter again, in the quotient
    const u32 offset = entry >> kOffsetShift;
    state = (entry >> kFrequencyShift) * ((state >> kProbabilityBits) - kSlots) + offset;
  }
  /// The base value of a token.
  static SKV_INLINE u32 base(u32 entry) { return Lanes::sign_extend_byte(entry); }
  /// How many raw bits follow it, in the lowest five bits.
  static SKV_INLINE u32 raw_bits(u32 entry) { return entry >> decode_entry::kBitsShift; }
  static SKV_INLINE mask is_escape(u32 raw_bits) {
    return (raw_bits & 31) == u32(decode_entry::kEscapeBits);
  }

  /// Pops `width` raw bits (below 32).
  static SKV_INLINE u32 bits(u32& state, u32 width) {
    const u32 above = u32(~0u) << width;
    const u32 b = state & (above ^ ~0u);
    state = state >> width;
    return b;
  }

  /// Do lanes need a word?
  SKV_INLINE mask is_low(u32 state) const { return Lanes::below(state, floor); }
  /// Takes a word in the lanes that need one.
  SKV_INLINE void refill(u32& state, mask low) { state = Lanes::take(low, words, state); }
};

/// What all lanes of an encoder share; the states are the caller's, part by part. Within a step,
/// parts push in descending order.
template <class Lanes>
struct rans_encoder {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;

  typename Lanes::writer words;
  const std::uint32_t* table;  ///< encode_entry::kWords words for each of kMaxTokens per context

  struct entry {
    u32 multiplier, packed;
    SKV_INLINE u32 frequency() const { return packed & encode_entry::kFrequencyMask; }
    /// Has the token no frequency in this context?
    SKV_INLINE mask is_unknown() const { return frequency() == u32(0); }
  };

  /// `context` is scaled by 2^kEncodeTableShift.
  SKV_INLINE entry lookup(u32 context, u32 token) const {
    const u32 at = context + (token << 1);
    static_assert(kMaxTokens * encode_entry::kWords == 1u << kEncodeTableShift &&
                  encode_entry::kWords == 1u << 1);
    entry e;
    Lanes::lookup_pair(table, at, e.multiplier, e.packed);
    return e;
  }

  /// In the tail: would pushing `width` raw bits (at most 22) and then the token fill a lane? Where
  /// this is false, the lane is not high for any of the pushes either.
  static SKV_INLINE mask fills(u32 state, const entry& e, u32 width) {
    return state >> (u32(22) - width) >= e.frequency();
  }

  /// Moves the low word of the marked lanes to the stream.
  SKV_INLINE void spill(u32& state, mask high) {
    Lanes::put(high, words, state);
    state = Lanes::select(high, state >> 16, state);
  }

  /// Pushes `width` (at most 16) raw bits in marked lanes; others must have width and bits 0.
  SKV_INLINE void bits(u32& state, u32 value, u32 width, mask marked) {
    spill(state, (state >> (u32(31) - width) >= u32(2)) & marked);
    state = (state << width) | value;
  }

  /// Would pushing `width` (at most kBitsWithToken) raw bits and the token reach 2^32?
  static SKV_INLINE mask is_high(u32 state, const entry& e, u32 width) {
    return state >> (u32(32 - kProbabilityBits) - width) >= e.frequency();
  }

  /// The state after pushing the token onto `x`, which has its raw bits; before them it was not
  /// high.
  static SKV_INLINE u32 token(u32 x, const entry& e) {
    using namespace encode_entry;
    const u32 quotient =
        Lanes::shift_right(Lanes::multiply_high(x + (e.packed >> kIncrementShift), e.multiplier),
                           e.packed >> kDivideShift);
    // x - quotient * f + quotient * kSlots + start
    return x + quotient * (u32(kSlots) - e.frequency()) + ((e.packed >> kStartShift) & kStartMask);
  }
};

}  // namespace skv
