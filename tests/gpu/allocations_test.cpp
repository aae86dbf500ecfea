// Caches whose layers and tensors lie in allocations of their own, as engines have them: one launch codes all.
#include <gtest/gtest.h>

#include "gpu/separate_blocks.hpp"

namespace skv::gpu {
namespace {

class allocations : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, allocations, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(allocations, layers_and_tensors_may_lie_in_allocations_of_their_own) {
  std::uint64_t seed = 60;
  for (const page_layout layout : {page_layout::token_major, page_layout::head_major})
    for (const way how : {way::layer_bases, way::pointers}) {
      cuda::block_geometry geometry = random_geometry(++seed);
      geometry.layers = 3;
      const gpu_scene g(make_scene(GetParam(), geometry, 7, seed), layout,
                        page_layout::token_major);
      separate_blocks numbers(g, g.numbers_at, g.cache, how);
      const separate_blocks means(g, g.means_at, g.means,
                                  how == way::pointers ? way::layer_bases : way::pointers);
      // Slots as well, and in the other way.
      cuda::encoded_places out = g.places(output::slots);
      std::vector<std::byte*> slots;
      for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
        for (std::uint32_t item = 0; item < (how == way::pointers ? 1 : g.scene.items); ++item)
          slots.push_back(out.slots.at(layer, item));
      const device_array<std::byte*> slots_dev{std::span<std::byte* const>(slots)};
      if (how == way::pointers) {
        out.slots.layer_bases_dev = slots_dev.data();
      } else {
        out.slots.pointers_dev = slots_dev.data();
        out.slots.pointer_layer_stride = g.scene.items;
        out.slots.layer_stride_bytes = 0;
      }
      out.slots.base = nullptr;
      ASSERT_TRUE(
          g.coder.encode_async(g.batch(), numbers.cache(), means.cache(), out, g.room(), nullptr));
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(output::slots);
      if (HasFatalFailure()) return;

      numbers.forget();
      g.cache.forget();
      ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), means.cache(), numbers.cache(),
                                       false, {}, g.decoded.data(), g.room(), nullptr));
      check(cudaDeviceSynchronize());
      numbers.gather(g.cache);
      g.expect_restored(output::slots);
      if (HasFatalFailure()) return;
    }
}

// Opaque bytes are not predicted: where a cache of means would have them does not matter.
TEST_P(allocations, means_have_no_place_for_opaque_bytes) {
  cuda::block_geometry geometry = random_geometry(65);
  geometry.tensors[2] = opaque(52);
  geometry.tensor_count = 3;
  const gpu_scene g(make_scene(GetParam(), geometry, 5, 65), page_layout::token_major,
                    page_layout::token_major);
  const std::vector<std::int32_t> none(g.scene.items, -1);
  const device_array<std::int32_t> none_dev{std::span<const std::int32_t>(none)};
  cuda::paged_cache means = g.means_at.cache;
  means.tensors[0].blocks = means.tensors[1].blocks = means.blocks;
  means.blocks.indices_dev = none_dev.data();
  const cuda::encoded_places out = g.places(output::slots);
  ASSERT_TRUE(g.coder.encode_async(g.batch(), g.numbers_at.cache, means, out, g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_cpu_bytes(output::slots);
  g.cache.forget();
  ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), means, g.numbers_at.cache, false, {},
                                   g.decoded.data(), g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_restored(output::slots);
}

// As the scales of an fp8 cache: beside K and V that share blocks, or that have their own as well.
TEST_P(allocations, opaque_bytes_may_lie_in_an_allocation_of_their_own) {
  std::uint64_t seed = 90;
  for (const std::uint32_t first : {2u, 0u})
    for (const way how : {way::layer_bases, way::pointers}) {
      SCOPED_TRACE(++seed);
      const gpu_scene g(make_scene(GetParam(), geometry_of_ranges(), 4, seed),
                        page_layout::token_major, page_layout::head_major);
      separate_blocks numbers(g, g.numbers_at, g.cache, how, first);
      const cuda::encoded_places out = g.places(output::slots);
      ASSERT_TRUE(g.coder.encode_async(g.batch(), numbers.cache(), g.means_at.cache, out, g.room(),
                                       nullptr));
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(output::slots);
      if (HasFatalFailure()) return;
      for (const cuda::wanted_range& w : wanted_ranges(seed)) {
        numbers.forget();
        g.cache.forget();
        const mirror before = g.read_back();
        ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache,
                                         numbers.cache(), false, w, g.decoded.data(), g.room(),
                                         nullptr));
        check(cudaDeviceSynchronize());
        numbers.gather(g.cache);
        expect_wanted(g.read_back(&before), w);
        if (HasFatalFailure()) return;
      }
      g.expect_intact();
    }
}

// K, V or scales in place: each has a codec, whose slots are the tensor's own blocks.
TEST_P(allocations, blocks_of_a_tensors_own_are_coded_in_place) {
  std::uint64_t seed = 100;
  for (const cuda::block_tensor& tensor : {k(3, 40), v(2, 64), opaque(1030)})
    for (const way how : {way::layer_bases, way::pointers}) {
      SCOPED_TRACE(++seed);
      const gpu_scene g(make_scene(GetParam(), geometry_of({"", 16, {tensor}}), 5, seed),
                        page_layout::head_major, page_layout::token_major);
      const std::uint64_t room = g.ample_room(output::in_place);
      separate_blocks numbers(g, g.numbers_at, g.cache, how);
      cuda::encoded_places out = g.places(output::in_place);
      out.slots = numbers.cache().tensors[0].blocks;
      const mirror raw = g.read_back();
      ASSERT_TRUE(g.coder.encode_async(g.batch(), numbers.cache(), g.means_at.cache, out, g.room(),
                                       nullptr));
      check(cudaDeviceSynchronize());
      numbers.gather(g.cache);
      expect_cpu_bytes(g.read_back(&raw), output::in_place, room);
      if (HasFatalFailure()) return;
      const mirror encoded = g.read_back();
      ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache, numbers.cache(),
                                       true, {}, g.decoded.data(), g.room(), nullptr));
      check(cudaDeviceSynchronize());
      numbers.gather(g.cache);
      expect_restored(g.read_back(&encoded), output::in_place, room);
      g.expect_intact();
      if (HasFatalFailure()) return;
    }
}

// An item is skipped if any of its tensors has no block: none of it is lost.
TEST_P(allocations, an_item_without_one_of_its_tensors_is_skipped) {
  const gpu_scene g(random_scene(GetParam(), 70), page_layout::token_major,
                    page_layout::token_major);
  const separate_blocks numbers(g, g.numbers_at, g.cache, way::layer_bases);
  std::vector<std::int32_t> order = g.order;
  order[0] = -1;
  const device_array<std::int32_t> without_first{std::span<const std::int32_t>(order)};
  cuda::paged_cache cache = numbers.cache();
  cache.tensors[1].blocks.indices_dev = without_first.data();
  const cuda::encoded_places out = g.places(output::slots);
  ASSERT_TRUE(g.coder.encode_async(g.batch(), cache, g.means_at.cache, out, g.room(), nullptr));
  check(cudaDeviceSynchronize());
  const auto sizes = g.sizes.to_host();
  const auto statuses = g.statuses.to_host();
  g.each_block([&](std::uint32_t, std::uint32_t item, std::size_t index) {
    EXPECT_EQ(statuses[index], status::ok);
    if (item == 0) {
      EXPECT_EQ(sizes[index], 0u);
    }
  });
  ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache, cache, false, {},
                                   g.decoded.data(), g.room(), nullptr));
  check(cudaDeviceSynchronize());
  for (const status s : g.decoded.to_host()) EXPECT_EQ(s, status::ok);
}

TEST(places_of_tensors, must_be_given_for_each) {
  if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  const gpu_scene g(random_scene(kAlone, 80), page_layout::token_major, page_layout::token_major);
  cuda::paged_cache cache = g.numbers_at.cache;
  cache.tensors[0].blocks = cache.blocks;
  cache.blocks = {};
  const auto r =
      g.coder.encode_async(g.batch(), cache, {}, g.places(output::slots), g.room(), nullptr);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.failure().code, status::invalid_argument);
  EXPECT_EQ(r.failure().message, "numbers: no blocks are given");
}

}  // namespace
}  // namespace skv::gpu
