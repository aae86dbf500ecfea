// Compacting and the block pool on a device: bytes are those of packed encoding, every bit comes back,
// and the pool's counts add up.
#include <gtest/gtest.h>

#include "gpu/gpu_pool.hpp"

namespace skv::gpu {
namespace {

class gpu_pool : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu_pool, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_pool, compacting_is_packed_encoding) {
  for (std::uint64_t seed = 1; seed <= repeats(4); ++seed) {
    const gpu_scene packed(random_scene(GetParam(), seed), page_layout::token_major,
                           page_layout::token_major);
    const gpu_scene g(random_scene(GetParam(), seed), page_layout::head_major,
                      page_layout::token_major);
    ASSERT_TRUE(packed.encode(output::packed, nullptr));
    ASSERT_TRUE(g.encode(output::slots, nullptr));
    const auto total = packed.total.to_host()[0];
    const device_array<std::byte> bytes(total);
    const device_array<std::uint32_t> sizes(g.count());
    const device_array<status> statuses(g.count());
    cuda::encoded_places out = g.places(output::packed);
    out.packed = bytes.data();
    out.packed_bytes = total;
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    ASSERT_TRUE(g.coder.compact_async(g.batch(), as_stored(g.places(output::slots)), out, g.room(),
                                      nullptr));
    check(cudaDeviceSynchronize());
    ASSERT_EQ(g.total.to_host()[0], total);
    ASSERT_EQ(g.offsets.to_host(), packed.offsets.to_host());
    ASSERT_EQ(sizes.to_host(), packed.sizes.to_host());
    const auto is = statuses.to_host();
    const auto expected = packed.slots.to_host(), actual = bytes.to_host();
    const auto where = g.offsets.to_host();
    for (std::size_t i = 0; i < g.count(); ++i) {
      ASSERT_EQ(is[i], status::ok);
      ASSERT_TRUE(std::equal(actual.begin() + where[i],
                             actual.begin() + where[i] + sizes.to_host()[i],
                             expected.begin() + where[i]));
    }
    ASSERT_TRUE(bytes.is_intact() && sizes.is_intact() && statuses.is_intact());
    // And back from there.
    g.cache.forget();
    ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache,
                                     g.numbers_at.cache, false, {}, g.decoded.data(), g.room(),
                                     nullptr));
    check(cudaDeviceSynchronize());
    g.expect_restored(output::slots);
    if (HasFatalFailure()) return;
  }
}

TEST_P(gpu_pool, restores_every_bit) {
  for (std::uint64_t seed = 1; seed <= repeats(4); ++seed)
    for (const output how : {output::slots, output::in_place}) {
      SCOPED_TRACE(seed);
      const gpu_scene g(random_scene(GetParam(), seed), kPageLayouts[seed % 3],
                        page_layout::token_major);
      const std::uint32_t items = g.scene.items;
      const cuda::pool p = pool_of(g, {static_cast<std::uint32_t>(g.slots.size() / 512 + g.count()),
                                       512, static_cast<std::uint32_t>(g.count())});
      const entry_list list(counting(items), items);
      const cuda::encoded_places places = g.places(how);
      const device_array<status> stored(g.count());
      ASSERT_TRUE(g.encode(how, nullptr));
      check(cudaDeviceSynchronize());
      const auto sizes = g.sizes.to_host();
      const auto encoded = g.statuses.to_host();
      ASSERT_TRUE(
          p.store_async(g.batch(), list.entries, as_stored(places), stored.data(), nullptr));
      check(cudaDeviceSynchronize());
      ASSERT_EQ(stored.to_host(), encoded);
      std::map<std::int64_t, std::uint32_t> held;
      for (std::size_t i = 0; i < g.count(); ++i)
        if (encoded[i] == status::ok) held[static_cast<std::int64_t>(i)] = sizes[i];
      expect_sound(p, held);
      if (HasFatalFailure()) return;

      // Blocks that stayed raw are not in the pool.
      const bool all = held.size() == g.count();
      if (all) g.cache.forget();
      g.slots.forget();
      g.records.forget();
      ASSERT_TRUE(p.restore_async(g.coder, g.batch(), list.entries, places, g.means_at.cache,
                                  g.numbers_at.cache, how == output::in_place, g.decoded.data(),
                                  g.room(), nullptr));
      check(cudaDeviceSynchronize());
      const auto decoded = g.decoded.to_host();
      for (std::size_t i = 0; i < g.count(); ++i)
        ASSERT_EQ(decoded[i], encoded[i] == status::ok ? status::ok : status::invalid_argument);
      if (all) g.expect_restored(how);
      if (HasFatalFailure()) return;

      ASSERT_TRUE(p.drop_async(g.batch(), list.entries, stored.data(), nullptr));
      check(cudaDeviceSynchronize());
      expect_sound(p, {});
      if (HasFatalFailure()) return;
    }
}

TEST_P(gpu_pool, a_captured_graph_stores_restores_and_drops_each_time) {
  const gpu_scene g(random_scene(GetParam(), 7), page_layout::token_major,
                    page_layout::token_major);
  const std::uint32_t items = g.scene.items;
  const cuda::pool p = pool_of(g, {static_cast<std::uint32_t>(g.slots.size() / 512 + g.count()),
                                   512, static_cast<std::uint32_t>(g.count())});
  const entry_list list(counting(items), items);
  const cuda::encoded_places places = g.places(output::slots);
  const device_array<status> stored(g.count()), dropped(g.count());
  const captured_graph graph([&](cudaStream_t stream) {
    ASSERT_TRUE(g.encode(output::slots, stream));
    ASSERT_TRUE(p.store_async(g.batch(), list.entries, as_stored(places), stored.data(), stream));
    ASSERT_TRUE(p.restore_async(g.coder, g.batch(), list.entries, places, g.means_at.cache,
                                g.numbers_at.cache, false, g.decoded.data(), g.room(), stream));
    ASSERT_TRUE(p.drop_async(g.batch(), list.entries, dropped.data(), stream));
  });
  if (HasFatalFailure()) return;
  for (int replay = 0; replay < 3; ++replay) {
    g.forget();
    stored.forget();
    dropped.forget();
    graph.replay();
    g.expect_restored(output::slots);
    for (const status s : stored.to_host()) ASSERT_EQ(s, status::ok);
    for (const status s : dropped.to_host()) ASSERT_EQ(s, status::ok);
    expect_sound(p, {});
    if (HasFatalFailure()) break;
  }
}

// Entries at random: twice, not there, held already, empty; in an arena that is full now and then.
TEST(gpu_pool_random, in_any_order_its_counts_add_up_and_every_bit_comes_back) {
  if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  random_source random(1);
  for (std::uint64_t seed = 1; seed <= repeats(10); ++seed) {
    const gpu_scene g(random_scene(kGiven, seed), page_layout::token_major,
                      page_layout::token_major);
    const std::uint32_t items = g.scene.items, per_layer = items + 2;
    ASSERT_TRUE(g.encode(output::slots, nullptr));
    check(cudaDeviceSynchronize());
    const auto sizes = g.sizes.to_host();
    const auto encoded = g.statuses.to_host();
    std::uint64_t wanted = 0;
    for (const std::uint32_t size : sizes) wanted += (size + 511) / 512;
    const cuda::pool p = pool_of(
        g, {static_cast<std::uint32_t>(1 + wanted * 2 / 3), 512, per_layer * g.plan.layers});
    const cuda::encoded_places places = g.places(output::slots);
    // Loading leaves arrays of its own: those of encoding are stored again and again.
    const gpu_scene other(random_scene(kGiven, seed), page_layout::token_major,
                          page_layout::token_major);
    const device_array<status> is(g.count());
    std::map<std::int64_t, std::uint32_t> held;
    std::map<std::int64_t, std::size_t> origin;
    for (int step = 0; step < 40; ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
      std::vector<std::int32_t> entries;
      for (std::uint32_t i = 0; i < items; ++i) {
        // A restored block is one of this item, for it needs its reference.
        entries.push_back(
            static_cast<std::int32_t>(random.chance(0.7) ? i : random.below(per_layer)));
        if (random.chance(0.05)) entries.back() = static_cast<std::int32_t>(random.edgy());
      }
      const entry_list list(std::move(entries), per_layer);
      const std::uint32_t what = random.below(3);
      if (what == 0) {
        ASSERT_TRUE(p.store_async(g.batch(), list.entries, as_stored(places), is.data(), nullptr));
      } else if (what == 1) {
        other.cache.forget();
        ASSERT_TRUE(p.restore_async(
            other.coder, other.batch(), list.entries, other.places(output::in_place),
            other.means_at.cache, other.numbers_at.cache, true, is.data(), other.room(), nullptr));
      } else {
        ASSERT_TRUE(p.drop_async(g.batch(), list.entries, is.data(), nullptr));
      }
      check(cudaDeviceSynchronize());
      const auto statuses = is.to_host();
      auto cache = other.cache.to_host();
      const auto before = held;
      g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
        const std::int64_t e = list.at(layer, item);
        if (list.list[item] < 0) {
          ASSERT_EQ(statuses[i], status::ok);
        } else if (what == 0 && statuses[i] == status::ok) {
          ASSERT_EQ(encoded[i], status::ok);
          ASSERT_TRUE(e < per_layer * g.plan.layers && held.emplace(e, sizes[i]).second);
          origin[e] = i;
        } else if (what == 1 && before.contains(e)) {
          if (before.at(e) > other.places(output::in_place).slot_bytes) {
            ASSERT_EQ(statuses[i], status::invalid_argument);
          } else if (origin.at(e) == i) {
            ASSERT_EQ(statuses[i], status::ok);
            ASSERT_TRUE(other.scene.equal(
                other.scene.numbers, other.numbers_at.cache, layer, item,
                gpu_scene::host_block(other.numbers_at, cache, layer, other.order[item]),
                other.scene.target()));
          }
        } else if (what == 2 && statuses[i] == status::ok) {
          ASSERT_EQ(held.erase(e), 1u);
        } else {
          ASSERT_NE(statuses[i], status::ok);
        }
      });
      if (testing::Test::HasFatalFailure()) return;
      expect_sound(p, held);
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(p.clear_async(nullptr));
    expect_sound(p, {});
  }
}

// What is wrong with a call is told before anything is asked of a device.
TEST(gpu_pool_options, that_cannot_be_are_refused) {
  const profile_ptr used_profile = default_profile_of(kGiven);
  cuda::block_geometry g = random_geometry(1);
  const auto code = [&](const cuda::pool_options& o) {
    return cuda::pool::make(used_profile, g, o).code();
  };
  EXPECT_EQ(code({0, 512, 1}), status::invalid_argument);
  EXPECT_EQ(code({1, 512, 0}), status::invalid_argument);
  EXPECT_EQ(code({1, 96, 1}), status::invalid_argument);
  EXPECT_EQ(code({1, 512, 1}), missing_device().empty() ? status::ok : status::unsupported);
  g.layers = 0;
  EXPECT_EQ(code({1, 512, 1}), status::invalid_argument);
}

}  // namespace
}  // namespace skv::gpu
