#include "simt/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <set>

#include "simt/device_functions.hpp"

namespace skv::simt {
namespace {

using namespace device;
using testing::HasSubstr;

constexpr std::uint64_t kSeeds = 20;

struct collectives_kernel {
  std::uint32_t* out;
  void operator()() const {
    const std::uint32_t at = (block() * threads() + thread()) * 6, i = lane() + warp();
    out[at] = ballot(i % 3 == 0);
    out[at + 1] = any(i == 33);
    out[at + 2] = sum(0x80000000u + i);
    out[at + 3] = shuffle(100 * warp() + lane(), lane() + 5);
    sync_warp();
    out[at + 4] = shuffle(lane(), 7);
    sync_block();
    out[at + 5] = block() * blocks();
  }
};

TEST(executor, collectives) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> out("out", 3 * 96 * 6);
    const report r = launch({3, 96, 0, seed}, collectives_kernel{out.data()});
    ASSERT_TRUE(r) << r.message;
    for (std::uint32_t i = 0; i < 3 * 96; ++i) {
      const std::uint32_t warp = i / 32 % 3, lane = i % 32, *const o = out.data() + i * 6;
      std::uint32_t votes = 0;
      for (std::uint32_t l = 0; l < 32; ++l) votes |= std::uint32_t{(l + warp) % 3 == 0} << l;
      ASSERT_EQ(o[0], votes);
      ASSERT_EQ(o[1], warp == 2 ? 1u : 0u);
      ASSERT_EQ(o[2], 496 + 32 * warp);
      ASSERT_EQ(o[3], 100 * warp + (lane + 5) % 32);
      ASSERT_EQ(o[4], 7u);
      ASSERT_EQ(o[5], i / 96 * 3);
    }
  }
}

struct atomics_kernel {
  std::uint32_t* words;
  std::uint64_t* longs;
  void operator()() const {
    atomic_add(&words[0], 3);
    atomic_add(&longs[0], std::uint64_t{1} << 33);
    atomic_max(&words[1], (thread() * 37 + block()) % 101);
    std::uint64_t seen = load_acquire(&longs[1]);
    while (true) {
      const std::uint64_t old = atomic_compare_exchange(&longs[1], seen, seen + 5);
      if (old == seen) break;
      seen = old;
    }
    if (atomic_compare_exchange(&words[2], 0, 1) == 0) store_release(&longs[2], 42);
  }
};

TEST(executor, atomics) {
  const buffer<std::uint32_t> words("words", 3);
  const buffer<std::uint64_t> longs("longs", 3);
  words.fill(0);
  longs.fill(0);
  const report r = launch({2, 64}, atomics_kernel{words.data(), longs.data()});
  ASSERT_TRUE(r) << r.message;
  EXPECT_THAT(words.span(), testing::ElementsAre(3 * 128, 100, 1));
  EXPECT_THAT(longs.span(), testing::ElementsAre(std::uint64_t{128} << 33, 5 * 128, 42));
}

/// Who came when.
struct order_kernel {
  std::uint32_t *ticket, *order;
  void operator()() const { order[atomic_add(ticket, 1)] = block() * threads() + thread(); }
};

std::vector<std::uint32_t> order_of(std::uint64_t seed) {
  const buffer<std::uint32_t> ticket("ticket", 1), order("order", 256);
  ticket.fill(0);
  const report r = launch({2, 128, 0, seed}, order_kernel{ticket.data(), order.data()});
  EXPECT_TRUE(r) << r.message;
  return {order.begin(), order.end()};
}

TEST(executor, schedules_differ_by_seed_and_repeat) {
  std::set<std::vector<std::uint32_t>> orders;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    orders.insert(order_of(seed));
    EXPECT_EQ(order_of(seed), order_of(seed));
  }
  EXPECT_EQ(orders.size(), kSeeds);
}

struct copy_shared_kernel {
  std::uint32_t* out;
  void operator()() const {
    out[block() * threads() + thread()] =
        reinterpret_cast<const std::uint32_t*>(shared())[thread()];
  }
};

TEST(executor, shared_memory_starts_as_garbage_of_the_seed) {
  std::set<std::vector<std::uint32_t>> contents;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> out("out", 128);
    ASSERT_TRUE(launch({2, 64, 256, seed}, copy_shared_kernel{out.data()}));
    contents.insert({out.begin(), out.begin() + 64});
    contents.insert({out.begin() + 64, out.end()});
  }
  EXPECT_EQ(contents.size(), 2 * kSeeds);
}

/// Prefix sums over blocks: a block's total is published, then the sum of all up to it.
struct look_back_kernel {
  static constexpr std::uint64_t kTotal = std::uint64_t{1} << 62, kPrefix = std::uint64_t{2} << 62;
  const std::uint32_t* in;
  std::uint64_t* states;
  std::uint32_t *ticket, *out;

  void operator()() const {
    auto* const words = reinterpret_cast<std::uint32_t*>(shared());
    if (thread() == 0) words[0] = atomic_add(ticket, 1);
    sync_block();
    const std::uint32_t tile = words[0], at = tile * threads() + thread();
    const std::uint32_t total = sum(in[at]);
    if (lane() == 0) words[1 + warp()] = total;
    sync_block();
    if (thread() == 0) {
      std::uint64_t mine = 0, before = 0;
      for (std::uint32_t w = 0; w < threads() / 32; ++w) mine += words[1 + w];
      store_release(&states[tile], kTotal | mine);
      for (std::uint32_t t = tile; t-- != 0;) {
        std::uint64_t state = 0;
        while ((state = load_acquire(&states[t])) == 0) {
        }
        before += state & ~(kTotal | kPrefix);
        if (state & kPrefix) break;
      }
      store_release(&states[tile], kPrefix | (before + mine));
      words[0] = static_cast<std::uint32_t>(before);
    }
    sync_block();
    std::uint32_t result = words[0];
    for (std::uint32_t w = 0; w < warp(); ++w) result += words[1 + w];
    for (std::uint32_t from = 0; from < 32; ++from) {
      const std::uint32_t value = shuffle(in[at], from);
      if (from < lane()) result += value;
    }
    out[at] = result;
  }
};

TEST(executor, look_back_across_blocks) {
  std::vector<std::uint32_t> in(24 * 128), expected(in.size());
  for (std::uint32_t i = 0; i < in.size(); ++i) in[i] = i * i % 17;
  std::exclusive_scan(in.begin(), in.end(), expected.begin(), 0u);
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> from("in", in), ticket("ticket", 1), out("out", in.size());
    const buffer<std::uint64_t> states("states", 24);
    ticket.fill(0);
    states.fill(0);
    const report r = launch({24, 128, 20, seed}, look_back_kernel{from.data(), states.data(),
                                                                  ticket.data(), out.data()});
    ASSERT_TRUE(r) << r.message;
    ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin()));
  }
}

/// Reverses each block's numbers through shared memory.
template <bool Barrier>
struct reverse_kernel {
  std::uint32_t* numbers;
  void operator()() const {
    auto* const words = reinterpret_cast<std::uint32_t*>(shared());
    std::uint32_t* const mine = numbers + block() * threads();
    words[thread()] = mine[thread()];
    if constexpr (Barrier) sync_block();
    mine[thread()] = words[threads() - 1 - thread()];
  }
};

/// The new number i is the sum of the old i and i + 1: in place, all must be read before any is
/// written. `Wait`: where a block tells that it has read, and waits for the next one to have done so.
template <bool Wait>
struct in_place_kernel {
  std::uint32_t* numbers;
  std::uint64_t* read;
  void operator()() const {
    const std::uint32_t at = block() * threads() + thread();
    const std::uint32_t here = numbers[at];
    const std::uint32_t next = at + 1 == blocks() * threads() ? 0 : numbers[at + 1];
    sync_block();
    if constexpr (Wait) {
      if (thread() == 0) {
        store_release(&read[block()], 1);
        while (block() != 0 && load_acquire(&read[block() - 1]) == 0) {
        }
      }
      sync_block();
    }
    numbers[at] = here + next;
  }
};

/// Of kSeeds launches of four blocks of 64 threads, how many end with `expected`? `kernel_on` makes a
/// kernel for the numbers 0 ... 255.
template <class KernelOn, class Expected>
std::uint64_t right_results(const KernelOn& kernel_on, const Expected& expected) {
  std::uint64_t right = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> numbers("numbers", 256);
    const buffer<std::uint64_t> flags("flags", 4);
    std::iota(numbers.begin(), numbers.end(), 0u);
    flags.fill(0);
    const report r = launch({4, 64, 256, seed}, kernel_on(numbers.data(), flags.data()));
    EXPECT_TRUE(r) << r.message;
    bool all = true;
    for (std::uint32_t i = 0; i < 256; ++i) all &= numbers[i] == expected(i);
    right += all;
  }
  return right;
}

TEST(planted_bug, missing_barrier) {
  const auto reversed = [](std::uint32_t i) { return i / 64 * 64 + 63 - i % 64; };
  const auto count = [&]<bool Barrier>(reverse_kernel<Barrier>) {
    return right_results(
        [](std::uint32_t* numbers, std::uint64_t*) { return reverse_kernel<Barrier>{numbers}; },
        reversed);
  };
  EXPECT_EQ(count(reverse_kernel<true>{}), kSeeds);
  EXPECT_LT(count(reverse_kernel<false>{}), kSeeds);
}

TEST(planted_bug, written_in_place_before_all_is_read) {
  const auto sums = [](std::uint32_t i) { return i == 255 ? 255 : 2 * i + 1; };
  const auto count = [&]<bool Wait>(in_place_kernel<Wait>) {
    return right_results(
        [](std::uint32_t* numbers, std::uint64_t* flags) {
          return in_place_kernel<Wait>{numbers, flags};
        },
        sums);
  };
  EXPECT_EQ(count(in_place_kernel<true>{}), kSeeds);
  EXPECT_LT(count(in_place_kernel<false>{}), kSeeds);
}

/// The flag that tells of the data is set too early: only a pause after the store shows it.
template <bool Early>
struct flag_kernel {
  std::uint32_t *data, *out;
  std::uint64_t* flag;
  void operator()() const {
    if (thread() != 0) return;
    if (block() == 0) {
      if (!Early) *data = 7;
      store_release(flag, 1);
      if (Early) *data = 7;
    } else {
      while (load_acquire(flag) == 0) {
      }
      *out = *data;
    }
  }
};

template <bool Early>
std::uint32_t stale_reads() {
  std::uint32_t stale = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> data("data", 1), out("out", 1);
    const buffer<std::uint64_t> flag("flag", 1);
    flag.fill(0);
    data.fill(0);
    const report r =
        launch({2, 32, 0, seed}, flag_kernel<Early>{data.data(), out.data(), flag.data()});
    EXPECT_TRUE(r) << r.message;
    stale += out[0] != 7;
  }
  return stale;
}

TEST(planted_bug, data_published_too_early) {
  EXPECT_EQ(stale_reads<false>(), 0u);
  EXPECT_GT(stale_reads<true>(), 0u);
}

}  // namespace
}  // namespace skv::simt
