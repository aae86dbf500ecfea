// A block pool on the executor of fibers, and what must hold of it at any time.
#pragma once

#include <kernels/pool.cuh>
#include <kernels/pool_layout.hpp>
#include <map>

#include "simt/expectations.hpp"
#include "support/codecs.hpp"

namespace skv::simt {

/// A block as it was when it was stored.
struct pooled_block {
  memory_image bytes;
  std::vector<tile_record> records;

  pooled_block(const device_scene& d, const cuda::stored_places& in, std::uint32_t layer,
               std::uint32_t item, std::size_t index)
      : records(in.records + index * d.plan.tiles, in.records + (index + 1) * d.plan.tiles) {
    if (in.sizes[index] != 0)
      bytes.assign(in.slots.at(layer, item), in.slots.at(layer, item) + in.sizes[index]);
  }
};

struct device_pool {
  cuda::block_plan plan;
  cuda::pool_layout layout;
  buffer<line> arena;
  buffer<std::uint32_t> free, states, sectors;
  buffer<tile_record> records;
  buffer<cuda::pool_counts> counts;
  buffer<cuda::pool_change> change;
  /// What it must hold.
  std::map<std::int64_t, pooled_block> held;

  static cuda::pool_layout laid_out(const cuda::block_plan& plan, const cuda::pool_options& o) {
    auto l = cuda::pool_layout::make(plan, o);
    if (!l) throw std::runtime_error(l.failure().message);
    return *l;
  }
  device_pool(const cuda::block_plan& of, const cuda::pool_options& o)
      : plan(of),
        layout(laid_out(of, o)),
        arena("arena", std::size_t{o.sectors} * o.sector_bytes / 16),
        free("free sectors", o.sectors),
        states("entries", o.entries),
        sectors("sectors of entries", std::size_t{o.entries} * layout.options.max_sectors),
        records("records of entries", std::size_t{o.entries} * of.tiles),
        counts("counts", 1),
        change("change", 1) {
    const report r = run_kernel<cuda::clear_kernel>(cuda::clear_parameters{ref()}, {2, 64});
    EXPECT_TRUE(r) << r.message;
  }

  cuda::pool_ref ref() const {
    cuda::pool_ref r = layout.ref(nullptr);
    r.arena = device_scene::bytes_of(arena);
    r.free_dev = free.data();
    r.states_dev = states.data();
    r.sectors_dev = sectors.data();
    r.records_dev = records.data();
    r.counts_dev = counts.data();
    return r;
  }
  std::uint32_t sectors_of(std::size_t bytes) const {
    return static_cast<std::uint32_t>((bytes + layout.options.sector_bytes - 1) /
                                      layout.options.sector_bytes);
  }

  // Launches.
  report store(const device_scene& d, const cuda::pool_entries& entries,
               const cuda::stored_places& in, status* statuses, const grid& g) const {
    begin_change();
    const auto s = cuda::make_schedule(plan, d.scene.items, g.warps, g.blocks, false);
    return run_kernel<cuda::store_kernel>(
        cuda::store_parameters{plan, d.batch(), ref(), entries, in, statuses, change.data(),
                               s.round_blocks},
        {s.grid_blocks, g.warps * kLanes, 0, g.seed}, s.round_blocks);
  }
  report load(const device_scene& d, const cuda::pool_entries& entries,
              const cuda::encoded_places& out, const grid& g) const {
    const auto s = cuda::make_schedule(plan, d.scene.items, g.warps, g.blocks, false);
    return run_kernel<cuda::load_kernel>(
        cuda::load_parameters{plan, d.batch(), ref(), entries, out, s.round_blocks},
        {s.grid_blocks, g.warps * kLanes, 0, g.seed}, s.round_blocks);
  }
  report drop(const device_scene& d, const cuda::pool_entries& entries, status* statuses,
              const grid& g) const {
    begin_change();
    const auto s = cuda::make_schedule(plan, d.scene.items, g.warps, g.blocks, false);
    return run_kernel<cuda::drop_kernel>(
        cuda::drop_parameters{plan, d.batch(), ref(), entries, statuses, change.data()},
        {s.grid_blocks, g.warps * kLanes, 0, g.seed});
  }

  /// The counts add up, every sector is free or one entry's, and entries are what was stored.
  void expect_sound() const {
    const cuda::pool_ref r = ref();
    const cuda::pool_counts c = counts[0];
    ASSERT_EQ(c.free_sectors + c.used_sectors, r.sectors);
    std::uint64_t bytes = 0;
    std::vector<std::uint32_t> all(free.data(), free.data() + c.free_sectors);
    for (std::int64_t e = 0; e < r.entries; ++e) ASSERT_EQ(r.holds(e), held.contains(e)) << e;
    for (const auto& [e, block] : held) {
      SCOPED_TRACE("entry " + std::to_string(e));
      ASSERT_EQ(r.bytes(e), block.bytes.size());
      ASSERT_TRUE(std::equal(block.records.begin(), block.records.end(), r.records_at(e)));
      const std::uint32_t count = sectors_of(block.bytes.size());
      ASSERT_EQ(count, r.sectors_of(r.bytes(e)));
      for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t number = r.sectors_at(e)[i];
        ASSERT_LT(number, r.sectors);
        all.push_back(number);
        const std::size_t first = std::size_t{i} * layout.options.sector_bytes;
        const std::size_t last =
            std::min<std::size_t>(first + layout.options.sector_bytes, block.bytes.size());
        ASSERT_TRUE(
            std::equal(block.bytes.data() + first, block.bytes.data() + last, r.sector(number)));
      }
      bytes += block.bytes.size();
    }
    ASSERT_EQ(c.blocks, held.size());
    ASSERT_EQ(c.bytes, bytes);
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), r.sectors);
    for (std::uint32_t i = 0; i < r.sectors; ++i) ASSERT_EQ(all[i], i);
  }

  /// What storing a batch must have done; `held` follows.
  void expect_stored(const device_scene& d, const cuda::pool_entries& entries,
                     const cuda::stored_places& in, const status* statuses) {
    const std::uint64_t room = change[0].free_before;
    std::uint64_t taken = 0;
    std::uint32_t largest_refused = 0;
    std::map<std::int64_t, std::uint32_t> tried, stored;
    std::map<std::int64_t, pooled_block> added;
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      if (entries.exists(item) && in.statuses[index] == status::ok)
        ++tried[entries.at(layer, item)];
    });
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      SCOPED_TRACE("layer " + std::to_string(layer) + ", item " + std::to_string(item));
      if (!entries.exists(item)) {
        ASSERT_EQ(statuses[index], status::ok);
        return;
      }
      if (in.statuses[index] != status::ok) {
        ASSERT_EQ(statuses[index], in.statuses[index]);
        return;
      }
      const std::int64_t e = entries.at(layer, item);
      const bool is_entry = e >= 0 && e < layout.options.entries;
      const std::uint32_t wanted = sectors_of(in.sizes[index]);
      if (statuses[index] == status::ok) {
        ASSERT_TRUE(is_entry && !held.contains(e));
        ASSERT_EQ(++stored[e], 1u) << "two blocks are one entry";
        ASSERT_LE(wanted, layout.options.max_sectors);
        taken += wanted;
        added.emplace(e, pooled_block(d, in, layer, item, index));
      } else if (statuses[index] == status::does_not_fit) {
        ASSERT_TRUE(wanted > layout.options.max_sectors || is_entry);
        if (wanted <= layout.options.max_sectors) {
          ASSERT_NE(wanted, 0u);
          largest_refused = std::max(largest_refused, wanted);
        }
      } else {
        ASSERT_EQ(statuses[index], status::invalid_argument);
        ASSERT_TRUE(!is_entry || held.contains(e) || tried[e] > 1);
      }
    });
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_LE(taken, room);
    // Nothing is refused while there is room.
    if (largest_refused != 0) {
      ASSERT_GT(taken + largest_refused, room);
    }
    held.merge(added);
    expect_sound();
  }

  /// What dropping a batch must have done; `held` follows.
  void expect_dropped(const device_scene& d, const cuda::pool_entries& entries,
                      const status* statuses) {
    std::map<std::int64_t, std::uint32_t> dropped;
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      const std::int64_t e = entries.at(layer, item);
      if (!entries.exists(item)) {
        ASSERT_EQ(statuses[index], status::ok);
      } else if (!held.contains(e)) {
        ASSERT_EQ(statuses[index], status::invalid_argument);
      } else {
        ASSERT_TRUE(statuses[index] == status::ok || statuses[index] == status::invalid_argument);
        dropped[e] += statuses[index] == status::ok;
      }
    });
    if (testing::Test::HasFatalFailure()) return;
    for (const auto& [e, times] : dropped) {
      ASSERT_EQ(times, 1u) << "entry " << e;
      held.erase(e);
    }
    expect_sound();
  }

 private:
  void begin_change() const { change[0] = {counts[0].free_sectors, 0}; }
};

/// Entries of a batch: block `b` of layer `l` is entry l * per_layer + b.
struct entry_list {
  buffer<std::int32_t> indices;
  cuda::pool_entries entries;

  entry_list(std::vector<std::int32_t> list, std::uint32_t per_layer)
      : indices("indices of entries", list), entries{0, per_layer, indices.data()} {}
};

inline std::vector<std::int32_t> counting(std::uint32_t count) {
  std::vector<std::int32_t> list(count);
  std::iota(list.begin(), list.end(), 0);
  return list;
}

/// Entries at random: some twice, some that do not exist, some skipped.
inline std::vector<std::int32_t> any_entries(random_source& random, std::uint32_t items,
                                             std::uint32_t per_layer) {
  std::vector<std::int32_t> list;
  for (std::uint32_t i = 0; i < items; ++i) {
    list.push_back(static_cast<std::int32_t>(random.below(per_layer)));
    if (random.chance(0.05)) list.back() = static_cast<std::int32_t>(random.edgy());
    if (random.chance(0.05)) list.back() = -1;
    if (i != 0 && random.chance(0.1)) list.back() = list[random.below(i)];
  }
  return list;
}

}  // namespace skv::simt
