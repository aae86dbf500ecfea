// The reference lanes: a loop for every operation, nothing clever. Other lanes are tested against
// these.
#pragma once

#include <array>
#include <bit>
#include <cstring>
#include <skv/lanes/lanes.hpp>

namespace skv {

struct scalar_lanes {
  using reader = word_reader;
  using writer = word_writer;
  using table = const std::uint32_t*;
  static constexpr std::uint32_t kParts = 1, kWidth = kLanes;

  struct mask {
    std::array<bool, kLanes> lane{};
  };
  struct u32 {
    std::array<std::uint32_t, kLanes> lane{};
    u32() = default;
    u32(std::uint32_t all) { lane.fill(all); }
  };

  template <class F>
  static u32 each(F&& f) {
    u32 r;
    for (std::uint32_t i = 0; i < kLanes; ++i) r.lane[i] = f(i);
    return r;
  }
  template <class F>
  static mask test(F&& f) {
    mask r;
    for (std::uint32_t i = 0; i < kLanes; ++i) r.lane[i] = f(i);
    return r;
  }

  static u32 index(std::uint32_t /*part*/) {
    return each([](std::uint32_t i) { return i; });
  }
  static u32 min(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static u32 max(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] < b.lane[i] ? b.lane[i] : a.lane[i]; });
  }
  static u32 select(mask m, u32 a, u32 b) {
    return each([&](std::uint32_t i) { return m.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static u32 signed_shift(u32 a, int count) {
    return each([&](std::uint32_t i) {
      return static_cast<std::uint32_t>(static_cast<std::int32_t>(a.lane[i]) >> count);
    });
  }
  static u32 shift_out(u32 a, u32 n) {
    return each([&](std::uint32_t i) { return n.lane[i] < 32 ? a.lane[i] >> n.lane[i] : 0; });
  }
  static u32 shift_left(u32 a, u32 n) {
    return each([&](std::uint32_t i) { return n.lane[i] < 32 ? a.lane[i] << n.lane[i] : 0; });
  }
  static u32 shift_right(u32 a, u32 n) { return a >> (n & 31); }
  static u32 reverse_bits(u32 a) {
    return each([&](std::uint32_t i) {
      std::uint32_t reversed = 0;
      for (std::uint32_t bit = 0; bit < 32; ++bit) reversed |= (a.lane[i] >> bit & 1) << (31 - bit);
      return reversed;
    });
  }
  static u32 append_top(u32 a, u32 b, u32 n) {
    return (a << (n & 31)) | (b >> 1 >> (u32(31) - (n & 31)));
  }
  static u32 or_masked(u32 a, u32 b, u32 mask) { return a | (b & mask); }
  static u32 keep(u32 a) { return a; }
  template <std::uint32_t Bits>
  static u32 sign_mask(u32 a) {
    return signed_shift(a << (32 - Bits), 31);
  }
  static u32 clip(u32 a, std::uint32_t limit) {
    return each([&](std::uint32_t i) {
      return a.lane[i] >> 31 != 0 ? 0 : a.lane[i] < limit ? a.lane[i] : limit;
    });
  }
  static mask below(u32 a, u32 b) { return a < b; }
  static u32 excess(u32 a, u32 b) {
    return each([&](std::uint32_t i) {
      const std::uint32_t difference = a.lane[i] - b.lane[i];
      return difference >> 31 != 0 ? 0 : difference;
    });
  }
  static u32 zero_unless(mask m, u32 a) { return select(m, a, u32(0)); }
  static u32 floor_log2(u32 a) {
    return each([&](std::uint32_t i) {
      std::uint32_t log = a.lane[i] == 0 ? ~0u : 0;
      for (std::uint32_t v = a.lane[i]; v > 1; v >>= 1) ++log;
      return log;
    });
  }
  template <std::uint32_t Bits>
  static u32 leading_zeros(u32 a) {
    return each([&](std::uint32_t i) {
      std::uint32_t zeros = a.lane[i] == 0 ? 0 : Bits;
      for (std::uint32_t v = a.lane[i]; v != 0 && zeros != 0; v >>= 1) --zeros;
      return zeros;
    });
  }
  static u32 multiply_high(u32 a, u32 b) {
    return each([&](std::uint32_t i) {
      return static_cast<std::uint32_t>((std::uint64_t{a.lane[i]} * b.lane[i]) >> 32);
    });
  }
  static bool any(mask m) {
    for (bool b : m.lane)
      if (b) return true;
    return false;
  }
  static std::uint32_t any_bits(u32 a) {
    std::uint32_t bits = 0;
    for (std::uint32_t v : a.lane) bits |= v;
    return bits;
  }
  static std::uint32_t sum(u32 a) {
    std::uint32_t s = 0;
    for (std::uint32_t v : a.lane) s += v;
    return s;
  }

  template <class Pattern>
  static u32 load(const std::byte* row, std::uint32_t /*part*/, std::uint32_t count) {
    return each([&](std::uint32_t i) -> std::uint32_t {
      Pattern p = 0;
      if (i < count) std::memcpy(&p, row + i * sizeof p, sizeof p);
      return p;
    });
  }
  template <class Pattern>
  static void store(std::byte* row, std::uint32_t /*part*/, std::uint32_t count, u32 a) {
    for (std::uint32_t i = 0; i < kLanes && i < count; ++i) {
      const auto p = static_cast<Pattern>(a.lane[i]);
      std::memcpy(row + i * sizeof p, &p, sizeof p);
    }
  }
  static u32 lookup(const std::uint32_t* table, u32 at) {
    return each([&](std::uint32_t i) { return table[at.lane[i]]; });
  }
  static void lookup_pair(const std::uint32_t* table, u32 at, u32& a, u32& b) {
    a = lookup(table, at);
    b = lookup(table + 1, at);
  }
  static u32 take(mask m, word_reader& in, u32 a) {
    return each([&](std::uint32_t i) -> std::uint32_t {
      if (!m.lane[i]) return a.lane[i];
      if (in.left() == 0) {
        in.overrun = true;
        return a.lane[i] << 16;
      }
      const auto word = std::to_integer<std::uint32_t>(in.next[0]) |
                        std::to_integer<std::uint32_t>(in.next[1]) << 8;
      in.next += 2;
      return a.lane[i] << 16 | word;
    });
  }
  static void put(mask m, word_writer& out, u32 a) {
    for (std::uint32_t i = kLanes; i-- > 0;) {
      if (!m.lane[i]) continue;
      if (out.room() == 0) {
        out.overrun = true;
        continue;
      }
      out.next -= 2;
      out.next[0] = static_cast<std::byte>(a.lane[i] & 0xff);
      out.next[1] = static_cast<std::byte>(a.lane[i] >> 8 & 0xff);
    }
  }

  friend u32 operator+(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] + b.lane[i]; });
  }
  friend u32 operator-(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] - b.lane[i]; });
  }
  friend u32 operator*(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] * b.lane[i]; });
  }
  friend u32 operator&(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] & b.lane[i]; });
  }
  friend u32 operator|(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] | b.lane[i]; });
  }
  friend u32 operator^(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] ^ b.lane[i]; });
  }
  friend u32 operator<<(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] << b.lane[i]; });
  }
  friend u32 operator>>(u32 a, u32 b) {
    return each([&](std::uint32_t i) { return a.lane[i] >> b.lane[i]; });
  }
  friend mask operator==(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] == b.lane[i]; });
  }
  friend mask operator!=(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] != b.lane[i]; });
  }
  friend mask operator>=(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] >= b.lane[i]; });
  }
  friend mask operator<=(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] <= b.lane[i]; });
  }
  friend mask operator>(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] > b.lane[i]; });
  }
  friend mask operator<(u32 a, u32 b) {
    return test([&](std::uint32_t i) { return a.lane[i] < b.lane[i]; });
  }
  friend mask operator&(mask a, mask b) {
    return test([&](std::uint32_t i) { return a.lane[i] && b.lane[i]; });
  }
  friend mask operator|(mask a, mask b) {
    return test([&](std::uint32_t i) { return a.lane[i] || b.lane[i]; });
  }
  friend mask operator!(mask a) {
    return test([&](std::uint32_t i) { return !a.lane[i]; });
  }
};
static_assert(lanes<scalar_lanes>);

}  // namespace skv
