// A pool of as many sectors and entries as there can be, which no arena of 4 GiB holds, nor their tables.
#include <gtest/gtest.h>

#include "simt/device_pool.hpp"
#include "simt/far_memory.hpp"

namespace skv::simt {
namespace {

struct far_pool {
  static constexpr std::uint32_t kMost = 0xffffffff, kSectorBits = 9;
  static constexpr std::int64_t kApart = std::int64_t{2} << 40;  // the arena is no larger

  far_memory memory;
  cuda::pool_ref ref{};
  cuda::pool_entries entries{kMost - 9, -(std::int64_t{1} << 30), nullptr};  // the last ones
  std::vector<std::uint32_t> numbers;  ///< of the sectors on top of the stack
  buffer<cuda::pool_counts> counts;
  buffer<cuda::pool_change> change;

  /// For what a batch has encoded.
  explicit far_pool(const device_scene& d) : counts("counts", 1), change("change", 1) {
    ref.sector_bits = kSectorBits;
    ref.sectors = ref.entries = kMost;
    ref.max_sectors = ref.sectors_of(static_cast<std::uint32_t>(d.slot_bytes));
    ref.tiles = d.plan.tiles;
    std::vector<std::size_t> at, sectors_at, records_at, on_top;
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      const auto e = static_cast<std::size_t>(entries.at(layer, item));
      at.push_back(e);
      for (std::uint32_t k = 0; k < ref.max_sectors; ++k)
        sectors_at.push_back(e * ref.max_sectors + k);
      for (std::uint32_t k = 0; k < ref.tiles; ++k) records_at.push_back(e * ref.tiles + k);
      for (std::uint32_t k = ref.sectors_of(d.sizes[i]); k > 0; --k)
        numbers.push_back(kMost - 1 - 7 * static_cast<std::uint32_t>(numbers.size()));
    });
    for (std::size_t i = 0; i < numbers.size(); ++i) on_top.push_back(kMost - 1 - i);
    ref.arena = memory.middle();
    ref.free_dev = memory.array<std::uint32_t>(kApart, on_top);
    ref.states_dev = memory.array<std::uint32_t>(2 * kApart, at);
    ref.sectors_dev = memory.array<std::uint32_t>(3 * kApart, sectors_at);
    ref.records_dev = memory.array<tile_record>(4 * kApart, records_at);
    ref.counts_dev = counts.data();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ref.free_dev[on_top[i]] = numbers[i];
      memory.open(ref.sector(numbers[i]), std::size_t{1} << kSectorBits);
    }
    for (const std::size_t e : at) ref.states_dev[e] = cuda::pool_ref::kEmpty;
    counts[0] = {kMost, 0, 0, 0};
  }
  /// The numbers on top of the stack, in order.
  std::vector<std::uint32_t> on_top() const {
    std::vector<std::uint32_t> top(ref.free_dev + kMost - numbers.size(), ref.free_dev + kMost);
    std::ranges::sort(top, std::greater());
    return top;
  }
};

TEST(far_pool, stores_loads_and_drops_the_last_entries) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    device_scene d = scene_of(kGiven, seed, 5);
    ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {seed}));
    far_pool p(d);
    const auto s = cuda::make_schedule(d.plan, d.scene.items, 5, 2, false);
    const launch_shape shape{s.grid_blocks, 5 * kLanes, 0, seed};

    p.change[0] = {p.counts[0].free_sectors, 0};
    report r = run_kernel<cuda::store_kernel>(
        cuda::store_parameters{d.plan, d.batch(), p.ref, p.entries,
                               d.stored(output::slots, d.slot_bytes), d.decoded.data(),
                               p.change.data(), s.round_blocks},
        shape, s.round_blocks);
    ASSERT_TRUE(r) << r.message;
    for (const status is : d.decoded.span()) ASSERT_EQ(is, status::ok);
    ASSERT_EQ(p.counts[0].blocks, d.count());
    ASSERT_EQ(p.counts[0].used_sectors, p.numbers.size());
    ASSERT_EQ(p.counts[0].free_sectors, far_pool::kMost - p.numbers.size());
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      ASSERT_EQ(p.ref.states_dev[p.entries.at(layer, item)], d.sizes[i] + cuda::pool_ref::kStored);
    });

    for (line& l : d.slots.span()) l.bytes[0] ^= std::byte{0xff};
    for (tile_record& record : d.records.span()) record.data_hash ^= 1;
    std::ranges::fill(d.sizes.span(), 77);
    d.remember();
    r = run_kernel<cuda::load_kernel>(
        cuda::load_parameters{d.plan, d.batch(), p.ref, p.entries,
                              d.places(output::slots, d.slot_bytes), s.round_blocks},
        shape, s.round_blocks);
    ASSERT_TRUE(r) << r.message;
    expect_cpu_bytes(d, output::slots, d.slot_bytes);
    if (testing::Test::HasFatalFailure()) return;

    p.change[0] = {p.counts[0].free_sectors, 0};
    r = run_kernel<cuda::drop_kernel>(cuda::drop_parameters{d.plan, d.batch(), p.ref, p.entries,
                                                            d.decoded.data(), p.change.data()},
                                      shape);
    ASSERT_TRUE(r) << r.message;
    for (const status is : d.decoded.span()) ASSERT_EQ(is, status::ok);
    ASSERT_EQ(p.counts[0].blocks, 0u);
    ASSERT_EQ(p.counts[0].free_sectors, far_pool::kMost);
    ASSERT_EQ(p.on_top(), p.numbers);
  }
}

}  // namespace
}  // namespace skv::simt
