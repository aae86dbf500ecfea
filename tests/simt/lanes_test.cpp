// The lanes of a warp do what scalar lanes do: each operation is a launch of one warp.
#include <gtest/gtest.h>
#include <skv/lanes/warp.cuh>

#include "simt/executor.hpp"
#include "support/lanes_equal_scalar.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv::simt {
namespace {

using test::lane_values;

/// What warp_lanes make of 32 lanes, with the values of all lanes in the hands of the host. Readers
/// and writers are translated: the host's know only bytes.
struct launched_lanes {
  static constexpr std::uint32_t kParts = 1, kWidth = kLanes;

  template <class T>
  struct wide {
    T lane[kLanes];
    wide() : lane{} {}
    explicit wide(T all) { std::fill(lane, lane + kLanes, all); }
  };
  struct u32 : wide<std::uint32_t> {
    using wide::wide;
  };
  struct mask : wide<bool> {
    using wide::wide;
  };

  /// Lane i gets f(i), evaluated in a warp.
  template <class To, class F>
  static To run(F f) {
    static std::uint64_t seed = 0;
    struct kernel {
      F f;
      To* to;
      void operator()() const { to->lane[device::lane()] = f(device::lane()); }
    };
    To result;
    const report r = launch({1, kLanes, 0, ++seed}, kernel{f, &result});
    EXPECT_TRUE(r) << r.message;
    return result;
  }
  template <class To, class Op, class... Args>
  static To each(Op op, const Args&... args) {
    return std::apply(
        [&](auto*... at) {
          return run<To>([op, at...](std::uint32_t i) { return op(at->lane[i]...); });
        },
        std::make_tuple(&args...));
  }
  /// A result that is the same in all lanes.
  template <class T, class Op, class A>
  static T uniform(Op op, const A& a) {
    const auto r = each<wide<T>>(op, a);
    for (const T& in_lane : r.lane) EXPECT_EQ(in_lane, r.lane[0]);
    return r.lane[0];
  }

  using W = warp_lanes;
  static u32 index(std::uint32_t part) {
    return run<u32>([part](std::uint32_t) { return W::index(part); });
  }
  static u32 min(const u32& a, const u32& b) { return each<u32>(&W::min, a, b); }
  static u32 max(const u32& a, const u32& b) { return each<u32>(&W::max, a, b); }
  static u32 select(const mask& m, const u32& a, const u32& b) {
    return each<u32>(&W::select, m, a, b);
  }
  static u32 zero_unless(const mask& m, const u32& a) { return each<u32>(&W::zero_unless, m, a); }
  static u32 signed_shift(const u32& a, int count) {
    return each<u32>([count](std::uint32_t x) { return W::signed_shift(x, count); }, a);
  }
  static u32 shift_out(const u32& a, const u32& n) { return each<u32>(&W::shift_out, a, n); }
  static u32 shift_left(const u32& a, const u32& n) { return each<u32>(&W::shift_left, a, n); }
  static u32 shift_right(const u32& a, const u32& n) { return each<u32>(&W::shift_right, a, n); }
  static u32 reverse_bits(const u32& a) { return each<u32>(&W::reverse_bits, a); }
  static u32 append_top(const u32& a, const u32& b, const u32& n) {
    return each<u32>(&W::append_top, a, b, n);
  }
  static u32 or_masked(const u32& a, const u32& b, std::uint32_t mask) {
    return each<u32>([mask](std::uint32_t x, std::uint32_t y) { return W::or_masked(x, y, mask); },
                     a, b);
  }
  static u32 keep(const u32& a) { return each<u32>(&W::keep, a); }
  template <std::uint32_t Bits>
  static u32 sign_mask(const u32& a) {
    return each<u32>(&W::sign_mask<Bits>, a);
  }
  static u32 clip(const u32& a, std::uint32_t limit) {
    return each<u32>([limit](std::uint32_t x) { return W::clip(x, limit); }, a);
  }
  static mask below(const u32& a, const u32& b) { return each<mask>(&W::below, a, b); }
  static u32 excess(const u32& a, const u32& b) { return each<u32>(&W::excess, a, b); }
  static u32 floor_log2(const u32& a) { return each<u32>(&W::floor_log2, a); }
  static u32 multiply_high(const u32& a, const u32& b) {
    return each<u32>(&W::multiply_high, a, b);
  }
  template <std::uint32_t Bits>
  static u32 leading_zeros(const u32& a) {
    return each<u32>(&W::leading_zeros<Bits>, a);
  }
  static bool any(const mask& m) { return uniform<bool>(&W::any, m); }
  static std::uint32_t any_bits(const u32& a) { return uniform<std::uint32_t>(&W::any_bits, a); }
  static std::uint32_t sum(const u32& a) { return uniform<std::uint32_t>(&W::sum, a); }

  template <class Pattern>
  static u32 load(const std::byte* row, std::uint32_t part, std::uint32_t count) {
    return run<u32>([=](std::uint32_t) { return W::load<Pattern>(row, part, count); });
  }
  template <class Pattern>
  static void store(std::byte* row, std::uint32_t part, std::uint32_t count, const u32& a) {
    run<u32>([=, at = &a](std::uint32_t i) {
      W::store<Pattern>(row, part, count, at->lane[i]);
      return 0;
    });
  }
  static u32 lookup(const std::uint32_t* table, const u32& at) {
    return each<u32>([table](std::uint32_t i) { return W::lookup(table, i); }, at);
  }
  static void lookup_pair(const std::uint32_t* table, const u32& at, u32& first, u32& second) {
    second = run<u32>([table, at = &at, to = &first](std::uint32_t i) {
      std::uint32_t after = 0;
      W::lookup_pair(table, at->lane[i], to->lane[i], after);
      return after;
    });
  }

  static u32 take(const mask& m, word_reader& in, const u32& a) {
    // Words of a warp are at even addresses, and have another before them.
    const std::size_t count = in.left();
    std::vector<std::byte> image(2);
    image.insert(image.end(), in.next, in.next + 2 * count);
    const buffer<std::byte> words("words", std::span<const std::byte>(image));
    wide<std::uint32_t> taken;
    const u32 got = run<u32>([m = &m, a = &a, to = &taken, begin = words.begin() + 2,
                              end = words.end()](std::uint32_t i) {
      warp_reader r(begin, end);
      const std::uint32_t before = r.next;
      const std::uint32_t state = W::take(m->lane[i], r, a->lane[i]);
      to->lane[i] = r.next - before;
      EXPECT_EQ(r.is_finished(), to->lane[i] == static_cast<std::size_t>(end - begin) / 2);
      return state;
    });
    for (const std::uint32_t in_lane : taken.lane) EXPECT_EQ(in_lane, taken.lane[0]);
    in.overrun |= taken.lane[0] > count;
    in.next += 2 * std::min<std::size_t>(taken.lane[0], count);
    return got;
  }
  static void put(const mask& m, word_writer& out, const u32& a) {
    // Where the room did not suffice, a warp leaves anything at its begin, even if it is empty.
    const std::size_t room = out.room();
    const buffer<std::byte> words("words", std::max<std::size_t>(2 * room, 2));
    std::copy(out.next - 2 * room, out.next, words.begin());
    const wide<std::int32_t> left = each<wide<std::int32_t>>(
        [begin = words.begin(), end = words.begin() + 2 * room](bool marked, std::uint32_t word) {
          warp_writer w(begin, end);
          W::put(marked, w, word);
          EXPECT_EQ(w.is_overrun(), w.left < 0);
          return w.left;
        },
        m, a);
    for (const std::int32_t in_lane : left.lane) EXPECT_EQ(in_lane, left.lane[0]);
    std::byte* const begin = out.next - 2 * room;
    out.overrun |= left.lane[0] < 0;
    out.next = begin + 2 * std::max(left.lane[0], 0);
    std::copy(words.begin() + (out.next - begin), words.begin() + 2 * room, out.next);
  }

  // Operators are the language's: they need no warp.
  template <class To, class A, class Op>
  static To by_lane(const A& a, const A& b, Op op) {
    To r;
    for (std::uint32_t i = 0; i < kLanes; ++i) r.lane[i] = op(a.lane[i], b.lane[i]);
    return r;
  }
};

using u32 = launched_lanes::u32;
using mask = launched_lanes::mask;
#define SKV_OPERATOR(To, From, op)                                                   \
  To operator op(const From& a, const From& b) {                                     \
    return launched_lanes::by_lane<To>(a, b, [](auto x, auto y) { return x op y; }); \
  }                                                                                  \
  [[maybe_unused]] To operator op(const From& a, std::uint32_t b) { return a op From(b); }
SKV_OPERATOR(u32, u32, +)
SKV_OPERATOR(u32, u32, -)
SKV_OPERATOR(u32, u32, *)
SKV_OPERATOR(u32, u32, &)
SKV_OPERATOR(u32, u32, |)
SKV_OPERATOR(u32, u32, ^)
SKV_OPERATOR(u32, u32, <<)
SKV_OPERATOR(u32, u32, >>)
SKV_OPERATOR(mask, u32, ==)
SKV_OPERATOR(mask, u32, !=)
SKV_OPERATOR(mask, u32, >=)
SKV_OPERATOR(mask, u32, <=)
SKV_OPERATOR(mask, u32, >)
SKV_OPERATOR(mask, u32, <)
#undef SKV_OPERATOR
mask operator&(const mask& a, const mask& b) {
  return launched_lanes::by_lane<mask>(a, b, [](bool x, bool y) { return x && y; });
}
mask operator|(const mask& a, const mask& b) {
  return launched_lanes::by_lane<mask>(a, b, [](bool x, bool y) { return x || y; });
}
mask operator!(const mask& a) {
  return launched_lanes::by_lane<mask>(a, a, [](bool x, bool) { return !x; });
}

TEST(warp_lanes_equal_scalar, arithmetic) {
  test::lanes_equal_scalar<launched_lanes>::arithmetic();
}
TEST(warp_lanes_equal_scalar, floor_log2) {
  test::lanes_equal_scalar<launched_lanes>::many_floor_log2();
}
TEST(warp_lanes_equal_scalar, leading_zeros) {
  test::lanes_equal_scalar<launched_lanes>::many_leading_zeros();
}
TEST(warp_lanes_equal_scalar, single_marks) {
  test::lanes_equal_scalar<launched_lanes>::single_marks();
}
TEST(warp_lanes_equal_scalar, memory) {
  test::lanes_equal_scalar<launched_lanes>::load_and_store<std::uint8_t>();
  test::lanes_equal_scalar<launched_lanes>::load_and_store<std::uint16_t>();
  test::lanes_equal_scalar<launched_lanes>::load_and_store<std::uint32_t>();
  test::lanes_equal_scalar<launched_lanes>::lookup();
}
TEST(warp_lanes_equal_scalar, words_taken) { test::words_equal_scalar<launched_lanes>::take(); }
TEST(warp_lanes_equal_scalar, words_put) {
  test::words_equal_scalar<launched_lanes>::put();
  test::words_equal_scalar<launched_lanes>::long_stream();
}

/// Readers and writers that stay in a warp, beyond their ends: never finished, always overrun.
struct ends_kernel {
  std::byte *begin, *end;
  std::uint32_t* wrong;
  void operator()() const {
    warp_reader r(begin, end);
    warp_writer w(begin, end);
    bool finished = false, room = true;
    for (int i = 0; i < 40; ++i) {
      warp_lanes::take(true, r, 0);
      finished |= r.is_finished();
      warp_lanes::put(device::lane() % 3 == 0, w, 0);
      room &= !w.is_overrun();
    }
    if (finished || room) device::atomic_add(wrong, 1u);
  }
};

TEST(warp_lanes, stay_beyond_an_end) {
  const buffer<std::byte> words("words", 2 * 50);  // 50: no multiple of 32
  const buffer<std::uint32_t> wrong("wrong", 1);
  wrong.fill(0);
  const report r = launch({1, kLanes}, ends_kernel{words.begin(), words.end(), wrong.data()});
  ASSERT_TRUE(r) << r.message;
  EXPECT_EQ(wrong[0], 0u);
}

}  // namespace
}  // namespace skv::simt
