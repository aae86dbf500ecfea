// Lanes as the threads of a warp: every value is a register, every mask a predicate.
#pragma once

#include <skv/base/bits.hpp>
#include <skv/lanes/device.cuh>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// The words of an image, at an even address, read upwards. There are two more bytes before them (an
/// image has states there), which stand for the last word where there is none: indices need no other
/// bound then. Counts, not pointers: an address is one 64-bit multiply-add.
struct warp_reader {
  const std::uint16_t* words;
  std::uint32_t next = 1, last;

  SKV_DEVICE warp_reader(const std::byte* begin, const std::byte* end)
      : words(reinterpret_cast<const std::uint16_t*>(begin) - 1),
        last(static_cast<std::uint32_t>(end - begin) / 2) {}
  SKV_DEVICE bool is_finished() const { return next == last + 1; }
};

/// The same, written downwards. `left` falls below 0 when the room did not suffice: then what is at
/// `begin` is worth nothing. Two bytes are there even if the room is empty.
struct warp_writer {
  std::uint16_t* words;
  std::int32_t left;

  SKV_DEVICE warp_writer(std::byte* begin, std::byte* end)
      : words(reinterpret_cast<std::uint16_t*>(begin)),
        left(static_cast<std::int32_t>((end - begin) / 2)) {}
  SKV_DEVICE bool is_overrun() const { return left < 0; }
  SKV_DEVICE std::byte* written() const { return reinterpret_cast<std::byte*>(words + left); }
};

#if defined(__CUDACC__)
/// A table in shared memory, by its address there. Out of a shuffle, so that the compiler keeps it
/// rather than computing it anew.
struct warp_table {
  std::uint32_t address;

  explicit SKV_DEVICE warp_table(const std::uint32_t* entries)
      : address(device::shuffle(static_cast<std::uint32_t>(__cvta_generic_to_shared(entries)), 0)) {
  }
};
#else
using warp_table = const std::uint32_t*;
#endif

/// Every function but those on one lane's integers is a collective of the warp.
struct warp_lanes {
  static constexpr std::uint32_t kParts = 1, kWidth = kLanes;
  using u32 = std::uint32_t;
  using mask = bool;
  using reader = warp_reader;
  using writer = warp_writer;
  using table = warp_table;

  static SKV_DEVICE u32 index(std::uint32_t /*part*/) { return device::lane(); }
  static SKV_DEVICE u32 min(u32 a, u32 b) { return a < b ? a : b; }
  static SKV_DEVICE u32 max(u32 a, u32 b) { return a < b ? b : a; }
  static SKV_DEVICE u32 select(mask m, u32 a, u32 b) { return m ? a : b; }
  static SKV_DEVICE u32 zero_unless(mask m, u32 a) { return m ? a : 0; }
  static SKV_DEVICE u32 signed_shift(u32 a, int count) {
    return static_cast<u32>(static_cast<std::int32_t>(a) >> count);
  }
  static SKV_DEVICE mask below(u32 a, u32 b) { return a < b; }
  static SKV_DEVICE u32 floor_log2(u32 a) { return skv::floor_log2(a); }
  static SKV_DEVICE u32 excess(u32 a, u32 b) {
    const auto difference = static_cast<std::int32_t>(a - b);
    return static_cast<u32>(difference < 0 ? 0 : difference);
  }
  template <std::uint32_t Bits>
  static SKV_DEVICE u32 sign_mask(u32 a) {
#if defined(__CUDACC__)
    static_assert(Bits % 8 == 0);
    u32 mask;  // four copies of the sign of a byte
    asm("prmt.b32 %0, %1, 0, %2;" : "=r"(mask) : "r"(a), "n"(0x1111 * (7 + Bits / 8)));
    return mask;
#else
    return signed_shift(a << (32 - Bits), 31);
#endif
  }
  static SKV_DEVICE u32 clip(u32 a, std::uint32_t limit) {
    const auto i = static_cast<std::int32_t>(a), most = static_cast<std::int32_t>(limit);
    const std::int32_t below = i < most ? i : most;
    return static_cast<u32>(below < 0 ? 0 : below);
  }
  static SKV_DEVICE u32 or_masked(u32 a, u32 b, u32 mask) {
#if defined(__CUDACC__)
    asm("lop3.b32 %0, %1, %2, %3, 0xf8;" : "=r"(a) : "r"(a), "r"(b), "r"(mask));
    return a;
#else
    return a | (b & mask);
#endif
  }
  static SKV_DEVICE u32 keep(u32 a) {
#if defined(__CUDACC__)
    asm("" : "+r"(a));
#endif
    return a;
  }
#if defined(__CUDACC__)
  static SKV_DEVICE u32 shift_out(u32 a, u32 n) { return __funnelshift_rc(a, 0, n); }
  static SKV_DEVICE u32 shift_left(u32 a, u32 n) {
    u32 shifted;
    asm("shl.b32 %0, %1, %2;" : "=r"(shifted) : "r"(a), "r"(n));  // 0 for n from 32 on
    return shifted;
  }
  static SKV_DEVICE u32 shift_right(u32 a, u32 n) { return __funnelshift_r(a, 0, n); }
  static SKV_DEVICE u32 reverse_bits(u32 a) { return __brev(a); }
  static SKV_DEVICE u32 append_top(u32 a, u32 b, u32 n) { return __funnelshift_l(b, a, n); }
  static SKV_DEVICE u32 multiply_high(u32 a, u32 b) { return __umulhi(a, b); }
  template <std::uint32_t Bits>
  static SKV_DEVICE u32 leading_zeros(u32 a) {
    u32 zeros;
    asm("bfind.shiftamt.u32 %0, %1;" : "=r"(zeros) : "r"(a));  // all ones for 0
    return excess(zeros, 32 - Bits);
  }
#else
  static SKV_DEVICE u32 shift_out(u32 a, u32 n) { return n < 32 ? a >> n : 0; }
  static SKV_DEVICE u32 shift_left(u32 a, u32 n) { return n < 32 ? a << n : 0; }
  static SKV_DEVICE u32 shift_right(u32 a, u32 n) { return a >> (n & 31); }
  static SKV_DEVICE u32 reverse_bits(u32 a) {
    u32 reversed = 0;
    for (int bit = 0; bit < 32; ++bit) reversed = reversed << 1 | (a >> bit & 1);
    return reversed;
  }
  static SKV_DEVICE u32 append_top(u32 a, u32 b, u32 n) {
    return a << (n & 31) | b >> 1 >> (31 - (n & 31));
  }
  static SKV_DEVICE u32 multiply_high(u32 a, u32 b) {
    return static_cast<u32>((std::uint64_t{a} * b) >> 32);
  }
  template <std::uint32_t Bits>
  static SKV_DEVICE u32 leading_zeros(u32 a) {
    return a == 0 ? 0 : excess(static_cast<u32>(std::countl_zero(a)), 32 - Bits);
  }
#endif
  static SKV_DEVICE bool any(mask m) { return device::any(m); }
  static SKV_DEVICE std::uint32_t any_bits(u32 a) { return device::any_bits(a); }
  static SKV_DEVICE std::uint32_t sum(u32 a) { return device::sum(a); }

  /// Rows are aligned to their patterns.
  template <class Pattern>
  static SKV_DEVICE u32 load(const std::byte* row, std::uint32_t /*part*/, std::uint32_t count) {
    const u32 i = device::lane();
    return i < count ? reinterpret_cast<const Pattern*>(row)[i] : u32(0);
  }
  template <class Pattern>
  static SKV_DEVICE void store(std::byte* row, std::uint32_t /*part*/, std::uint32_t count, u32 a) {
    const u32 i = device::lane();
    if (i < count) reinterpret_cast<Pattern*>(row)[i] = static_cast<Pattern>(a);
  }
  static SKV_DEVICE u32 lookup(const std::uint32_t* t, u32 at) { return t[at]; }
  /// The table is aligned to pairs.
  static SKV_DEVICE void lookup_pair(const std::uint32_t* t, u32 at, u32& first, u32& second) {
    struct alignas(8) pair {
      u32 first, second;
    };
    const pair p = *reinterpret_cast<const pair*>(t + at);
    first = p.first;
    second = p.second;
  }
#if defined(__CUDACC__)
  static SKV_DEVICE u32 lookup(table t, u32 at) {
    u32 entry;
    asm("ld.shared.u32 %0, [%1];" : "=r"(entry) : "r"(t.address + 4 * at));
    return entry;
  }
  static SKV_DEVICE void lookup_pair(table t, u32 at, u32& first, u32& second) {
    asm("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(first), "=r"(second) : "r"(t.address + 4 * at));
  }
#endif

  static SKV_DEVICE u32 take(mask m, reader& in, u32 a) {
    const u32 marked = device::ballot(m);
    const u32 at = min(in.next + count_ones(marked & lanes_below()), in.last);
    in.next += count_ones(marked);
    const u32 word = in.words[at];
    return m ? (a << 16) | word : a;
  }
  static SKV_DEVICE void put(mask m, writer& out, u32 a) {
    const u32 marked = device::ballot(m);
    const auto at = static_cast<u32>(out.left) - count_ones(marked & ~lanes_below());
    out.left -= static_cast<std::int32_t>(count_ones(marked));
    if (m) out.words[excess(at, 0)] = static_cast<std::uint16_t>(a);
  }

 private:
  static SKV_DEVICE u32 lanes_below() {
#if defined(__CUDACC__)
    u32 mask;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(mask));
    return mask;
#else
    return (u32(1) << device::lane()) - 1;
#endif
  }
};

}  // namespace skv
