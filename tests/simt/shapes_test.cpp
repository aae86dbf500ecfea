// Blocks, batches and grids of all the shapes that caches have, and of some that none has.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

// One of each kind: alone with a plane and without, after the previous token, given in the same
// format and in another.
constexpr coding_id kSomeCodings[] = {
    {format_id::bf16, mean_source::given, format_id::bf16},
    {format_id::fp16, mean_source::none, format_id::fp16},
    {format_id::e4m3, mean_source::given, format_id::bf16},
    {format_id::e4m3, mean_source::previous_token, format_id::e4m3},
    {format_id::e5m2, mean_source::none, format_id::e5m2},
};

struct shape {
  std::string name;
  std::uint32_t tokens;
  std::vector<cuda::block_tensor> tensors;
  std::uint32_t items = 2;
  std::uint32_t tile_tokens = 0, tile_heads = 0;
  std::uint32_t warps = 3, grid_blocks = 2;
  std::uint32_t layers = 1;
  std::optional<std::uint32_t> token_count = std::nullopt;  ///< of every item
};

[[maybe_unused]] void PrintTo(const shape& s, std::ostream* out) { *out << s.name; }

cuda::block_tensor k(std::uint32_t heads, std::uint32_t head_dim) {
  return {tensor_kind::k, heads, head_dim, 0};
}
cuda::block_tensor v(std::uint32_t heads, std::uint32_t head_dim) {
  return {tensor_kind::v, heads, head_dim, 0};
}
cuda::block_tensor opaque(std::uint32_t bytes) { return {tensor_kind::k, 0, 0, bytes}; }

std::vector<shape> shapes() {
  std::vector<shape> all;
  const auto add = [&](shape s) { all.push_back(std::move(s)); };
  add({"head_dim_64", 16, {k(2, 64), v(2, 64)}});
  add({"head_dim_72", 16, {k(2, 72), v(2, 72)}});
  add({"head_dim_80", 16, {k(2, 80), v(2, 80)}});
  add({"head_dim_96", 16, {k(2, 96), v(2, 96)}});
  add({"head_dim_112", 16, {k(2, 112), v(2, 112)}});
  add({"head_dim_128", 16, {k(1, 128), v(1, 128)}});
  add({"latent", 32, {{tensor_kind::latent, 1, 576, 0}}});
  add({"latent_of_many_tokens", 64, {{tensor_kind::latent, 1, 576, 0}}, 1});
  add({"odd_head_dim", 7, {k(3, 37), v(3, 37)}});
  add({"one_channel", 16, {k(5, 1), v(5, 1)}, 4});
  add({"tokens_32", 32, {k(1, 64), v(1, 64)}});
  add({"tokens_128", 128, {k(1, 64), v(1, 64)}, 1});
  add({"tokens_256", 256, {k(1, 64)}, 1});
  add({"blocks_of_one_token", 1, {k(2, 64), v(2, 64)}, 9});
  add({"one_token_of_16", 16, {k(2, 64), v(2, 64)}, 3, 0, 0, 3, 2, 1, 1});
  add({"no_tokens", 16, {k(2, 64), v(2, 64)}, 3, 0, 0, 3, 2, 2, 0});
  add({"no_tokens_but_opaque_bytes", 16, {k(2, 8), opaque(37)}, 3, 0, 0, 3, 2, 2, 0});
  add({"tiles_end_in_the_middle_of_heads", 16, {k(7, 24), v(7, 24)}, 2, 5, 3});
  add({"widths_differ", 16, {k(2, 96), v(2, 64)}});
  add({"heads_differ", 16, {k(4, 24), v(2, 40)}, 2, 7, 3});
  add({"four_tensors", 5, {k(2, 24), v(2, 40), {tensor_kind::latent, 1, 50, 0}, opaque(3)}, 3, 2});
  add({"opaque_first", 8, {opaque(1), k(2, 24), v(2, 24)}, 3});
  add({"opaque_between", 8, {k(2, 24), opaque(515), v(2, 24)}, 3});
  add({"opaque_larger_than_stages", 8, {k(2, 24), v(2, 24), opaque(5001)}, 2});
  add({"opaque_as_large_as_two_stages", 8, {k(1, 16), opaque(2 * 528)}, 2});
  add({"nothing_but_opaque_bytes", 8, {opaque(1000), opaque(77)}, 3});
  add({"more_tiles_than_warps", 16, {k(4, 16), v(4, 16)}, 2, 4, 1, 2, 2});
  add({"more_tiles_than_lanes", 36, {k(2, 8), v(2, 8)}, 2, 2, 1, 3, 2});
  add({"more_warps_than_tiles", 8, {k(1, 40)}, 9, 0, 0, 8, 2});
  add({"warps_of_no_block", 8, {k(1, 40)}, 1, 0, 0, 8, 1});
  add({"one_warp", 8, {k(2, 24), v(2, 24)}, 5, 4, 1, 1, 1});
  add({"more_rounds_than_grid_blocks", 4, {k(1, 40), v(1, 40)}, 11, 0, 0, 2, 3, 3});
  add({"look_back_over_more_than_a_warp", 1, {k(1, 40)}, 75, 0, 0, 1, 37});
  return all;
}

class shaped : public testing::TestWithParam<shape> {};
INSTANTIATE_TEST_SUITE_P(shapes, shaped, testing::ValuesIn(shapes()),
                         [](const auto& p) { return p.param.name; });

cuda::block_geometry geometry_of(const shape& s) {
  cuda::block_geometry g;
  g.layers = s.layers;
  g.tokens = s.tokens;
  g.tensor_count = static_cast<std::uint32_t>(s.tensors.size());
  std::copy(s.tensors.begin(), s.tensors.end(), g.tensors);
  g.tile_tokens = s.tile_tokens;
  g.tile_heads = s.tile_heads;
  return g;
}

// K and V side by side need the same heads, and nothing else.
bool exists(page_layout layout, output how, const shape& s) {
  bool alike = true;
  for (const cuda::block_tensor& t : s.tensors)
    alike &= t.opaque_bytes == 0 && t.heads == s.tensors[0].heads;
  if (layout == page_layout::interleaved && !alike) return false;
  return layout != page_layout::two_planes || how != output::in_place;
}

TEST_P(shaped, blocks_are_the_cpu_codecs_and_come_back) {
  const shape& s = GetParam();
  std::uint64_t seed = 0;
  for (const coding_id id : kSomeCodings)
    for (const output how : kOutputs) {
      ++seed;
      page_layout layout = kPageLayouts[seed % 4], mean_layout = kPageLayouts[seed / 4 % 4];
      if (!exists(layout, how, s)) layout = page_layout::head_major;
      if (!exists(mean_layout, output::slots, s)) mean_layout = page_layout::token_major;
      SCOPED_TRACE(name_of(id) + ", " + to_string(how) + ", layout " +
                   std::to_string(static_cast<int>(layout)));
      paged_scene scene = make_scene(id, geometry_of(s), s.items, seed);
      if (s.token_count) scene.token_counts.assign(s.items, *s.token_count);
      device_scene d(std::move(scene), layout, mean_layout, seed);
      // The means of opaque bytes are not read.
      expect_round_trip(d, how, d.ample_room(how), {seed, s.warps, s.grid_blocks});
      if (HasFatalFailure()) return;
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
      const coding_id id = kSomeCodings[seed % 5];
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
    device_scene d(make_scene(kSomeCodings[seed % 5], small_geometry(), 4, 1),
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
