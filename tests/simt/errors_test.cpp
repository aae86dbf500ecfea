// What launch() must find, and say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simt/device_functions.hpp"
#include "simt/executor.hpp"

namespace skv::simt {
namespace {

using namespace device;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

/// Under AddressSanitizer the access itself ends the program.
template <class Run>
void expect_overrun(const Run& run, const std::string& where) {
  if constexpr (kAddressSanitizer) {
    EXPECT_DEATH((void)run(), "use-after-poison");
  } else {
    const report r = run();
    EXPECT_EQ(r.what, outcome::overrun);
    EXPECT_THAT(r.message, HasSubstr(where));
  }
}

struct store_kernel {
  std::byte* global;
  std::ptrdiff_t at;
  void operator()() const {
    if (block() == 1 && thread() == 33) (global != nullptr ? global : shared())[at] = std::byte{0};
  }
};

TEST(overrun, write_outside_of_a_buffer) {
  const buffer<std::byte> other("other", 4), cache("cache", 1001);
  const auto store_at = [&](std::ptrdiff_t at) {
    return launch({2, 64}, store_kernel{cache.data(), at});
  };
  EXPECT_TRUE(store_at(0));
  EXPECT_TRUE(store_at(1000));
  expect_overrun([&] { return store_at(1001); },
                 "write outside of buffer cache (1001 bytes): begins 0 bytes after its end");
  expect_overrun([&] { return store_at(1000 + 4096); }, "begins 4095 bytes after its end");
  expect_overrun([&] { return store_at(-1); }, "begins 1 bytes before it");
  expect_overrun([&] { return store_at(-4096); }, "begins 4096 bytes before it");
  const report r = store_at(0);
  EXPECT_TRUE(r) << "told once: " << r.message;
}

TEST(overrun, write_outside_of_shared_memory) {
  const auto store_at = [](std::ptrdiff_t at) {
    return launch({3, 64, 100}, store_kernel{nullptr, at});
  };
  EXPECT_TRUE(store_at(0));
  EXPECT_TRUE(store_at(99));
  expect_overrun([&] { return store_at(100); },
                 "shared memory of block 1 (100 bytes): begins 0 bytes after its end");
  expect_overrun([&] { return store_at(-1); }, "begins 1 bytes before it");
}

struct load_kernel {
  const std::byte* from;
  std::byte* to;
  void operator()() const {
    if (thread() == 0) *to = *from;
  }
};

TEST(overrun, read_outside_of_a_buffer) {
  if (!kAddressSanitizer) GTEST_SKIP() << "needs AddressSanitizer";
  const buffer<std::byte> from("from", 13), to("to", 1);
  EXPECT_TRUE(launch({}, load_kernel{from.data() + 12, to.data()}));
  EXPECT_DEATH((void)launch({}, load_kernel{from.data() + 13, to.data()}), "use-after-poison");
  EXPECT_DEATH((void)launch({}, load_kernel{from.data() - 1, to.data()}), "use-after-poison");
}

/// Launches with several seeds: they must find it in every order.
template <class Kernel>
void expect_each(outcome what, const launch_shape& shape, const Kernel& kernel,
                 const testing::Matcher<const std::string&>& message) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    launch_shape seeded = shape;
    seeded.seed = seed;
    const report r = launch(seeded, kernel);
    EXPECT_EQ(r.what, what) << r.message;
    EXPECT_THAT(r.message, AllOf(message, EndsWith(" (seed " + std::to_string(seed) + ")")));
  }
}

struct different_collectives_kernel {
  void operator()() const {
    if (lane() < 5)
      ballot(true);
    else
      sync_warp();
  }
};
struct different_calls_kernel {
  void operator()() const {
    if (lane() < 5)
      ballot(true);
    else
      ballot(false);
  }
};
struct lane_at_barrier_kernel {
  void operator()() const {
    if (thread() == 40) sync_block();
    ballot(true);
    if (thread() != 40) sync_block();
  }
};
struct early_lane_kernel {
  void operator()() const {
    if (lane() == 3) return;
    sum(1);
  }
};
struct early_warp_kernel {
  void operator()() const {
    if (warp() == 1) return;
    sync_block();
  }
};

TEST(divergence, is_reported) {
  const auto names = AllOf(HasSubstr("divergence: block 0 warp "), HasSubstr("errors_test.cpp:"));
  expect_each(outcome::divergence, {1, 64}, different_collectives_kernel{},
              AllOf(names, HasSubstr("ballot"), HasSubstr("sync_warp")));
  expect_each(outcome::divergence, {1, 64}, different_calls_kernel{}, names);
  expect_each(outcome::divergence, {1, 64}, lane_at_barrier_kernel{},
              AllOf(names, HasSubstr("sync_block"), HasSubstr("ballot")));
  expect_each(outcome::divergence, {1, 64}, early_lane_kernel{},
              AllOf(HasSubstr("sum ("), HasSubstr("end")));
  expect_each(outcome::divergence, {1, 64}, early_warp_kernel{},
              AllOf(HasSubstr("sync_block"), HasSubstr("end")));
}

/// Lane 0 waits for what lane 1 does after both have met.
struct waits_for_itself_kernel {
  std::uint64_t* flag;
  void operator()() const {
    while (lane() == 0 && load_acquire(flag) == 0) {
    }
    sync_warp();
    if (lane() == 1) store_release(flag, 1);
  }
};
/// Block after block hands on a flag that the first never gets.
struct nobody_begins_kernel {
  std::uint64_t* flags;
  void operator()() const {
    if (lane() == 0) {
      while (load_acquire(&flags[(block() + blocks() - 1) % blocks()]) == 0) {
      }
      store_release(&flags[block()], 1);
    }
    sync_warp();
  }
};
/// As before, but the warp votes on what it sees.
struct votes_for_ever_kernel {
  std::uint64_t* flag;
  void operator()() const {
    while (!any(lane() == 0 && load_acquire(flag) != 0)) {
    }
  }
};

TEST(waiting_for_ever, is_reported) {
  const buffer<std::uint64_t> flags("flags", 8);
  flags.fill(0);
  const auto polls = AllOf(HasSubstr("deadlock: all threads that can run poll"),
                           HasSubstr("runs from errors_test.cpp:"),
                           HasSubstr("waits at sync_warp errors_test.cpp:"));
  expect_each(outcome::deadlock, {2, 32}, waits_for_itself_kernel{flags.data()}, polls);
  expect_each(outcome::deadlock, {8, 32}, nobody_begins_kernel{flags.data()}, polls);
  const launch_shape shape{2, 32, 0, 0, 20000};
  expect_each(outcome::livelock, shape, votes_for_ever_kernel{flags.data()},
              AllOf(HasSubstr("livelock: no end after 20000 steps"), HasSubstr("more)")));
}

/// A walk over many words without a change is no deadlock.
struct walk_kernel {
  const std::uint64_t* words;
  std::uint32_t count;
  void operator()() const {
    if (thread() == 0)
      for (std::uint32_t i = 0; i < count; ++i) load_acquire(&words[i]);
    sync_block();
  }
};

TEST(waiting_for_ever, is_not_seen_in_a_walk) {
  const buffer<std::uint64_t> words("words", 5000);
  const report r = launch({1, 64}, walk_kernel{words.data(), 5000});
  EXPECT_TRUE(r) << r.message;
}

TEST(launch, refuses_shapes_that_cannot_run) {
  const buffer<std::byte> cache("cache", 1);
  for (const launch_shape& shape : {launch_shape{0, 32}, launch_shape{1, 0}, launch_shape{1, 33},
                                    launch_shape{1, 1056}, launch_shape{25, 1024}})
    EXPECT_EQ(launch(shape, store_kernel{cache.data(), 0}).what, outcome::bad_launch);
}

}  // namespace
}  // namespace skv::simt
