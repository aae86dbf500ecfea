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

  word_reader words;
  const std::uint32_t* table;  ///< kSlots entries per context
  bool in_tail = false;

  /// Pops a token and returns its decode_entry.
  SKV_INLINE u32 token(u32& state, u32 context) const {
    using namespace decode_entry;
    const u32 slot = state & (kSlots - 1);
    const u32 entry = Lanes::lookup(table, (context << kProbabilityBits) + slot);
    const u32 quotient = state >> kProbabilityBits;
    state = ((entry & kFrequencyMask) + 1) * quotient + ((entry >> kOffsetShift) & kOffsetMask);
    return entry;
  }

  /// Pops `width` raw bits (below 32).
  static SKV_INLINE u32 bits(u32& state, u32 width) {
    const u32 b = state & ((u32(1) << width) - 1);
    state = state >> width;
    return b;
  }

  /// Takes a word in every marked lane that needs one.
  SKV_INLINE void refill(u32& state, mask marked) {
    if (in_tail) return;
    const mask low = ((state >> 16) == u32(0)) & marked;
    state = Lanes::select(low, (state << 16) | Lanes::take(low, words), state);
  }
};

/// What all lanes of an encoder share; the states are the caller's, part by part. Within a step,
/// parts push in descending order.
template <class Lanes>
struct rans_encoder {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;

  word_writer words;
  const std::uint32_t* table;  ///< encode_entry::kWords words for each of kMaxTokens per context
  bool in_tail = true;

  struct entry {
    u32 multiplier, packed;
    SKV_INLINE u32 frequency() const { return packed & encode_entry::kFrequencyMask; }
  };

  SKV_INLINE entry lookup(u32 context, u32 token) const {
    const u32 at = ((context << 5) + token) << 1;
    static_assert(kMaxTokens == 1u << 5 && encode_entry::kWords == 1u << 1);
    entry e;
    Lanes::lookup_pair(table, at, e.multiplier, e.packed);
    return e;
  }

  /// In the tail: would pushing `width` raw bits (at most 22) and then the token fill a lane?
  static SKV_INLINE bool fills(u32 state, const entry& e, u32 width, mask marked) {
    return Lanes::any((state >> (u32(22) - width) >= e.frequency()) & marked);
  }

  /// Pushes `width` (at most 16) raw bits in marked lanes; others must have width and bits 0.
  SKV_INLINE void bits(u32& state, u32 value, u32 width, mask marked) {
    if (!in_tail) spill(state, (state >> (u32(31) - width) >= u32(2)) & marked);
    state = (state << width) | value;
  }

  /// Pushes `width` (at most kBitsWithToken) raw bits, then the token.
  SKV_INLINE void token(u32& state, const entry& e, u32 value, u32 width, mask marked) {
    using namespace encode_entry;
    const u32 f = e.frequency();
    if (!in_tail)
      spill(state, (state >> (u32(32 - kProbabilityBits) - width) >= f) & marked);
    const u32 x = (state << width) | value;
    const u32 quotient =
        Lanes::multiply_high(x + (e.packed >> kIncrementShift), e.multiplier) >>
        ((e.packed >> kDivideShift) & kDivideMask);
    // x - quotient * f + quotient * kSlots + start
    const u32 pushed = x + quotient * (u32(kSlots) - f) + ((e.packed >> kStartShift) & kStartMask);
    state = Lanes::select(marked, pushed, state);
  }

 private:
  SKV_INLINE void spill(u32& state, mask full) {
    Lanes::put(full, words, state);
    state = Lanes::select(full, state >> 16, state);
  }
};

}  // namespace skv
