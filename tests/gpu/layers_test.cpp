// Some layers of a batch at a time: what is left behind is what one call for all layers leaves.
#include <gtest/gtest.h>
#include <skv/cuda/pool.hpp>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

class gpu_layers : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(
    some, gpu_layers,
    testing::Values(coding_id{format_id::bf16, mean_source::given, format_id::bf16},
                    coding_id{format_id::e4m3, mean_source::none, format_id::e4m3},
                    coding_id{format_id::fp16, mean_source::previous_token, format_id::fp16}),
    [](const auto& p) { return name_of(p.param); });

/// A scene of three layers.
gpu_scene scene_of(coding_id id, std::uint64_t seed) {
  paged_scene s = random_scene(id, seed);
  s.geometry.layers = 3;
  s.numbers.clear();
  s.means.clear();
  s.fill(seed);
  return {std::move(s), kPageLayouts[seed % 3], kPageLayouts[(seed + 1) % 4]};
}

result<done> encode(const gpu_scene& g, const cuda::block_batch& batch,
                    const cuda::encoded_places& out) {
  return g.coder.encode_async(batch, g.numbers_at.cache, g.means_at.cache, out, g.room(), nullptr);
}
result<done> decode(const gpu_scene& g, const cuda::block_batch& batch,
                    const cuda::stored_places& in, bool in_place = false) {
  return g.coder.decode_async(batch, in, g.means_at.cache, g.numbers_at.cache, in_place, {},
                              g.decoded.data(), g.room(), nullptr);
}

TEST_P(gpu_layers, one_by_one_are_as_all_at_once) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    for (const output how : {output::slots, output::in_place}) {
      const gpu_scene g = scene_of(GetParam(), seed);
      for (const std::uint32_t layer : {2, 0, 1})
        ASSERT_TRUE(encode(g, g.batch(layer, 1), g.places(how)));
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(how);
      if (how != output::in_place) g.cache.fill(0x5a);
      for (const std::uint32_t layer : {1, 2, 0})
        ASSERT_TRUE(
            decode(g, g.batch(layer, 1), as_stored(g.places(how)), how == output::in_place));
      check(cudaDeviceSynchronize());
      g.expect_restored();
      if (HasFatalFailure()) return;
    }
}

// Where one call packs, the next one goes on.
TEST_P(gpu_layers, packed_one_by_one_have_the_bytes_of_all_at_once) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    const gpu_scene at_once = scene_of(GetParam(), seed), g = scene_of(GetParam(), seed);
    const gpu_scene compacted = scene_of(GetParam(), seed);
    ASSERT_TRUE(at_once.encode(output::packed, nullptr));
    ASSERT_TRUE(compacted.encode(output::slots, nullptr));
    const std::uint64_t all = at_once.total.to_host()[0];
    const device_array<std::byte> moved(all);
    std::uint64_t begin = 0;
    for (std::uint32_t layer = 0; layer < 3; ++layer) {
      cuda::encoded_places out = g.places(output::packed);
      out.packed += begin;
      out.packed_bytes = all - begin;
      ASSERT_TRUE(encode(g, g.batch(layer, 1), out));
      cuda::encoded_places to = compacted.places(output::packed);
      to.packed = moved.data() + begin;
      to.packed_bytes = all - begin;
      ASSERT_TRUE(compacted.coder.compact_async(compacted.batch(layer, 1),
                                                as_stored(compacted.places(output::slots)), to,
                                                compacted.room(), nullptr));
      check(cudaDeviceSynchronize());
      const std::vector<std::uint64_t> expected = at_once.offsets.to_host();
      for (const gpu_scene* s : {&g, &compacted}) {
        const std::vector<std::uint64_t> offsets = s->offsets.to_host();
        for (std::size_t i = layer * g.scene.items; i < (layer + 1) * g.scene.items; ++i)
          ASSERT_EQ(offsets[i] + begin, expected[i]);
      }
      ASSERT_TRUE(decode(g, g.batch(layer, 1), as_stored(out)));
      ASSERT_EQ(g.total.to_host(), compacted.total.to_host());
      begin += g.total.to_host()[0];
    }
    ASSERT_EQ(begin, all);
    g.expect_restored();
    const auto bytes = at_once.slots.to_host(), one_by_one = g.slots.to_host();
    const auto of_slots = moved.to_host();
    at_once.each_block([&](std::uint32_t, std::uint32_t, std::size_t i) {
      const auto first = static_cast<std::ptrdiff_t>(at_once.offsets.to_host()[i]);
      const auto last = first + at_once.sizes.to_host()[i];
      ASSERT_TRUE(
          std::equal(bytes.begin() + first, bytes.begin() + last, one_by_one.begin() + first));
      ASSERT_TRUE(
          std::equal(bytes.begin() + first, bytes.begin() + last, of_slots.begin() + first));
    });
    ASSERT_TRUE(moved.is_intact());
    if (HasFatalFailure()) return;
  }
}

/// Is everything of an array [layers][...] as it was, but for some layers?
template <class T>
bool changed_only(const std::vector<T>& before, const std::vector<T>& after, std::uint32_t first,
                  std::uint32_t count) {
  const auto layer = static_cast<std::ptrdiff_t>(before.size() / 3);
  return std::equal(before.begin(), before.begin() + first * layer, after.begin()) &&
         std::equal(before.begin() + (first + count) * layer, before.end(),
                    after.begin() + (first + count) * layer);
}

TEST_P(gpu_layers, others_are_left_alone) {
  const gpu_scene g = scene_of(GetParam(), 4);
  const auto records = g.records.to_host();
  const auto sizes = g.sizes.to_host();
  const auto statuses = g.statuses.to_host(), decoded = g.decoded.to_host();
  const auto slots = g.slots.to_host();
  for (const auto& [first, count] : {std::pair{1u, 1u}, std::pair{1u, 0u}}) {
    const std::uint32_t until = count == 0 ? 2 : count;
    ASSERT_TRUE(encode(g, g.batch(first, count), g.places(output::slots)));
    check(cudaDeviceSynchronize());
    EXPECT_TRUE(changed_only(sizes, g.sizes.to_host(), first, until));
    EXPECT_TRUE(changed_only(statuses, g.statuses.to_host(), first, until));
    EXPECT_TRUE(changed_only(slots, g.slots.to_host(), first, until));
    EXPECT_TRUE(changed_only(records, g.records.to_host(), first, until));
    const auto cache = g.cache.to_host();
    ASSERT_TRUE(decode(g, g.batch(first, count), as_stored(g.places(output::slots))));
    check(cudaDeviceSynchronize());
    EXPECT_TRUE(changed_only(decoded, g.decoded.to_host(), first, until));
    EXPECT_EQ(cache, g.cache.to_host());
  }
}

TEST_P(gpu_layers, a_pool_takes_and_gives_them) {
  const gpu_scene g = scene_of(GetParam(), 5);
  const auto entries = static_cast<std::uint32_t>(g.count());
  auto p = cuda::pool::make(g.scene.used_profile, g.scene.geometry, {entries * 400, 512, entries});
  ASSERT_TRUE(p) << p.failure().message;
  const cuda::pool_entries at{0, g.scene.items, nullptr};
  ASSERT_TRUE(g.encode(output::slots, nullptr));
  for (const std::uint32_t layer : {1, 2, 0}) {
    ASSERT_TRUE(p->store_async(g.batch(layer, 1), at, as_stored(g.places(output::slots)),
                               g.decoded.data(), nullptr));
  }
  EXPECT_EQ(p->read_counts(nullptr)->blocks, entries);
  for (const status s : g.decoded.to_host()) ASSERT_EQ(s, status::ok);
  g.cache.fill(0x5a);
  g.slots.fill(0x5a);
  for (const std::uint32_t layer : {2, 0, 1})
    ASSERT_TRUE(p->restore_async(g.coder, g.batch(layer, 1), at, g.places(output::slots),
                                 g.means_at.cache, g.numbers_at.cache, false, g.decoded.data(),
                                 g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_restored();
  for (std::uint32_t layer = 0; layer < 3; ++layer) {
    ASSERT_TRUE(p->drop_async(g.batch(layer, 1), at, g.decoded.data(), nullptr));
    EXPECT_EQ(p->read_counts(nullptr)->blocks, entries - (layer + 1) * g.scene.items);
  }
}

TEST_P(gpu_layers, that_are_not_there_are_refused) {
  const gpu_scene g = scene_of(GetParam(), 6);
  for (const auto& [first, count] : {std::pair{3u, 0u}, std::pair{0u, 4u}, std::pair{2u, 2u},
                                     std::pair{1u, ~0u}, std::pair{~0u, 1u}, std::pair{~0u, 2u}}) {
    const cuda::block_batch batch = g.batch(first, count);
    EXPECT_EQ(encode(g, batch, g.places(output::slots)).code(), status::invalid_argument);
    EXPECT_EQ(decode(g, batch, as_stored(g.places(output::slots))).code(),
              status::invalid_argument);
    EXPECT_EQ(g.coder
                  .compact_async(batch, as_stored(g.places(output::slots)),
                                 g.places(output::packed), g.room(), nullptr)
                  .code(),
              status::invalid_argument);
  }
}

}  // namespace
}  // namespace skv::gpu
