// Checks that lanes of a type do what scalar_lanes do, operation by operation.
#pragma once

#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "support/guarded.hpp"
#include "support/lane_parts.hpp"
#include "support/random.hpp"

namespace skv::test {

template <class L>
struct lanes_equal_scalar {
  using S = scalar_lanes;

  struct operands {
    lane_values a, b, shift, small;
  };
  template <class Any>
  struct part_operands {
    using u32 = typename Any::u32;
    u32 a, b, shift, small;
    u32 x, y;  ///< below 2^31, to be ordered
    u32 low;   ///< below 2^24, of any length
    part_operands(const operands& o, std::uint32_t part)
        : a(part_of<Any>(o.a, part)),
          b(part_of<Any>(o.b, part)),
          shift(part_of<Any>(o.shift, part)),
          small(part_of<Any>(o.small, part)),
          x(a & 0x7fffffffu),
          y(b & 0x7fffffffu),
          low((b & 0xffffffu) >> shift) {}
  };
  template <class Any, class Op>
  static lane_values apply(const operands& o, Op op) {
    lane_values result{};
    for (std::uint32_t part = 0; part < Any::kParts; ++part) {
      const part_operands<Any> p(o, part);
      set_part<Any>(result, part, op.template operator()<Any>(p));
    }
    return result;
  }
  template <class Op>
  static void same(const operands& o, const char* name, Op op) {
    ASSERT_EQ(apply<L>(o, op), apply<S>(o, op)) << name;
  }
  template <class Op>
  static void same_mask(const operands& o, const char* name, Op op) {
    const auto marked = [&]<class Any>(const part_operands<Any>& p) {
      const auto m = op.template operator()<Any>(p);
      const auto r = Any::select(m, typename Any::u32(1), typename Any::u32(0));
      EXPECT_EQ(Any::any(m), Any::sum(r) != 0) << name;
      return r;
    };
    ASSERT_EQ(apply<L>(o, marked), apply<S>(o, marked)) << name;
  }

  static void arithmetic() {
    random_source random(1);
    for (int round = 0; round < 500 && !testing::Test::HasFailure(); ++round) {
      operands o;
      for (std::uint32_t i = 0; i < kLanes; ++i) {
        o.a[i] = random.edgy();
        o.b[i] = random.chance(0.2) ? o.a[i] : random.edgy();
        o.shift[i] = random.below(32);
        o.small[i] = std::max(random.edgy() & 0xffffff, 1u);
      }
      same(o, "+", []<class A>(const part_operands<A>& p) { return p.a + p.b; });
      same(o, "-", []<class A>(const part_operands<A>& p) { return p.a - p.b; });
      same(o, "*", []<class A>(const part_operands<A>& p) { return p.a * p.b; });
      same(o, "shift_out", []<class A>(const part_operands<A>& p) {
        return A::shift_out(p.x, p.small) + A::shift_out(p.x, p.shift + p.shift);
      });
      same(o, "shift_left",
           []<class A>(const part_operands<A>& p) { return A::shift_left(p.a, p.b); });
      same(o, "shift_right",
           []<class A>(const part_operands<A>& p) { return A::shift_right(p.a, p.b); });
      same(o, "shift_left",
           []<class A>(const part_operands<A>& p) { return A::shift_left(p.a, p.shift); });
      same(o, "reverse_bits",
           []<class A>(const part_operands<A>& p) { return A::reverse_bits(p.a); });
      same(o, "append_top",
           []<class A>(const part_operands<A>& p) { return A::append_top(p.a, p.b, p.shift); });
      same(o, "sign_mask", []<class A>(const part_operands<A>& p) {
        return A::template sign_mask<8>(p.a) + A::template sign_mask<16>(p.b);
      });
      same(o, "clip", []<class A>(const part_operands<A>& p) {
        return A::clip(p.a, 30) + A::clip(p.shift - 7, 12);
      });
      same(o, "excess", []<class A>(const part_operands<A>& p) {
        return A::excess(p.x, p.y) + A::excess(p.a | 0x80000000u, p.low);
      });
      same(o, "&", []<class A>(const part_operands<A>& p) { return p.a & p.b; });
      same(o, "|", []<class A>(const part_operands<A>& p) { return p.a | p.b; });
      same(o, "^", []<class A>(const part_operands<A>& p) { return p.a ^ p.b; });
      same(o, "<<", []<class A>(const part_operands<A>& p) { return p.a << p.shift; });
      same(o, ">>", []<class A>(const part_operands<A>& p) { return p.a >> p.shift; });
      same(o, "+ 7", []<class A>(const part_operands<A>& p) { return p.a + 7; });
      same(o, "min", []<class A>(const part_operands<A>& p) { return A::min(p.a, p.b); });
      same(o, "max", []<class A>(const part_operands<A>& p) { return A::max(p.a, p.b); });
      same(o, "multiply_high",
           []<class A>(const part_operands<A>& p) { return A::multiply_high(p.a, p.b); });
      same(o, "floor_log2",
           []<class A>(const part_operands<A>& p) { return A::floor_log2(p.small); });
      same(o, "leading_zeros<4>",
           []<class A>(const part_operands<A>& p) { return A::template leading_zeros<4>(p.low); });
      same(o, "leading_zeros<11>",
           []<class A>(const part_operands<A>& p) { return A::template leading_zeros<11>(p.low); });
      same(o, "leading_zeros<17>", []<class A>(const part_operands<A>& p) {
        return A::template leading_zeros<17>(p.x) + A::template leading_zeros<17>(p.x >> p.shift);
      });
      same(o, "leading_zeros<24>",
           []<class A>(const part_operands<A>& p) { return A::template leading_zeros<24>(p.low); });
      same(o, "select", []<class A>(const part_operands<A>& p) {
        return A::select(p.x < p.y, p.shift, p.small);
      });
      same(o, "zero_unless",
           []<class A>(const part_operands<A>& p) { return A::zero_unless(p.x < p.y, p.a); });
      same(o, "or_masked",
           []<class A>(const part_operands<A>& p) { return A::or_masked(p.a, p.b, 0x1ff); });
      same(o, "signed_shift",
           []<class A>(const part_operands<A>& p) { return A::signed_shift(p.a, 31); });
      same(o, "signed_shift",
           []<class A>(const part_operands<A>& p) { return A::signed_shift(p.a, 24); });
      same_mask(o, "==", []<class A>(const part_operands<A>& p) { return p.a == p.b; });
      same_mask(o, "!=", []<class A>(const part_operands<A>& p) { return p.a != p.b; });
      same_mask(o, ">=", []<class A>(const part_operands<A>& p) { return p.x >= p.y; });
      same_mask(o, "<=", []<class A>(const part_operands<A>& p) { return p.x <= p.y; });
      same_mask(o, ">", []<class A>(const part_operands<A>& p) { return p.x > p.y; });
      same_mask(o, "<", []<class A>(const part_operands<A>& p) { return p.x < p.y; });
      same_mask(o, "below", []<class A>(const part_operands<A>& p) { return A::below(p.a, p.b); });
      same_mask(o, "and", []<class A>(const part_operands<A>& p) {
        return (p.x < p.y) & (p.shift < p.small);
      });
      same_mask(o, "or", []<class A>(const part_operands<A>& p) {
        return (p.x < p.y) | (p.shift < p.small);
      });
      same_mask(o, "not", []<class A>(const part_operands<A>& p) { return !(p.x < p.y); });
      std::uint32_t sum = 0, bits = 0;
      for (std::uint32_t part = 0; part < L::kParts; ++part) {
        sum += L::sum(part_of<L>(o.a, part));
        bits |= L::any_bits(part_of<L>(o.a, part) >> o.shift[0]);
      }
      ASSERT_EQ(sum, S::sum(part_of<S>(o.a, 0)));
      ASSERT_EQ(bits, S::any_bits(part_of<S>(o.a, 0) >> o.shift[0]));
    }
    lane_values numbers{}, all{};
    for (std::uint32_t part = 0; part < L::kParts; ++part) {
      set_part<L>(numbers, part, L::index(part));
      set_part<L>(all, part, typename L::u32(0xfedcba98));
    }
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      ASSERT_EQ(numbers[i], i);
      ASSERT_EQ(all[i], 0xfedcba98);
    }
  }

  static void many_floor_log2() {
    for (std::uint32_t first = 0; first < 1u << 24; first += 61 * kLanes) {
      lane_values logs{};
      for (std::uint32_t part = 0; part < L::kParts; ++part)
        set_part<L>(logs, part, L::floor_log2(typename L::u32(first) + L::index(part)));
      for (std::uint32_t i = first == 0 ? 1 : 0; i < kLanes && first + i < 1u << 24; ++i)
        ASSERT_EQ(logs[i], std::bit_width(first + i) - 1u) << first + i;
      if (first == 0) {
        ASSERT_GE(logs[0], 1u << 31);
      }
    }
    for (std::uint32_t power = 0; power < 24; ++power) {
      ASSERT_EQ(L::sum(L::floor_log2(typename L::u32(1u << power))), power * L::kWidth);
      if (power > 0) {
        ASSERT_EQ(L::sum(L::floor_log2(typename L::u32((1u << power) - 1))),
                  (power - 1) * L::kWidth);
      }
    }
  }

  static void many_leading_zeros() {
    for (std::uint32_t first = 0; first < 1u << 24; first += 61 * kLanes) {
      lane_values zeros{};
      for (std::uint32_t part = 0; part < L::kParts; ++part)
        set_part<L>(zeros, part,
                    L::template leading_zeros<24>(typename L::u32(first) + L::index(part)));
      for (std::uint32_t i = first == 0 ? 1 : 0; i < kLanes && first + i < 1u << 24; ++i)
        ASSERT_EQ(zeros[i], 24 - std::bit_width(first + i)) << first + i;
      if (first == 0) {
        ASSERT_EQ(zeros[0], 0u);
      }
    }
    for (std::uint32_t power = 1; power < 24; ++power) {
      ASSERT_EQ(L::sum(L::template leading_zeros<24>(typename L::u32(1u << power))),
                (23 - power) * L::kWidth);
      ASSERT_EQ(L::sum(L::template leading_zeros<24>(typename L::u32((1u << power) - 1))),
                (24 - power) * L::kWidth);
    }
  }

  static void single_marks() {
    for (std::uint32_t part = 0; part < L::kParts; ++part) {
      ASSERT_FALSE(L::any(part_of<L>(0u, part)));
      for (std::uint32_t i = 0; i < kLanes; ++i) {
        const bool here = i / L::kWidth == part;
        ASSERT_EQ(L::any(part_of<L>(1u << i, part)), here) << "lane " << i;
        ASSERT_EQ(L::any(!part_of<L>(~(1u << i), part)), here) << "lane " << i;
      }
    }
  }

  template <class Pattern>
  static void load_and_store() {
    random_source random(2);
    for (const flush side : {flush::left, flush::right})
      for (std::uint32_t count = 0; count <= kLanes; ++count) {
        guarded_bytes row(count * sizeof(Pattern), side);
        lane_values expected{}, wide;  // the upper bits of what is stored are dropped
        for (auto& v : wide) v = random.bits();
        for (std::uint32_t i = 0; i < count; ++i) {
          const auto p = static_cast<Pattern>(wide[i]);
          std::memcpy(row.data() + i * sizeof p, &p, sizeof p);
          expected[i] = p;
        }
        guarded_bytes stored(count * sizeof(Pattern), side, std::byte{0});
        lane_values loaded{};
        for (std::uint32_t part = 0; part < L::kParts; ++part) {
          set_part<L>(loaded, part, L::template load<Pattern>(row.data(), part, count));
          L::template store<Pattern>(stored.data(), part, count, part_of<L>(wide, part));
        }
        ASSERT_EQ(loaded, expected) << count;
        ASSERT_EQ(std::memcmp(stored.data(), row.data(), row.size()), 0) << count;
        ASSERT_TRUE(stored.margins_intact()) << count;
      }
  }

  static void lookup() {
    random_source random(3);
    std::vector<std::uint32_t> entries(24 * 512);
    for (auto& e : entries) e = random.bits();
    const guarded_bytes table(std::as_bytes(std::span(entries)));
    for (int round = 0; round < 200; ++round) {
      lane_values at, found{}, next{};
      for (auto& i : at) i = random.below(static_cast<std::uint32_t>(entries.size()));
      at[random.below(kLanes)] = static_cast<std::uint32_t>(entries.size()) - 1;
      at[random.below(kLanes)] = 0;
      for (std::uint32_t part = 0; part < L::kParts; ++part)
        set_part<L>(found, part, L::lookup(table.as<std::uint32_t>(), part_of<L>(at, part)));
      for (std::uint32_t i = 0; i < kLanes; ++i) ASSERT_EQ(found[i], entries[at[i]]);
      for (auto& i : at) i &= ~1u;
      for (std::uint32_t part = 0; part < L::kParts; ++part) {
        typename L::u32 a, b;
        L::lookup_pair(table.as<std::uint32_t>(), part_of<L>(at, part), a, b);
        set_part<L>(found, part, a);
        set_part<L>(next, part, b);
      }
      for (std::uint32_t i = 0; i < kLanes; ++i) {
        ASSERT_EQ(found[i], entries[at[i]]);
        ASSERT_EQ(next[i], entries[at[i] + 1]);
      }
    }
  }

  static void everything() {
    arithmetic();
    many_floor_log2();
    many_leading_zeros();
    single_marks();
    load_and_store<std::uint8_t>();
    load_and_store<std::uint16_t>();
    load_and_store<std::uint32_t>();
    lookup();
  }
};

}  // namespace skv::test
