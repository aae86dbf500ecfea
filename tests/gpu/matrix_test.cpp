// The matrix of tests/support/shapes.hpp on a device, against the CPU: shapes, codings, layouts, outputs;
// batches with holes; room that does not suffice; ranges.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

std::uint64_t index_of(const shape& s) {
  const std::vector<shape> all = shapes();
  return static_cast<std::uint64_t>(std::ranges::find(all, s.name, &shape::name) - all.begin());
}

class gpu_shaped : public on_device<testing::TestWithParam<shape>> {};
INSTANTIATE_TEST_SUITE_P(shapes, gpu_shaped, testing::ValuesIn(shapes()),
                         [](const auto& p) { return p.param.name; });

TEST_P(gpu_shaped, blocks_are_the_cpu_codecs_and_come_back) {
  const shape& s = GetParam();
  // From another one on in each shape, so that all codings have their turn.
  std::uint64_t cell = 37 * index_of(s);
  for (const coding_id id : all_codings())
    each_cell(id, geometry_of(s), [&](output how, page_layout layout, page_layout mean_layout) {
      if (HasFatalFailure() || ++cell % every() != 0) return;
      SCOPED_TRACE(name_of(id) + ", " + to_string(how) + ", " + to_string(layout) + ", means " +
                   to_string(mean_layout));
      expect_round_trip(gpu_scene(scene_of(s, id, cell), layout, mean_layout), how);
    });
}

class gpu_batches : public on_device<testing::TestWithParam<output>> {};
INSTANTIATE_TEST_SUITE_P(outputs, gpu_batches, testing::ValuesIn(kOutputs), [](const auto& p) {
  return std::string(p.param == output::in_place ? "in_place" : to_string(p.param));
});

TEST_P(gpu_batches, skip_items_without_a_block) {
  for (std::uint64_t seed = 8 - repeats(7); seed <= 8; ++seed)
    for (const bool pointers : {false, true}) {
      SCOPED_TRACE(std::to_string(seed) + (pointers ? ", pointers" : ", indices"));
      gpu_scene g(
          make_scene(kSomeCodings[seed % std::size(kSomeCodings)], small_geometry(), 5, seed),
          page_layout::token_major, page_layout::head_major);
      random_source random(seed);
      std::vector<std::int32_t> indices = g.order;
      for (std::int32_t& i : indices)
        if (seed == 8 || random.chance(0.4))
          i = random.chance(0.5) ? -1 : static_cast<std::int32_t>(0x80000000);
      g.set_indices(std::move(indices));
      if (pointers) g.use_pointers();
      expect_round_trip(g, GetParam());
      if (HasFatalFailure()) return;
    }
}

TEST_P(gpu_batches, have_as_many_items_as_the_device_says) {
  for (const std::uint32_t items : {0u, 1u, 3u, 4u, 1000u}) {
    SCOPED_TRACE(items);
    gpu_scene g(
        make_scene(kSomeCodings[items % std::size(kSomeCodings)], small_geometry(), 4, items),
        page_layout::token_major, page_layout::two_planes);
    g.set_item_count(items);
    g.forget();
    const mirror before = g.read_back();
    expect_round_trip(g, GetParam());
    if (HasFatalFailure()) return;
    // Nothing is said of the others.
    const mirror after = g.read_back();
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::size_t i = layer * 4 + std::min(items, 4u); i < (layer + 1) * 4; ++i) {
        EXPECT_EQ(after.sizes[i], before.sizes[i]);
        EXPECT_EQ(after.statuses[i], before.statuses[i]);
        EXPECT_EQ(after.decoded[i], before.decoded[i]);
        EXPECT_EQ(after.offsets[i], before.offsets[i]);
        for (std::size_t t = i * g.plan.tiles; t < (i + 1) * g.plan.tiles; ++t)
          EXPECT_EQ(after.records[t], before.records[t]);
      }
  }
}

// Room of nothing, of every block's size, of a word less or more: what does not fit stays raw and whole.
TEST_P(gpu_batches, take_the_room_that_there_is) {
  for (const coding_id id : kSomeCodings) {
    const gpu_scene g(make_scene(id, small_geometry(), 3, 5), page_layout::token_major,
                      page_layout::head_major);
    const mirror m = g.read_back();
    std::set<std::uint64_t> rooms{0, 4};
    std::uint64_t packed_at = 0;
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      const std::uint64_t size = cpu_block(m, layer, item).bytes.size();
      if (size == 0) return;
      const std::uint64_t exact = GetParam() == output::packed ? packed_at + size : size;
      rooms.insert({exact - 4, exact, exact + 4});
      packed_at = cuda::round_up<std::uint64_t>(packed_at + size, cuda::kBlockAlign);
    });
    for (const std::uint64_t room : rooms) {
      if (room > g.ample_room(GetParam())) continue;
      SCOPED_TRACE(name_of(id) + ", " + std::to_string(room));
      g.upload(g.numbers_at, g.cache, g.scene.numbers, g.scene.target());
      expect_round_trip(g, GetParam(), room);
      if (HasFatalFailure()) return;
    }
  }
}

class gpu_wanted : public on_device<> {};

TEST_F(gpu_wanted, tiles_are_decoded_and_no_others) {
  std::uint64_t seed = 0;
  for (const coding_id id : kSomeCodings)
    for (const output how : {output::slots, output::packed}) {
      SCOPED_TRACE(name_of(id) + ", " + to_string(how));
      const gpu_scene g(make_scene(id, geometry_of_ranges(), 3, ++seed), page_layout::head_major,
                        page_layout::two_planes);
      ASSERT_TRUE(g.encode(how, nullptr));
      for (const cuda::wanted_range& w : wanted_ranges(seed)) {
        g.cache.forget();
        const mirror before = g.read_back();
        ASSERT_TRUE(g.decode(how, nullptr, g.ample_room(how), w));
        check(cudaDeviceSynchronize());
        expect_wanted(g.read_back(&before), w);
        if (HasFatalFailure()) return;
      }
      g.expect_intact();
    }
}

}  // namespace
}  // namespace skv::gpu
