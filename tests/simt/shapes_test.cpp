// Blocks, batches and grids of all the shapes that caches have, and of some that none has.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"
#include "support/effort.hpp"

namespace skv::simt {
namespace {

class shaped : public testing::TestWithParam<shape> {};
INSTANTIATE_TEST_SUITE_P(shapes, shaped, testing::ValuesIn(shapes()),
                         [](const auto& p) { return p.param.name; });

TEST_P(shaped, blocks_are_the_cpu_codecs_and_come_back) {
  const shape& s = GetParam();
  std::uint64_t seed = 0;
  for (const coding_id id : all_codings()) {
    const paged_scene scene = scene_of(s, id, ++seed);
    each_cell(id, scene.geometry, [&](output how, page_layout layout, page_layout mean_layout) {
      // Slow builds: some cells of each coding.
      if (HasFatalFailure() || ++seed % kStride != 0) return;
      SCOPED_TRACE(name_of(id) + ", " + to_string(how) + ", " + to_string(layout) + ", means " +
                   to_string(mean_layout));
      // The means of opaque bytes are not read.
      device_scene d(scene, layout, mean_layout, seed);
      expect_round_trip(d, how, d.ample_room(how), {seed, s.warps, s.grid_blocks});
    });
  }
}

profile_ptr profile_with_scales(coding_id id, const cuda::block_geometry& g, std::uint32_t layers) {
  profile_content c = default_profile_of(id)->content();
  c.default_code = 0;
  for (std::uint32_t layer = 0; layer < layers; ++layer)
    for (std::uint32_t i = 0; i < g.tensor_count; ++i)
      c.scales.push_back(random_scales(id.source, {layer, g.tensors[i].kind}, g.tensors[i].heads,
                                       g.tensors[i].head_dim));
  auto p = profile::make(std::move(c));
  if (!p) throw std::runtime_error(p.failure().message);
  return *std::move(p);
}

TEST(scales, are_those_of_the_models_layer_tensor_and_head) {
  cuda::block_geometry g = geometry_of({"", 6, {k(5, 24), v(3, 40)}, 2, 4, 2});
  g.first_layer = 3;
  g.layers = 3;
  std::uint64_t seed = 100;
  for (const coding_id id : kSomeCodings)
    for (const output how : kOutputs) {
      SCOPED_TRACE(name_of(id) + ", " + to_string(how));
      ++seed;
      device_scene d(make_scene(id, g, 2, seed, profile_with_scales(id, g, 7)),
                     page_layout::head_major, page_layout::token_major, seed);
      expect_round_trip(d, how, d.ample_room(how), {seed});
      if (HasFatalFailure()) return;
    }
  cuda::plan_arrays arrays;
  g.first_layer = 5;
  const auto p = cuda::make_plan(*profile_with_scales(kSomeCodings[0], g, 7), g, arrays);
  EXPECT_EQ(p.code(), status::wrong_profile) << "there is no layer 7";
}

class batches : public testing::TestWithParam<output> {};
INSTANTIATE_TEST_SUITE_P(outputs, batches, testing::ValuesIn(kOutputs), [](const auto& p) {
  return std::string(p.param == output::in_place ? "in_place" : to_string(p.param));
});

TEST_P(batches, skip_items_without_a_block) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed)
    for (const bool pointers : {false, true}) {
      SCOPED_TRACE(std::to_string(seed) + (pointers ? ", pointers" : ", indices"));
      const coding_id id = kSomeCodings[seed % std::size(kSomeCodings)];
      device_scene d(make_scene(id, small_geometry(), 5, seed), page_layout::token_major,
                     page_layout::head_major, seed);
      random_source random(seed);
      for (std::uint32_t i = 0; i < 5; ++i)
        if (seed == 8 || random.chance(0.4))
          d.indices[i] = random.chance(0.5) ? -1 : static_cast<std::int32_t>(0x80000000);
      if (pointers) d.use_pointers();
      expect_round_trip(d, GetParam(), d.ample_room(GetParam()), {seed});
      if (HasFatalFailure()) return;
    }
}

TEST_P(batches, have_as_many_items_as_the_device_says) {
  for (const std::uint32_t items : {0u, 1u, 3u, 4u}) {
    SCOPED_TRACE(items);
    device_scene d(make_scene(kSomeCodings[items], small_geometry(), 4, items),
                   page_layout::token_major, page_layout::two_planes, items);
    d.set_item_count(items);
    constexpr tile_record kUntouched{1, 2, 3};
    d.records.fill(kUntouched);
    d.sizes.fill(77);
    d.statuses.fill(status::io_error);
    d.decoded.fill(status::io_error);
    d.offsets.fill(78);
    expect_round_trip(d, GetParam(), d.ample_room(GetParam()), {items});
    if (HasFatalFailure()) return;
    for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
      for (std::uint32_t i = layer * 4 + items; i < layer * 4 + 4; ++i) {
        EXPECT_EQ(d.sizes[i], 77u);
        EXPECT_EQ(d.statuses[i], status::io_error);
        EXPECT_EQ(d.decoded[i], status::io_error);
        EXPECT_EQ(d.offsets[i], 78u);
        for (std::uint32_t t = 0; t < d.plan.tiles; ++t)
          EXPECT_EQ(d.records[i * d.plan.tiles + t], kUntouched);
      }
  }
  device_scene d(make_scene(kSomeCodings[0], small_geometry(), 2, 1), page_layout::token_major,
                 page_layout::token_major, 1);
  d.item_count[0] = 1000;  // no more than the batch has room for
  expect_round_trip(d, GetParam(), d.ample_room(GetParam()), {1});
}

TEST_P(batches, come_out_the_same_in_every_order) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    device_scene d(make_scene(kSomeCodings[seed % std::size(kSomeCodings)], small_geometry(), 4, 1),
                   page_layout::head_major, page_layout::interleaved, 1);
    const grid g{seed, 1 + static_cast<std::uint32_t>(seed % 7),
                 1 + static_cast<std::uint32_t>(seed % 4)};
    expect_round_trip(d, GetParam(), d.ample_room(GetParam()), g);
    if (HasFatalFailure()) return;
  }
}

/// Where it could go wrong: the first and the last channel of every head.
TEST(head_of, is_a_division) {
  for (std::uint32_t head_dim = 1; head_dim <= 65536; ++head_dim) {
    const std::uint32_t inverse = cuda::inverse_of(head_dim);
    for (std::uint32_t head = 0; head < 65536 / head_dim; ++head) {
      ASSERT_EQ(cuda::head_of(head * head_dim, inverse), head) << head_dim;
      ASSERT_EQ(cuda::head_of(head * head_dim + head_dim - 1, inverse), head) << head_dim;
    }
  }
}

}  // namespace
}  // namespace skv::simt
