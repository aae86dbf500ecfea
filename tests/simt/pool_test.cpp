// The block pool: whatever is stored, restored and dropped, in whatever order, its counts add up, no
// sector is lost or doubled, and every bit comes back.
#include <gtest/gtest.h>

#include "simt/device_pool.hpp"
#include "support/effort.hpp"

namespace skv::simt {
namespace {

class pool : public testing::TestWithParam<coding_id> {};
INSTANTIATE_TEST_SUITE_P(codings, pool, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

// The raw blocks are free in between: others use them.
TEST_P(pool, restores_every_bit) {
  const std::uint32_t sector_bytes[] = {64, 512, 2048, 65536};
  for (std::uint64_t seed = 1; seed < 5; ++seed)
    for (const output how : {output::in_place, output::slots}) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", " + to_string(how));
      device_scene d = scene_of(GetParam(), seed);
      device_pool p(d.plan, {seed == 4 ? 20u : 700u, sector_bytes[seed - 1], 8});
      const entry_list list(counting(4), 4);
      const std::size_t room = d.ample_room(how);
      ASSERT_TRUE(d.encode(how, room, {seed}));
      const buffer<status> stored("statuses of storing", d.count());
      report r = p.store(d, list.entries, d.stored(how, room), stored.data(), {seed, 7, 2});
      ASSERT_TRUE(r) << r.message;
      p.expect_stored(d, list.entries, d.stored(how, room), stored.data());
      if (HasFatalFailure()) return;
      for (std::size_t i = 0; i < d.count(); ++i) ASSERT_EQ(stored[i], d.statuses[i]);

      // A block that stayed raw is not in the pool: it has to be kept.
      for (line& l : d.slots.span()) l.bytes[0] ^= std::byte{0xff};
      std::fill(d.sizes.begin(), d.sizes.end(), 77);
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
        if (stored[i] == status::ok)
          std::fill_n(d.block(layer, item), d.numbers_at.block_bytes, std::byte{0x5a});
      });
      for (tile_record& record : d.records.span()) record.data_hash ^= 1;
      r = p.load(d, list.entries, d.places(how, room), {seed + 1, 5, 2});
      ASSERT_TRUE(r) << r.message;
      for (std::size_t i = 0; i < d.count(); ++i)
        ASSERT_EQ(d.statuses[i], stored[i] == status::ok ? status::ok : status::invalid_argument);
      ASSERT_TRUE(d.decode(how, room, {seed}));
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
        ASSERT_EQ(d.decoded[i], d.statuses[i]);
        if (stored[i] != status::ok && how == output::slots) return;
        ASSERT_TRUE(d.scene.equal(d.scene.numbers, d.numbers_at.cache, layer, item,
                                  d.block(layer, item), d.scene.target()));
      });
      p.expect_sound();
      if (HasFatalFailure()) return;

      ASSERT_TRUE(p.drop(d, list.entries, d.statuses.data(), {seed, 3, 2}));
      p.expect_dropped(d, list.entries, d.statuses.data());
      ASSERT_TRUE(p.held.empty());
      if (HasFatalFailure()) return;
    }
}

/// Restores blocks to a scene: those of its own must come back, and nothing else may be written.
void expect_restored_from(
    const device_pool& p, device_scene& d, output how, const cuda::pool_entries& entries,
    const std::map<std::int64_t, std::pair<std::uint64_t, std::size_t>>& origin,
    std::uint64_t scene, std::uint64_t seed) {
  const std::size_t room = d.ample_room(how);
  d.spoil();
  d.remember();
  const memory_image cache = d.cache_before;
  report r = p.load(d, entries, d.places(how, room), {seed, 7, 2});
  ASSERT_TRUE(r) << r.message;
  memory_image slots = d.slots_before, loaded = cache;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    const std::int64_t e = entries.at(layer, item);
    if (!entries.exists(item) || !p.held.contains(e)) {
      ASSERT_EQ(d.statuses[index],
                entries.exists(item) ? status::invalid_argument : status::does_not_fit);
      return;
    }
    const pooled_block& b = p.held.at(e);
    ASSERT_EQ(d.statuses[index], b.bytes.size() <= room ? status::ok : status::invalid_argument);
    if (d.statuses[index] != status::ok) return;
    ASSERT_EQ(d.sizes[index], b.bytes.size());
    ASSERT_TRUE(
        std::equal(b.records.begin(), b.records.end(), d.records.data() + index * d.plan.tiles));
    if (how == output::in_place)
      copy_into(loaded, d.bytes_of(d.cache), d.block(layer, item), b.bytes);
    else
      copy_into(slots, d.bytes_of(d.slots), d.places(how, room).slots.at(layer, item), b.bytes);
  });
  if (testing::Test::HasFatalFailure()) return;
  ASSERT_TRUE(same_memory("loaded in place", loaded, d.image_of(d.cache)));
  ASSERT_TRUE(same_memory("loaded into slots", slots, d.image_of(d.slots)));

  r = d.decode(how, room, {seed});
  ASSERT_TRUE(r) << r.message;
  memory_image expected = cache;
  const memory_image actual = d.image_of(d.cache);
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    const std::int64_t e = entries.at(layer, item);
    if (d.statuses[index] != status::ok) {
      const bool stays = how == output::in_place && d.statuses[index] == status::does_not_fit;
      ASSERT_EQ(d.decoded[index], stays ? status::ok : d.statuses[index]);
      return;
    }
    if (origin.at(e) == std::pair{scene, index}) {
      ASSERT_EQ(d.decoded[index], status::ok);
      copy_rows_into(expected, d, layer, item, &d.scene.numbers, kEveryRow);
      if (how == output::in_place && d.scene.token_counts[item] != d.plan.tokens) {
        // What was loaded is left where a block has no tokens.
        std::copy_n(loaded.begin() + (d.block(layer, item) - d.bytes_of(d.cache)),
                    d.numbers_at.block_bytes,
                    expected.begin() + (d.block(layer, item) - d.bytes_of(d.cache)));
        copy_rows_into(expected, d, layer, item, &d.scene.numbers, kEveryRow);
      }
      return;
    }
    const auto at = d.block(layer, item) - d.bytes_of(d.cache);  // another block: anything
    std::copy_n(actual.begin() + at, d.numbers_at.block_bytes, expected.begin() + at);
  });
  if (testing::Test::HasFatalFailure()) return;
  ASSERT_TRUE(same_memory("restored", expected, actual));
}

TEST(pool, in_any_order_its_counts_add_up_and_every_bit_comes_back) {
  constexpr std::uint32_t kPerLayer = 7;
  const std::uint64_t seeds = kSlowBuild ? 3 : 20;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    random_source random(seed);
    std::vector<device_scene> scenes;
    for (std::uint64_t i = 0; i < 3; ++i)
      scenes.push_back(scene_of(kGiven, 100 * seed + 2 * i + seed % 2, 4));
    // Full now and then: fourteen entries are about as many sectors of 64 bytes as there are.
    device_pool p(scenes[0].plan, {200 + random.below(300), 64u << random.below(3), 2 * kPerLayer});
    std::map<std::int64_t, std::pair<std::uint64_t, std::size_t>> origin;
    for (int step = 0; step < 30; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      const std::uint64_t which = random.below(3);
      device_scene& d = scenes[which];
      const entry_list list(any_entries(random, 4, kPerLayer), kPerLayer);
      const grid g{random.next(), 1 + random.below(7), 1 + random.below(3)};
      const output how = random.chance(0.5) ? output::in_place : output::slots;
      const std::size_t room = d.ample_room(how);
      switch (random.below(3)) {
        case 0: {
          d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
            d.scene.scatter(d.scene.numbers, d.numbers_at.cache, layer, item, d.block(layer, item),
                            d.scene.target());
          });
          ASSERT_TRUE(d.encode(how, room, {g.seed}));
          d.remember();
          const buffer<status> stored("statuses of storing", d.count());
          const report r = p.store(d, list.entries, d.stored(how, room), stored.data(), g);
          ASSERT_TRUE(r) << r.message;
          p.expect_stored(d, list.entries, d.stored(how, room), stored.data());
          ASSERT_TRUE(same_memory("cache", d.cache_before, d.image_of(d.cache)));
          if (testing::Test::HasFatalFailure()) return;
          d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
            if (stored[i] == status::ok && list.entries.exists(item))
              origin[list.entries.at(layer, item)] = {which, i};
          });
          break;
        }
        case 1:
          expect_restored_from(p, d, how, list.entries, origin, which, g.seed);
          p.expect_sound();
          break;
        default: {
          const report r = p.drop(d, list.entries, d.decoded.data(), g);
          ASSERT_TRUE(r) << r.message;
          p.expect_dropped(d, list.entries, d.decoded.data());
        }
      }
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// Blocks compressed in place that find no room are where they were, and are restored from there.
TEST(pool, that_is_full_is_no_loss) {
  for (std::uint64_t seed = 1; seed < 9; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    device_scene d = scene_of(kGiven, seed, 5);
    const std::size_t room = d.ample_room(output::in_place);
    ASSERT_TRUE(d.encode(output::in_place, room, {seed}));
    std::uint32_t all = 0;
    for (const std::uint32_t size : d.sizes.span()) all += (size + 63) / 64;
    const std::uint32_t sectors[] = {1,       all / 5, all / 3, all / 2, all - all / 9,
                                     all - 2, all - 1, all};
    device_pool p(d.plan, {sectors[seed - 1], 64, 10});
    const entry_list list(counting(5), 5);
    const buffer<status> stored("statuses of storing", d.count());
    ASSERT_TRUE(
        p.store(d, list.entries, d.stored(output::in_place, room), stored.data(), {seed, 6, 3}));
    p.expect_stored(d, list.entries, d.stored(output::in_place, room), stored.data());
    if (testing::Test::HasFatalFailure()) return;
    const bool is_full = !std::ranges::equal(stored.span(), d.statuses.span());
    ASSERT_EQ(is_full, p.layout.options.sectors < all);
    // As it would be for the caller: stored blocks are others' now.
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      if (stored[i] != status::ok || d.statuses[i] != status::ok) return;
      std::fill_n(d.block(layer, item), d.numbers_at.block_bytes, std::byte{0x5a});
      d.statuses[i] = status::does_not_fit;
    });
    ASSERT_TRUE(d.decode(output::in_place, room, {seed}));
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      ASSERT_EQ(d.decoded[i], status::ok);
      if (stored[i] == status::ok) return;
      ASSERT_TRUE(d.scene.equal(d.scene.numbers, d.numbers_at.cache, layer, item,
                                d.block(layer, item), d.scene.target()));
    });
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Slots at multiples of 4 that are none of 16.
TEST(pool, takes_and_gives_back_blocks_at_any_word) {
  for (const std::uint32_t word : {1u, 2u, 3u}) {
    device_scene d = scene_of(kGiven, 6, 2);
    d.set_item_count(1);
    d.plan.layers = 1;
    const buffer<line> slot("slot", d.slot_bytes / 16 + 1), other("other slot", slot.size());
    const auto at = [&](const buffer<line>& b) { return device_scene::bytes_of(b) + 4 * word; };
    const auto run = [&](coding_id id, cuda::head_layout heads, cuda::encode_parameters p,
                         launch_shape s) {
      p.out.slots = {at(slot), 0, 0, nullptr, nullptr};
      return run_encode(id, heads, p, s);
    };
    ASSERT_TRUE(d.encode_by(run, output::slots, d.slot_bytes, {word}));
    cuda::encoded_places places = d.places(output::slots, d.slot_bytes);
    places.slots = {at(slot), 0, 0, nullptr, nullptr};
    device_pool p(d.plan, {400, 64, 1});
    ASSERT_TRUE(p.store(d, {}, as_stored(places), d.decoded.data(), {word}));
    p.expect_stored(d, {}, as_stored(places), d.decoded.data());
    const std::uint32_t size = d.sizes[0];
    ASSERT_GT(size, 0u);
    places.slots.base = at(other);
    ASSERT_TRUE(p.load(d, {}, places, {word}));
    EXPECT_TRUE(std::equal(at(slot), at(slot) + size, at(other)));
  }
}

TEST(pool, has_parts_that_do_not_overlap) {
  const device_scene d = scene_of(kGiven, 1);
  for (const std::uint32_t sector : {64u, 512u, 65536u}) {
    const auto l = cuda::pool_layout::make(d.plan, {1000, sector, 77});
    ASSERT_TRUE(l);
    const std::uint32_t most = (d.plan.tiles * d.plan.stage_bytes + sector - 1) / sector;
    EXPECT_EQ(l->options.max_sectors, most);
    const std::vector<std::pair<std::size_t, std::size_t>> parts = {
        {l->arena, std::size_t{1000} * sector},
        {l->free, 4000},
        {l->states, 77 * 4},
        {l->sectors, std::size_t{77} * most * 4},
        {l->records, 77 * d.plan.tiles * sizeof(tile_record)},
        {l->counts, sizeof(cuda::pool_counts)},
        {l->change, sizeof(cuda::pool_change)}};
    std::size_t end = 0;
    for (const auto& [at, bytes] : parts) {
      EXPECT_EQ(at % 256, 0u);
      EXPECT_GE(at, end);
      end = at + bytes;
    }
    EXPECT_GE(l->bytes, end);
  }
  for (const cuda::pool_options& bad : std::vector<cuda::pool_options>{
           {0, 512, 1}, {1, 512, 0}, {1, 0, 1}, {1, 32, 1}, {1, 500, 1}, {1, 131072, 1}})
    EXPECT_EQ(cuda::pool_layout::make(d.plan, bad).code(), status::invalid_argument);
}

}  // namespace
}  // namespace skv::simt
