// Frozen integer tables: token frequencies of every context, and the two forms the coder looks
// them up in. docs/format.md, section "Tables".
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <skv/entropy/token.hpp>
#include <span>

namespace skv {

/// Frequencies of a context sum to 2^kProbabilityBits; docs/decisions/0002 says why 9.
inline constexpr std::uint32_t kProbabilityBits = 9;
inline constexpr std::uint32_t kSlots = 1u << kProbabilityBits;

/// Raw bits that can leave the state with any token and still be refilled by one word. With a token of
/// frequency f it is log2 f more.
inline constexpr std::uint32_t kBitsWithToken = 16 - kProbabilityBits;

/// What follows an escape: the number, as a word.
inline constexpr std::uint32_t kEscapeBits = 16;

/// The table of a context has 2^kDecodeTableShift words, respectively 2^kEncodeTableShift.
inline constexpr std::uint32_t kDecodeTableShift = kProbabilityBits, kEncodeTableShift = 6;

/// A slot of the decoding table, everything about its token in one word, from the lowest bit on:
/// slot - start (9 bits), frequency (10), token (12), is it the escape (1).
namespace decode_entry {
inline constexpr std::uint32_t kFrequencyShift = 9, kTokenShift = 19, kEscapeShift = 31;
/// Both lowest fields.
inline constexpr std::uint32_t kPopMask = (1u << kTokenShift) - 1;
}  // namespace decode_entry

/// An entry of the encoding table, two words: the multiplier of the division by the frequency;
/// and from the lowest bit on kSlots - frequency (10 bits), shift (5), start (9), in the highest the
/// increment.
namespace encode_entry {
inline constexpr std::uint32_t kWords = 2;
inline constexpr std::uint32_t kDivideShift = 10, kStartShift = 15, kIncrementShift = 31;
inline constexpr std::uint32_t kComplementMask = 0x3ff, kStartMask = 0x1ff;
/// Which of a context's entries is a token's, and the escape's. What lies below or above all tokens
/// has entries without a frequency, 0 and kAbove.
inline constexpr std::uint32_t kFirst = 1, kAbove = kMaxTokens - 2, kEscapeAt = kMaxTokens - 1;
}  // namespace encode_entry

/// floor(x / divisor) = ((x + increment) * multiplier) >> 32 >> shift, for the states that an
/// encoder divides: x < divisor << (32 - kProbabilityBits), divisor at most 2^kProbabilityBits.
/// The rounded-down multiplier with the increment is exact unless the divisor is large and its
/// remainder unlucky; there the rounded-up one without it is (A. D. Robison, "N-bit unsigned
/// division via N-bit multiply-add", ARITH 2005). With divisor 2^kProbabilityBits and the largest
/// state the increment wraps; there the coder multiplies the quotient by zero.
struct divider {
  std::uint32_t multiplier = 0, shift = 0, increment = 0;

  static constexpr divider of(std::uint32_t divisor) {
    const auto shift = static_cast<std::uint32_t>(std::bit_width(divisor)) - 1;
    const std::uint64_t power = std::uint64_t{1} << (32 + shift);
    const std::uint64_t bound = std::uint64_t{divisor} << (32 - kProbabilityBits);
    // A power of two: its rounded-down multiplier would not fit; one less serves as well.
    const std::uint64_t down = (power - 1) / divisor;
    const std::uint64_t lost = power - down * divisor;
    // Rounded down: exact if lost * (x + 1) <= power for every x below the bound.
    if (lost * bound <= power) return {static_cast<std::uint32_t>(down), shift, 1};
    return {static_cast<std::uint32_t>(down + 1), shift, 0};
  }
};

/// Expands the frequencies of one context (they sum to kSlots) into its kSlots decoding entries.
/// `Tokens` names the alphabet.
template <class Tokens>
constexpr void fill_decode_table(std::span<const std::uint16_t> frequencies,
                                 std::span<std::uint32_t> entries) {
  using namespace decode_entry;
  std::uint32_t slot = 0;
  for (std::uint32_t token = 0; token < Tokens::kCount; ++token) {
    const std::uint32_t escape = token == Tokens::kEscape ? 1 : 0;
    const std::uint32_t of_token = std::uint32_t{frequencies[token]} << kFrequencyShift |
                                   token << kTokenShift | escape << kEscapeShift;
    for (std::uint32_t i = 0; i < frequencies[token]; ++i) entries[slot++] = of_token | i;
  }
}

/// Expands the frequencies of one context into kMaxTokens entries of encode_entry::kWords words.
template <class Tokens>
constexpr void fill_encode_table(std::span<const std::uint16_t> frequencies,
                                 std::span<std::uint32_t> words) {
  using namespace encode_entry;
  static_assert(Tokens::kEscape == Tokens::kCount - 1 && kFirst + Tokens::kEscape == kAbove);
  for (std::uint32_t at = 0; at < kMaxTokens; ++at) {
    words[2 * at] = 0;
    words[2 * at + 1] = kSlots;
  }
  std::uint32_t start = 0;
  for (std::uint32_t token = 0; token < Tokens::kCount; ++token) {
    const std::uint32_t f = frequencies[token];
    if (f == 0) continue;
    const divider d = divider::of(f);
    const std::uint32_t at = token == Tokens::kEscape ? kEscapeAt : kFirst + token;
    words[2 * at] = d.multiplier;
    words[2 * at + 1] = (kSlots - f) | start << kStartShift | d.shift << kDivideShift |
                        d.increment << kIncrementShift;
    start += f;
  }
}

}  // namespace skv
