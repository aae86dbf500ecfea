// Checks that lanes of a type take and put words as scalar_lanes do.
#pragma once

#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>

#include <bit>

#include "support/guarded.hpp"
#include "support/lane_parts.hpp"
#include "support/random.hpp"

namespace skv::test {

template <class L>
struct words_equal_scalar {
  using S = scalar_lanes;

  template <class Any>
  static lane_values take_step(lane_marks marks, word_reader& in, const lane_values& a) {
    lane_values got{};
    for (std::uint32_t part = 0; part < Any::kParts; ++part)
      set_part<Any>(got, part, Any::take(part_of<Any>(marks, part), in, part_of<Any>(a, part)));
    return got;
  }
  template <class Any>
  static void put_step(lane_marks marks, word_writer& out, const lane_values& a) {
    for (std::uint32_t part = Any::kParts; part-- > 0;)
      Any::put(part_of<Any>(marks, part), out, part_of<Any>(a, part));
  }

  // One step from a stream of `words` words.
  static void take_once(lane_marks marks, std::uint32_t words, random_source& random) {
    guarded_bytes stream(2 * words + words % 2);  // a half word at the end is none
    for (std::size_t i = 0; i < stream.size(); ++i)
      stream.data()[i] = static_cast<std::byte>(random.bits());
    word_reader mine{stream.data(), stream.data() + stream.size()}, scalar = mine;
    lane_values a;
    for (auto& v : a) v = random.bits();
    const lane_values got = take_step<L>(marks, mine, a);
    take_step<S>(marks, scalar, a);
    ASSERT_EQ(mine.next, scalar.next);
    ASSERT_EQ(mine.overrun, scalar.overrun);
    ASSERT_EQ(mine.overrun, static_cast<std::uint32_t>(std::popcount(marks)) > words);
    // What take means, without scalar_lanes: consecutive words, in lane order, as long as there
    // are.
    std::uint32_t n = 0;
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      std::uint32_t expected = a[i];
      if ((marks >> i & 1) != 0) {
        if (n == words) break;
        std::uint16_t word;
        std::memcpy(&word, stream.data() + 2 * n++, 2);
        expected = a[i] << 16 | word;
      }
      ASSERT_EQ(got[i], expected) << "lane " << i << ", " << marks << " of " << words;
    }
  }
  static void put_once(lane_marks marks, std::uint32_t room, random_source& random) {
    lane_values a;
    for (auto& v : a) v = random.bits();
    for (const flush side : {flush::left, flush::right}) {
      guarded_bytes out(2 * room, side), reference(2 * room, side);
      word_writer mine{out.data(), out.data() + out.size()};
      word_writer scalar{reference.data(), reference.data() + reference.size()};
      put_step<L>(marks, mine, a);
      put_step<S>(marks, scalar, a);
      ASSERT_EQ(mine.room(), scalar.room()) << marks << " into " << room;
      ASSERT_EQ(mine.overrun, scalar.overrun);
      ASSERT_EQ(mine.overrun, static_cast<std::uint32_t>(std::popcount(marks)) > room);
      ASSERT_TRUE(out.margins_intact());
      const std::size_t written = 2 * (room - mine.room());
      // The first word of a room that did not suffice is anything.
      const std::size_t any = mine.overrun ? std::min<std::size_t>(written, 2) : 0;
      ASSERT_EQ(std::memcmp(mine.next + any, scalar.next + any, written - any), 0)
          << marks << " into " << room;
      if (mine.overrun) continue;
      word_reader back{mine.next, mine.next + written};
      const lane_values again = take_step<L>(marks, back, {});
      for (std::uint32_t i = 0; i < kLanes; ++i)
        ASSERT_EQ(again[i], (marks >> i & 1) != 0 ? a[i] & 0xffff : 0) << "lane " << i;
    }
  }
  template <class Once>
  static void words(Once&& once) {
    random_source random(4);
    for (std::uint32_t eight = 0; eight < 256; ++eight)
      for (std::uint32_t at = 0; at < 32 && !testing::Test::HasFailure(); at += 8) {
        once(eight << at, 64, random);
        once(eight << at | (random.bits() & ~(0xffu << at)), 40, random);
      }
    for (std::uint32_t length = 0; length <= 70 && !testing::Test::HasFailure(); ++length)
      for (const lane_marks marks :
           {0u, 1u, 0x80000000u, 0xffffffffu, random.bits(), random.bits()})
        once(marks, length, random);
  }
  static void take() { words(take_once); }
  static void put() { words(put_once); }

  // Many steps into one stream: both run full in the same step.
  static void long_stream() {
    random_source random(5);
    constexpr std::size_t kBytes = 2 * 1000;
    guarded_bytes out(kBytes, flush::left), reference(kBytes);
    word_writer mine{out.data(), out.data() + kBytes};
    word_writer scalar{reference.data(), reference.data() + kBytes};
    while (!scalar.overrun) {
      const lane_marks marks = random.bits() & random.bits();
      lane_values a;
      for (auto& v : a) v = random.bits();
      put_step<L>(marks, mine, a);
      put_step<S>(marks, scalar, a);
      ASSERT_EQ(mine.room(), scalar.room());
      ASSERT_EQ(mine.overrun, scalar.overrun);
    }
    ASSERT_TRUE(out.margins_intact());
    // The first word of a room that did not suffice is anything.
    ASSERT_EQ(std::memcmp(out.data() + 2, reference.data() + 2, kBytes - 2), 0);
  }

  static void everything() {
    take();
    put();
    long_stream();
  }
};

}  // namespace skv::test
