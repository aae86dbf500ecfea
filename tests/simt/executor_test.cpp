#include "simt/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "simt/device_functions.hpp"

namespace skv::simt {
namespace {

using namespace device;

struct collectives_kernel {
  std::uint32_t* out;
  void operator()() const {
    const std::uint32_t at = (block() * threads() + thread()) * 7, i = lane() + warp();
    out[at] = ballot(i % 3 == 0);
    out[at + 1] = any(i == 33);
    out[at + 2] = sum(0x80000000u + i);
    out[at + 3] = shuffle(100 * warp() + lane(), lane() + 5);
    sync_warp();
    out[at + 4] = shuffle(lane(), 7);
    sync_block();
    out[at + 5] = block() * blocks();
    out[at + 6] = any_bits(1u << (i % 16));
  }
};

TEST(executor, collectives) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const buffer<std::uint32_t> out("out", 3 * 96 * 7);
    const report r = launch({3, 96, 0, seed}, collectives_kernel{out.data()});
    ASSERT_TRUE(r) << r.message;
    for (std::uint32_t i = 0; i < 3 * 96; ++i) {
      const std::uint32_t warp = i / 32 % 3, lane = i % 32, *const o = out.data() + i * 7;
      std::uint32_t votes = 0;
      for (std::uint32_t l = 0; l < 32; ++l) votes |= std::uint32_t{(l + warp) % 3 == 0} << l;
      ASSERT_EQ(o[0], votes);
      ASSERT_EQ(o[1], warp == 2 ? 1u : 0u);
      ASSERT_EQ(o[2], 496 + 32 * warp);
      ASSERT_EQ(o[3], 100 * warp + (lane + 5) % 32);
      ASSERT_EQ(o[4], 7u);
      ASSERT_EQ(o[5], i / 96 * 3);
      ASSERT_EQ(o[6], 0xffffu);
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
    const std::uint32_t total = sum(in[at]), place = 1 + warp();
    if (lane() == 0) words[place] = total;
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

}  // namespace
}  // namespace skv::simt
