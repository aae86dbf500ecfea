// Entries of a pool that are named several times, or do not exist, and arrays that lie: whatever is said,
// the pool's counts add up and nothing else is touched.
#include <gtest/gtest.h>

#include "simt/device_pool.hpp"
#include "support/effort.hpp"

namespace skv::simt {
namespace {

TEST(pool_entries, are_dropped_once_however_often_they_are_named) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    device_scene d = scene_of(kGiven, seed, 6);
    device_pool p(d.plan, {1000, 64, 12});
    const entry_list list(counting(6), 6);
    ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {seed}));
    ASSERT_TRUE(p.store(d, list.entries, d.stored(output::slots, d.slot_bytes), d.decoded.data(),
                        {seed, 4, 3}));
    p.expect_stored(d, list.entries, d.stored(output::slots, d.slot_bytes), d.decoded.data());
    const entry_list twice({3, 3, 3, -1, 5, 3}, 6);
    for (int again = 0; again < 2; ++again) {
      ASSERT_TRUE(p.drop(d, twice.entries, d.decoded.data(), {seed, 4, 3}));
      p.expect_dropped(d, twice.entries, d.decoded.data());
      if (testing::Test::HasFatalFailure()) return;
      EXPECT_EQ(std::ranges::count(d.decoded.span(), status::ok), again == 0 ? 6 : 2);
    }
    EXPECT_EQ(p.held.size(), 8u);
  }
}

TEST(pool_entries, are_given_to_one_of_those_that_want_them) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    device_scene d = scene_of(kGiven, seed, 6);
    device_pool p(d.plan, {1000, 64, 12});
    const entry_list list({2, 2, 0x7fffffff, 2, 2, -5}, 6);
    ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {seed}));
    for (int again = 0; again < 2; ++again) {
      ASSERT_TRUE(p.store(d, list.entries, d.stored(output::slots, d.slot_bytes), d.decoded.data(),
                          {seed, 4, 3}));
      p.expect_stored(d, list.entries, d.stored(output::slots, d.slot_bytes), d.decoded.data());
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(p.held.size(), 2u);
  }
}

// Blocks of other sizes than any encoder writes, larger than an entry may be, without a slot.
TEST(pool_entries, may_be_named_by_arrays_that_lie) {
  random_source random(3);
  device_scene d = scene_of(kGiven, 4, 6);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {3}));
  const std::vector<std::uint32_t> sizes(d.sizes.begin(), d.sizes.end());
  for (int i = 0; i < (kSlowBuild ? 10 : 60); ++i) {
    SCOPED_TRACE(i);
    device_pool p(d.plan, {300, 64, 12, i % 2 == 0 ? 0 : random.below(40)});
    std::copy(sizes.begin(), sizes.end(), d.sizes.begin());
    std::fill(d.statuses.begin(), d.statuses.end(), status::ok);
    d.slot_indices[3] = i % 4 == 0 ? -1 : 3;
    for (std::uint32_t& size : d.sizes.span())
      if (random.chance(0.3)) size = random.edgy();
    for (status& s : d.statuses.span())
      if (random.chance(0.2)) s = static_cast<status>(random.below(256));
    const entry_list list(any_entries(random, 6, 6), 6);
    cuda::pool_entries entries = list.entries;
    if (i % 5 == 0) entries.first = std::int64_t{1} << 40;
    if (i % 5 == 1) entries.first = -3;
    const report r = p.store(d, entries, d.stored(output::slots, d.slot_bytes), d.decoded.data(),
                             {random.next(), 5, 2});
    ASSERT_TRUE(r) << r.message;
    // What cannot be is corrupt; for the rest, the statuses are what the pool was told.
    d.each_block([&](std::uint32_t, std::uint32_t item, std::size_t index) {
      if (!entries.exists(item)) return;
      const bool can_be = d.sizes[index] % 4 == 0 && d.sizes[index] <= d.slot_bytes &&
                          (d.sizes[index] == 0 || d.slot_indices[item] >= 0);
      if (d.statuses[index] > status::wrong_prediction ||
          (d.statuses[index] == status::ok && !can_be)) {
        ASSERT_EQ(d.decoded[index], status::corrupt);
        d.statuses[index] = status::corrupt;
      }
    });
    p.expect_stored(d, entries, d.stored(output::slots, d.slot_bytes), d.decoded.data());
    if (testing::Test::HasFatalFailure()) return;
    // Into slots that are too small, or not there.
    d.slot_indices[1] = -1;
    d.remember();
    memory_image slots = d.slots_before;
    const std::size_t small = random.below(static_cast<std::uint32_t>(d.slot_bytes));
    ASSERT_TRUE(p.load(d, entries, d.places(output::slots, small), {random.next(), 5, 2}));
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      const auto found = p.held.find(entries.at(layer, item));
      if (!entries.exists(item) || found == p.held.end()) return;
      const memory_image& bytes = found->second.bytes;
      const bool fits = bytes.size() <= small && (bytes.empty() || d.slot_indices[item] >= 0);
      ASSERT_EQ(d.statuses[index], fits ? status::ok : status::invalid_argument);
      if (fits && !bytes.empty())
        copy_into(slots, d.bytes_of(d.slots), d.places(output::slots, small).slots.at(layer, item),
                  bytes);
    });
    ASSERT_TRUE(same_memory("slots", slots, d.image_of(d.slots)));
    if (testing::Test::HasFatalFailure()) return;
    d.slot_indices[1] = 1;
  }
}

}  // namespace
}  // namespace skv::simt
