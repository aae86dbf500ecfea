// Bugs that only some orders of execution show, each beside the kernel that is right.
#include <gtest/gtest.h>

#include <numeric>

#include "simt/device_functions.hpp"
#include "simt/executor.hpp"

namespace skv::simt {
namespace {

using namespace device;

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
  const auto with = [](std::uint32_t* numbers, std::uint64_t*) {
    return reverse_kernel<true>{numbers};
  };
  const auto without = [](std::uint32_t* numbers, std::uint64_t*) {
    return reverse_kernel<false>{numbers};
  };
  EXPECT_EQ(right_results(with, reversed), kSeeds);
  EXPECT_LT(right_results(without, reversed), kSeeds);
}

TEST(planted_bug, written_in_place_before_all_is_read) {
  const auto sums = [](std::uint32_t i) { return i == 255 ? 255 : 2 * i + 1; };
  const auto waiting = [](std::uint32_t* numbers, std::uint64_t* flags) {
    return in_place_kernel<true>{numbers, flags};
  };
  const auto hasty = [](std::uint32_t* numbers, std::uint64_t* flags) {
    return in_place_kernel<false>{numbers, flags};
  };
  EXPECT_EQ(right_results(waiting, sums), kSeeds);
  EXPECT_LT(right_results(hasty, sums), kSeeds);
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
