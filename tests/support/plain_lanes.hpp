// Lanes one at a time, as plain integers: the codec's arithmetic at the speed that exhaustive loops
// need.
#pragma once

#include <skv/lanes/lanes.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

namespace skv::test {

struct plain_lanes {
  using reader = word_reader;
  using writer = word_writer;
  using table = const std::uint32_t*;
  static constexpr std::uint32_t kWidth = 1, kParts = kLanes;
  using u32 = std::uint32_t;
  using mask = int;  ///< 0 or 1; not bool, for & of two of them is an int

  static u32 index(std::uint32_t part) { return part; }
  static u32 min(u32 a, u32 b) { return std::min(a, b); }
  static u32 max(u32 a, u32 b) { return std::max(a, b); }
  static u32 select(mask m, u32 a, u32 b) { return m ? a : b; }
  static u32 zero_unless(mask m, u32 a) { return m ? a : 0; }
  static u32 signed_shift(u32 a, int count) {
    return static_cast<u32>(static_cast<std::int32_t>(a) >> count);
  }
  static u32 shift_out(u32 a, u32 n) { return n < 32 ? a >> n : 0; }
  static u32 shift_left(u32 a, u32 n) { return n < 32 ? a << n : 0; }
  static u32 shift_right(u32 a, u32 n) { return a >> (n & 31); }
  static u32 reverse_bits(u32 a) {
    u32 width = 16, low = 0xffff;
    for (; width != 0; width /= 2, low ^= low << width) a = (a >> width & low) | (a & low) << width;
    return a;
  }
  static u32 append_top(u32 a, u32 b, u32 n) { return a << n | b >> 1 >> (31 - n); }
  static u32 or_masked(u32 a, u32 b, u32 mask) { return a | (b & mask); }
  static u32 keep(u32 a) { return a; }
  template <std::uint32_t Bits>
  static u32 sign_mask(u32 a) {
    return signed_shift(a << (32 - Bits), 31);
  }
  static u32 clip(u32 a, u32 limit) { return a >> 31 != 0 ? 0 : std::min(a, limit); }
  static mask below(u32 a, u32 b) { return a < b; }
  static u32 excess(u32 a, u32 b) { return (a - b) >> 31 != 0 ? 0 : a - b; }
  static u32 floor_log2(u32 a) { return static_cast<u32>(std::bit_width(a)) - 1; }
  template <std::uint32_t Bits>
  static u32 leading_zeros(u32 a) {
    return a == 0 ? 0 : Bits - std::min(static_cast<u32>(std::bit_width(a)), Bits);
  }
  static u32 multiply_high(u32 a, u32 b) { return static_cast<u32>((std::uint64_t{a} * b) >> 32); }
  static bool any(mask m) { return m != 0; }
  static u32 any_bits(u32 a) { return a; }
  static u32 sum(u32 a) { return a; }

  template <class Pattern>
  static u32 load(const std::byte* row, std::uint32_t part, std::uint32_t count) {
    Pattern p = 0;
    if (part < count) std::memcpy(&p, row + part * sizeof p, sizeof p);
    return p;
  }
  template <class Pattern>
  static void store(std::byte* row, std::uint32_t part, std::uint32_t count, u32 a) {
    const auto p = static_cast<Pattern>(a);
    if (part < count) std::memcpy(row + part * sizeof p, &p, sizeof p);
  }
  static u32 lookup(const std::uint32_t* table, u32 at) { return table[at]; }
  static void lookup_pair(const std::uint32_t* table, u32 at, u32& first, u32& second) {
    first = table[at];
    second = table[at + 1];
  }
  static u32 take(mask m, word_reader& in, u32 a) {
    if (!m) return a;
    if (in.left() == 0) {
      in.overrun = true;
      return a << 16;
    }
    std::uint16_t word;
    std::memcpy(&word, in.next, 2);
    in.next += 2;
    return a << 16 | word;
  }
  static void put(mask m, word_writer& out, u32 a) {
    if (!m) return;
    if (out.room() == 0) {
      out.overrun = true;
      return;
    }
    const auto word = static_cast<std::uint16_t>(a);
    out.next -= 2;
    std::memcpy(out.next, &word, 2);
  }
};
static_assert(lanes<plain_lanes>);

}  // namespace skv::test
