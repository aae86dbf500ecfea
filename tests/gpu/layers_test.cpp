// Some layers of a batch at a time: what is left behind is what one call for all layers leaves.
#include <gtest/gtest.h>
#include <skv/cuda/pool.hpp>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

class gpu_layers : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(
    some, gpu_layers,
    testing::Values(kGiven, coding_id{format_id::e4m3, mean_source::none, format_id::e4m3},
                    coding_id{format_id::fp16, mean_source::previous_token, format_id::fp16}),
    [](const auto& p) { return name_of(p.param); });

/// A scene of three layers.
gpu_scene layered_scene(coding_id id, std::uint64_t seed) {
  cuda::block_geometry g = random_geometry(seed);
  g.layers = 3;
  return {make_scene(id, g, 6 + static_cast<std::uint32_t>(seed), seed), kPageLayouts[seed % 3],
          kPageLayouts[(seed + 1) % 4]};
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
  for (std::uint64_t seed = 1; seed <= repeats(3); ++seed)
    for (const output how : {output::slots, output::in_place}) {
      const gpu_scene g = layered_scene(GetParam(), seed);
      for (const std::uint32_t layer : {2, 0, 1})
        ASSERT_TRUE(encode(g, g.batch(layer, 1), g.places(how)));
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(how);
      if (how != output::in_place) g.cache.forget();
      for (const std::uint32_t layer : {1, 2, 0})
        ASSERT_TRUE(
            decode(g, g.batch(layer, 1), as_stored(g.places(how)), how == output::in_place));
      check(cudaDeviceSynchronize());
      g.expect_restored(how);
      if (HasFatalFailure()) return;
    }
}

// Where one call packs, the next one goes on.
TEST_P(gpu_layers, packed_one_by_one_have_the_bytes_of_all_at_once) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    const gpu_scene at_once = layered_scene(GetParam(), seed), g = layered_scene(GetParam(), seed);
    const gpu_scene compacted = layered_scene(GetParam(), seed);
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
    g.expect_restored(output::packed);
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
  const gpu_scene g = layered_scene(GetParam(), 4);
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
    // Numbers that are right would not be seen where they are already.
    g.cache.forget();
    const auto cache = g.cache.to_host();
    ASSERT_TRUE(decode(g, g.batch(first, count), as_stored(g.places(output::slots))));
    check(cudaDeviceSynchronize());
    EXPECT_TRUE(changed_only(decoded, g.decoded.to_host(), first, until));
    auto now = g.cache.to_host();
    EXPECT_TRUE(changed_only(cache, now, first, until));
    for (std::uint32_t layer = first; layer < first + until; ++layer)
      for (std::uint32_t item = 0; item < g.scene.items; ++item)
        EXPECT_TRUE(g.scene.equal(g.scene.numbers, g.numbers_at.cache, layer, item,
                                  g.host_block(g.numbers_at, now, layer, g.order[item]),
                                  g.scene.target()));
    g.upload(g.numbers_at, g.cache, g.scene.numbers, g.scene.target());
  }
}

// Items and layers that are not in the batch now: nothing is said of them, nor written for them.
TEST_P(gpu_layers, have_as_many_items_as_the_device_says) {
  gpu_scene g = layered_scene(GetParam(), 7);
  for (const std::uint32_t now : {g.scene.items / 2, 0u, g.scene.items}) {
    SCOPED_TRACE(now);
    g.set_item_count(now);
    g.upload(g.numbers_at, g.cache, g.scene.numbers, g.scene.target());
    g.forget();
    ASSERT_TRUE(encode(g, g.batch(1, 2), g.places(output::slots)));
    g.cache.forget();
    ASSERT_TRUE(decode(g, g.batch(1, 2), as_stored(g.places(output::slots))));
    check(cudaDeviceSynchronize());
    mirror m = g.read_back();
    std::vector<std::byte> untouched(g.coder.max_block_bytes(), std::byte{0x5a});
    std::ranges::fill(m.cache_before, std::byte{0x5a});
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      const bool is_now = layer != 0 && item < now;
      const cpu_block expected(m, layer, item);
      const status unsaid = static_cast<status>(0x5a);
      ASSERT_EQ(m.statuses[i], is_now ? status::ok : unsaid);
      ASSERT_EQ(m.decoded[i], is_now ? status::ok : unsaid);
      ASSERT_EQ(m.sizes[i], is_now ? expected.bytes.size() : 0x5a5a5a5au);
      const std::byte* const slot = m.places(output::slots, 0).slots.at(layer, item);
      const std::vector<std::byte>& bytes = is_now ? expected.bytes : untouched;
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), slot));
      if (is_now) copy_rows_into(m.cache_before, m, layer, item, &m.scene.numbers, kEveryRow);
    });
    ASSERT_TRUE(same_memory("cache", m.cache_before, m.cache));
  }
}

// Of three layers one is stored.
TEST_P(gpu_layers, a_pool_tells_which_it_does_not_have) {
  const gpu_scene g = layered_scene(GetParam(), 8);
  const auto entries = static_cast<std::uint32_t>(g.count());
  const auto p =
      cuda::pool::make(g.scene.used_profile, g.scene.geometry, {entries * 400, 512, entries});
  ASSERT_TRUE(p) << p.failure().message;
  const cuda::pool_entries at{0, g.scene.items, nullptr};
  const device_array<status> is(g.count());
  /// Layer 1 is as it should be, the others hold nothing.
  const auto expect_layer_1 = [&](const std::vector<status>& statuses, std::uint32_t first,
                                  std::uint32_t end) {
    for (std::size_t i = first * g.scene.items; i < end * g.scene.items; ++i)
      ASSERT_EQ(statuses[i], i / g.scene.items == 1 ? status::ok : status::invalid_argument);
  };
  ASSERT_TRUE(g.encode(output::slots, nullptr));
  ASSERT_TRUE(
      p->store_async(g.batch(1, 1), at, as_stored(g.places(output::slots)), is.data(), nullptr));
  EXPECT_EQ(p->read_counts(nullptr)->blocks, g.scene.items);
  // Those it has already are refused, the others are taken.
  ASSERT_TRUE(
      p->store_async(g.batch(1, 2), at, as_stored(g.places(output::slots)), is.data(), nullptr));
  const auto stored = is.to_host();
  for (std::size_t i = g.scene.items; i < g.count(); ++i)
    ASSERT_EQ(stored[i], i < 2 * g.scene.items ? status::invalid_argument : status::ok);
  ASSERT_TRUE(p->drop_async(g.batch(2, 1), at, is.data(), nullptr));
  EXPECT_EQ(p->read_counts(nullptr)->blocks, g.scene.items);

  g.forget();
  ASSERT_TRUE(p->load_async(g.batch(), at, g.places(output::slots), nullptr));
  check(cudaDeviceSynchronize());
  expect_layer_1(g.statuses.to_host(), 0, 3);
  g.cache.forget();
  const auto cache = g.cache.to_host();
  ASSERT_TRUE(p->restore_async(g.coder, g.batch(0, 2), at, g.places(output::slots),
                               g.means_at.cache, g.numbers_at.cache, false, g.decoded.data(),
                               g.room(), nullptr));
  check(cudaDeviceSynchronize());
  expect_layer_1(g.decoded.to_host(), 0, 2);
  EXPECT_TRUE(changed_only(cache, g.cache.to_host(), 1, 1));
  EXPECT_NE(cache, g.cache.to_host());
  ASSERT_TRUE(p->drop_async(g.batch(), at, is.data(), nullptr));
  check(cudaDeviceSynchronize());
  expect_layer_1(is.to_host(), 0, 3);
  const auto counts = p->read_counts(nullptr);
  EXPECT_EQ(counts->blocks, 0u);
  EXPECT_EQ(counts->used_sectors, 0u);
}

TEST_P(gpu_layers, a_pool_takes_and_gives_them) {
  const gpu_scene g = layered_scene(GetParam(), 5);
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
  g.cache.forget();
  g.slots.forget();
  for (const std::uint32_t layer : {2, 0, 1})
    ASSERT_TRUE(p->restore_async(g.coder, g.batch(layer, 1), at, g.places(output::slots),
                                 g.means_at.cache, g.numbers_at.cache, false, g.decoded.data(),
                                 g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_restored(output::slots);
  for (std::uint32_t layer = 0; layer < 3; ++layer) {
    ASSERT_TRUE(p->drop_async(g.batch(layer, 1), at, g.decoded.data(), nullptr));
    EXPECT_EQ(p->read_counts(nullptr)->blocks, entries - (layer + 1) * g.scene.items);
  }
}

TEST_P(gpu_layers, that_are_not_there_are_refused) {
  const gpu_scene g = layered_scene(GetParam(), 6);
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
