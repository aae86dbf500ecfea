// The codec on a device: the CPU codec's bytes, and every bit back; in graphs, on several streams.
#include <gtest/gtest.h>

#include <memory>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

class gpu : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu, a_captured_graph_does_the_same_each_time) {
  const gpu_scene g(random_scene(GetParam(), 7), page_layout::token_major,
                    page_layout::token_major);
  const captured_graph graph([&](cudaStream_t stream) {
    ASSERT_TRUE(g.encode(output::packed, stream));
    ASSERT_TRUE(g.decode(output::packed, stream));
  });
  if (HasFatalFailure()) return;
  for (int replay = 0; replay < 3; ++replay) {
    g.forget();
    graph.replay();
    g.expect_cpu_bytes(output::packed);
    g.expect_restored(output::packed);
  }
}

// The graph is of the largest batch; how many items and tokens there are is said anew each time.
TEST_P(gpu, a_captured_graph_does_what_its_counts_say_each_time) {
  gpu_scene g(random_scene(GetParam(), 8), page_layout::head_major, page_layout::token_major);
  const std::uint32_t items = g.scene.items;
  g.set_item_count(items);
  const device_array<std::byte> packed(g.slots.size());
  const device_array<std::uint32_t> sizes(g.count());
  const device_array<status> statuses(g.count());
  cuda::encoded_places out = g.places(output::packed);
  out.packed = packed.data();
  out.sizes = sizes.data();
  out.statuses = statuses.data();
  const captured_graph graph([&](cudaStream_t stream) {
    ASSERT_TRUE(g.encode(output::slots, stream));
    ASSERT_TRUE(g.coder.compact_async(g.batch(), as_stored(g.places(output::slots)), out, g.room(),
                                      stream));
    check(cudaMemsetAsync(g.cache.data(), 0x5a, g.cache.size(), stream));
    ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache,
                                     g.numbers_at.cache, false, {}, g.decoded.data(), g.room(),
                                     stream));
  });
  if (HasFatalFailure()) return;
  random_source random(9);
  for (const std::uint32_t now : {items, 0u, 1u, items / 2, items + 3, items}) {
    SCOPED_TRACE(now);
    std::vector<std::uint32_t> tokens(items);
    for (std::uint32_t& t : tokens) t = random.below(g.scene.geometry.tokens + 1);
    g.set_token_counts(std::move(tokens));
    g.set_item_count(now);
    g.forget();
    packed.forget();
    g.upload(g.numbers_at, g.cache, g.scene.numbers, g.scene.target());
    g.upload(g.means_at, g.means, g.scene.means, g.scene.mean());
    mirror before = g.read_back();
    std::ranges::fill(before.cache, std::byte{0x5a});
    graph.replay();
    mirror after = g.read_back(&before);
    after.cache_before = after.cache;  // decoded since
    expect_cpu_bytes(after, output::slots, g.ample_room(output::slots));
    if (HasFatalFailure()) return;
    after.cache_before = before.cache;
    after.slots_before = after.slots;
    expect_restored(after, output::slots, g.ample_room(output::slots));
    after.slots_before.assign(packed.size(), std::byte{0x5a});
    after.slots = packed.to_host();
    after.sizes = sizes.to_host();
    after.statuses = statuses.to_host();
    after.cache_before = after.cache;
    expect_cpu_bytes(after, output::packed, packed.size());
    g.expect_intact();
    if (HasFatalFailure()) return;
  }
}

TEST_P(gpu, streams_do_not_disturb_each_other) {
  constexpr int kStreams = 4;
  std::vector<std::unique_ptr<gpu_scene>> scenes;
  std::vector<cudaStream_t> streams(kStreams);
  for (int i = 0; i < kStreams; ++i) {
    check(cudaStreamCreate(&streams[i]));
    scenes.push_back(
        std::make_unique<gpu_scene>(random_scene(GetParam(), 20 + static_cast<std::uint64_t>(i)),
                                    page_layout::token_major, page_layout::head_major));
  }
  for (std::uint64_t round = 0; round < repeats(5); ++round)
    for (int i = 0; i < kStreams; ++i) {
      ASSERT_TRUE(scenes[i]->encode(output::slots, streams[i]));
      ASSERT_TRUE(scenes[i]->decode(output::slots, streams[i]));
    }
  check(cudaDeviceSynchronize());
  for (const auto& s : scenes) {
    s->expect_cpu_bytes(output::slots);
    s->expect_restored(output::slots);
  }
  for (cudaStream_t s : streams) check(cudaStreamDestroy(s));
}

// What a kernel may use of shared memory is the function's, which codecs share.
TEST_P(gpu, a_later_codec_leaves_an_earlier_one_as_it_was) {
  paged_scene s = random_scene(GetParam(), 7);
  s.geometry.tile_tokens = s.geometry.tile_heads = 1;
  const gpu_scene g(std::move(s), page_layout::token_major, page_layout::token_major);
  cuda::block_geometry few_tiles = g.scene.geometry;
  few_tiles.tile_tokens = few_tiles.tile_heads = 65536;
  const auto later = cuda::codec::make(g.scene.used_profile, few_tiles);
  ASSERT_TRUE(later) << later.failure().message;
  ASSERT_LT(later->tiles_per_block(), g.coder.tiles_per_block());
  ASSERT_TRUE(g.encode(output::slots, nullptr));
  ASSERT_TRUE(g.decode(output::slots, nullptr));
  check(cudaDeviceSynchronize());
  g.expect_cpu_bytes(output::slots);
  g.expect_restored(output::slots);
}

TEST(gpu_random, batches_of_every_kind) {
  if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  const auto codings = all_codings();
  const std::uint64_t batches = asked("SKV_GPU_BATCHES", std::max<std::uint64_t>(500 / every(), 1));
  random_source random(asked("SKV_GPU_SEED", 1));
  const auto one_of = [&](const auto& choices) {
    return choices[random.below(std::size(choices))];
  };
  for (std::uint64_t i = 0; i < batches; ++i) {
    SCOPED_TRACE("batch " + std::to_string(i));
    const output how = one_of(kOutputs);
    page_layout layout = one_of(kPageLayouts);
    paged_scene scene = random_scene(one_of(codings), random.next());
    while (!exists(layout, how, scene.geometry)) layout = one_of(kPageLayouts);
    gpu_scene g(std::move(scene), layout, one_of(kPageLayouts));
    const std::uint32_t items = g.scene.items;
    if (random.chance(0.3)) {
      std::vector<std::int32_t> indices = g.order;
      indices[random.below(items)] = -1;
      g.set_indices(std::move(indices));
    }
    if (random.chance(0.3)) g.use_pointers();
    if (random.chance(0.3)) g.set_item_count(random.below(items + 2));
    std::uint64_t room = g.ample_room(how);
    if (random.chance(0.2)) room = room / 16 * random.below(17);
    expect_round_trip(g, how, room);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::gpu
