// Checks that lanes of a type do what scalar_lanes do, operation by operation.
#pragma once

#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>

#include <array>
#include <string>
#include <vector>

#include "support/guarded.hpp"
#include "support/random.hpp"

namespace skv::test {

using lane_values = std::array<std::uint32_t, kLanes>;

template <class L>
struct lanes_equal_scalar {
  using S = scalar_lanes;
  using lane_marks = std::uint32_t;  ///< bit i: lane i is marked

  static typename L::u32 make(const lane_values& v) {
    return L::template load<std::uint32_t>(reinterpret_cast<const std::byte*>(v.data()), kLanes);
  }
  template <class Any>
  static typename Any::mask make_mask(lane_marks marks) {
    return (typename Any::u32(marks) >> Any::index() & typename Any::u32(1)) !=
           typename Any::u32(0);
  }
  static S::u32 make_scalar(const lane_values& v) {
    S::u32 u;
    u.lane = v;
    return u;
  }
  static lane_values read(typename L::u32 u) {
    lane_values v;
    L::template store<std::uint32_t>(reinterpret_cast<std::byte*>(v.data()), kLanes, u);
    return v;
  }
  // Through select and any: the two ways out of a mask.
  static lane_marks read_mask(typename L::mask m) {
    const lane_values v = read(L::select(m, typename L::u32(1), typename L::u32(0)));
    lane_marks marks = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i) marks |= v[i] << i;
    EXPECT_EQ(L::any(m), marks != 0);
    return marks;
  }
  static lane_marks read_mask(const S::mask& m) {
    lane_marks marks = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i) marks |= std::uint32_t{m.lane[i]} << i;
    return marks;
  }

  static void arithmetic() {
    random_source random(1);
    for (int round = 0; round < 500; ++round) {
      lane_values a, b, shift, small;
      for (std::uint32_t i = 0; i < kLanes; ++i) {
        a[i] = random.edgy();
        b[i] = random.chance(0.2) ? a[i] : random.edgy();
        shift[i] = random.below(32);
        small[i] = random.chance(0.1) ? random.below(4) : random.edgy() & 0xffffff;
      }
      const auto x = make(a), y = make(b), n = make(shift), s = make(small);
      const auto X = make_scalar(a), Y = make_scalar(b), N = make_scalar(shift),
                 Z = make_scalar(small);
      ASSERT_EQ(read(x + y), (X + Y).lane);
      ASSERT_EQ(read(x - y), (X - Y).lane);
      ASSERT_EQ(read(x * y), (X * Y).lane);
      ASSERT_EQ(read(x & y), (X & Y).lane);
      ASSERT_EQ(read(x | y), (X | Y).lane);
      ASSERT_EQ(read(x ^ y), (X ^ Y).lane);
      ASSERT_EQ(read(x << n), (X << N).lane);
      ASSERT_EQ(read(x >> n), (X >> N).lane);
      ASSERT_EQ(read(x + 7), (X + 7).lane);
      ASSERT_EQ(read(L::min(x, y)), S::min(X, Y).lane);
      ASSERT_EQ(read(L::max(x, y)), S::max(X, Y).lane);
      ASSERT_EQ(read(L::multiply_high(x, y)), S::multiply_high(X, Y).lane);
      ASSERT_EQ(read(L::floor_log2(s)), S::floor_log2(Z).lane);
      ASSERT_EQ(L::sum(x), S::sum(X));
      ASSERT_EQ(read_mask(x == y), read_mask(X == Y));
      ASSERT_EQ(read_mask(x != y), read_mask(X != Y));
      ASSERT_EQ(read_mask(x >= y), read_mask(X >= Y));
      ASSERT_EQ(read_mask(x <= y), read_mask(X <= Y));
      ASSERT_EQ(read_mask(x > y), read_mask(X > Y));
      ASSERT_EQ(read_mask(x < y), read_mask(X < Y));
      ASSERT_EQ(read_mask((x < y) & (n < s)), read_mask((X < Y) & (N < Z)));
      ASSERT_EQ(read_mask((x < y) | (n < s)), read_mask((X < Y) | (N < Z)));
      ASSERT_EQ(read_mask(!(x < y)), read_mask(!(X < Y)));
      ASSERT_EQ(read(L::select(x < y, n, s)), S::select(X < Y, N, Z).lane);
    }
    ASSERT_EQ(read(L::index()), S::index().lane);
    ASSERT_EQ(read(typename L::u32(0xfedcba98)), S::u32(0xfedcba98).lane);
  }

  static void every_floor_log2() {
    for (std::uint32_t first = 0; first < 1u << 24; first += 61 * kLanes) {
      const auto v = typename L::u32(first) + L::index();
      const lane_values logs = read(L::floor_log2(v));
      for (std::uint32_t i = 0; i < kLanes && first + i < 1u << 24; ++i) {
        const std::uint32_t expected = first + i == 0 ? 0 : 31 - __builtin_clz(first + i);
        ASSERT_EQ(logs[i], expected) << first + i;
      }
    }
  }

  static void any_and_single_marks() {
    ASSERT_FALSE(L::any(make_mask<L>(0)));
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      ASSERT_TRUE(L::any(make_mask<L>(1u << i))) << "lane " << i;
      ASSERT_EQ(read_mask(make_mask<L>(1u << i)), 1u << i);
      ASSERT_EQ(read_mask(!make_mask<L>(1u << i)), ~(1u << i));
    }
  }

  template <class Pattern>
  static void load_and_store() {
    random_source random(2);
    for (const flush side : {flush::left, flush::right})
      for (std::uint32_t count = 0; count <= kLanes; ++count) {
        guarded_bytes row(count * sizeof(Pattern), side);
        lane_values expected{};
        for (std::uint32_t i = 0; i < count; ++i) {
          const auto p = static_cast<Pattern>(random.bits());
          std::memcpy(row.data() + i * sizeof p, &p, sizeof p);
          expected[i] = p;
        }
        ASSERT_EQ(read(L::template load<Pattern>(row.data(), count)), expected) << count;
        ASSERT_EQ(S::load<Pattern>(row.data(), count).lane, expected) << count;

        lane_values wide;  // the upper bits of what is stored are dropped
        for (auto& v : wide) v = random.bits();
        guarded_bytes by_lanes(count * sizeof(Pattern), side), by_scalar(by_lanes.size(), side);
        L::template store<Pattern>(by_lanes.data(), count, make(wide));
        S::store<Pattern>(by_scalar.data(), count, make_scalar(wide));
        ASSERT_TRUE(by_lanes.margins_intact() && by_scalar.margins_intact()) << count;
        for (std::uint32_t i = 0; i < count; ++i) {
          const auto p = static_cast<Pattern>(wide[i]);
          ASSERT_EQ(std::memcmp(by_lanes.data() + i * sizeof p, &p, sizeof p), 0) << count;
          ASSERT_EQ(std::memcmp(by_scalar.data() + i * sizeof p, &p, sizeof p), 0) << count;
        }
      }
    // More numbers in the row than lanes.
    std::vector<std::byte> longer(100 * sizeof(Pattern), std::byte{1});
    ASSERT_EQ(read(L::template load<Pattern>(longer.data() + 1, 99)),
              S::load<Pattern>(longer.data() + 1, 99).lane);
  }

  static void lookup() {
    random_source random(3);
    std::vector<std::uint32_t> entries(24 * 512);
    for (auto& e : entries) e = random.bits();
    const guarded_bytes table(std::as_bytes(std::span(entries)));
    for (int round = 0; round < 200; ++round) {
      lane_values at;
      for (auto& i : at) i = random.below(static_cast<std::uint32_t>(entries.size()));
      at[random.below(kLanes)] = static_cast<std::uint32_t>(entries.size()) - 1;
      at[random.below(kLanes)] = 0;
      const lane_values found = read(L::lookup(table.as<std::uint32_t>(), make(at)));
      for (std::uint32_t i = 0; i < kLanes; ++i) ASSERT_EQ(found[i], entries[at[i]]);
    }
  }

  // One step of words through both kinds of lanes, from a stream of `words` words.
  static void take_once(lane_marks marks, std::uint32_t words, random_source& random) {
    guarded_bytes stream(2 * words);
    for (std::size_t i = 0; i < stream.size(); ++i)
      stream.data()[i] = static_cast<std::byte>(random.bits());
    word_reader mine{stream.data(), stream.data() + stream.size(), false}, scalar = mine;
    const lane_values got = read(L::take(make_mask<L>(marks), mine));
    ASSERT_EQ(got, S::take(make_mask<S>(marks), scalar).lane) << marks << " of " << words;
    ASSERT_EQ(mine.next, scalar.next);
    ASSERT_EQ(mine.overrun, scalar.overrun);
    ASSERT_EQ(mine.overrun, static_cast<std::uint32_t>(__builtin_popcount(marks)) > words);
    // What take means, without scalar_lanes: consecutive words, in lane order.
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      std::uint16_t word = 0;
      if (marks >> i & 1 && n < words) std::memcpy(&word, stream.data() + 2 * n++, 2);
      ASSERT_EQ(got[i], word) << "lane " << i;
    }
  }
  static void put_once(lane_marks marks, std::uint32_t room, random_source& random) {
    lane_values a;
    for (auto& v : a) v = random.bits();
    for (const flush side : {flush::left, flush::right}) {
      guarded_bytes out(2 * room, side), reference(2 * room, side);
      word_writer mine{out.data(), out.data() + out.size(), false};
      word_writer scalar{reference.data(), reference.data() + reference.size(), false};
      L::put(make_mask<L>(marks), mine, make(a));
      S::put(make_mask<S>(marks), scalar, make_scalar(a));
      ASSERT_EQ(mine.room(), scalar.room()) << marks << " into " << room;
      ASSERT_EQ(mine.overrun, scalar.overrun);
      ASSERT_EQ(mine.overrun, static_cast<std::uint32_t>(__builtin_popcount(marks)) > room);
      ASSERT_TRUE(out.margins_intact());
      const std::size_t written = 2 * (room - mine.room());
      ASSERT_EQ(std::memcmp(mine.next, scalar.next, written), 0) << marks << " into " << room;
      if (mine.overrun) continue;
      word_reader back{mine.next, mine.next + written, false};
      const lane_values again = read(L::take(make_mask<L>(marks), back));
      for (std::uint32_t i = 0; i < kLanes; ++i)
        ASSERT_EQ(again[i], marks >> i & 1 ? a[i] & 0xffff : 0) << "lane " << i;
    }
  }
  template <class Once>
  static void words(Once&& once) {
    random_source random(4);
    for (std::uint32_t eight = 0; eight < 256; ++eight)
      for (std::uint32_t part = 0; part < 4; ++part) {
        once(eight << (8 * part), 64, random);
        once(eight << (8 * part) | (random.bits() & ~(0xffu << (8 * part))), 40, random);
      }
    for (std::uint32_t length = 0; length <= 70; ++length)
      for (const lane_marks marks : {0u, 1u, 0x80000000u, 0xffffffffu, random.bits(), random.bits()})
        once(marks, length, random);
  }
  static void take() { words(take_once); }
  static void put() { words(put_once); }

  // Many steps through one stream: both run dry in the same step.
  static void long_stream() {
    random_source random(5);
    constexpr std::size_t kBytes = 2 * 1000;
    guarded_bytes out(kBytes, flush::left), reference(kBytes);
    word_writer mine{out.data(), out.data() + kBytes, false};
    word_writer scalar{reference.data(), reference.data() + kBytes, false};
    while (!scalar.overrun) {
      const lane_marks marks = random.bits() & random.bits();
      lane_values a;
      for (auto& v : a) v = random.bits();
      L::put(make_mask<L>(marks), mine, make(a));
      S::put(make_mask<S>(marks), scalar, make_scalar(a));
      ASSERT_EQ(mine.room(), scalar.room());
      ASSERT_EQ(mine.overrun, scalar.overrun);
    }
    ASSERT_TRUE(out.margins_intact());
    ASSERT_EQ(std::memcmp(out.data(), reference.data(), kBytes), 0);
  }

  static void everything() {
    arithmetic();
    every_floor_log2();
    any_and_single_marks();
    load_and_store<std::uint8_t>();
    load_and_store<std::uint16_t>();
    load_and_store<std::uint32_t>();
    lookup();
    take();
    put();
    long_stream();
  }
};

}  // namespace skv::test
