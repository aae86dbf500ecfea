// A batch of blocks on a device: its arrays, its calls, and what they must leave behind.
#pragma once

#include <gtest/gtest.h>
#include <algorithm>
#include <skv/cuda/codec.hpp>

#include "gpu/device.hpp"
#include "gpu/mirror.hpp"

namespace skv::gpu {

struct gpu_scene {
  paged_scene scene;
  cuda::block_plan plan;
  cuda::codec coder;
  std::uint32_t blocks;
  laid_out numbers_at, means_at;
  device_array<std::byte> cache, means;
  device_array<std::int32_t> indices;
  device_array<std::byte*> pointers, mean_pointers;
  device_array<std::uint32_t> token_counts, item_count;
  std::optional<std::uint32_t> items_now;  ///< the device says how many there are
  device_array<tile_record> records;
  device_array<std::uint32_t> sizes;
  device_array<status> statuses, decoded;
  device_array<std::uint64_t> offsets, total;
  device_array<std::byte> slots, work;
  std::vector<std::int32_t> order;

  static cuda::block_plan planned(const paged_scene& s) {
    cuda::plan_arrays arrays;
    auto p = cuda::make_plan(*s.used_profile, s.geometry, arrays);
    if (!p) throw std::runtime_error(p.failure().message);
    return *p;
  }
  static cuda::codec made(const paged_scene& s) {
    auto c = cuda::codec::make(s.used_profile, s.geometry);
    if (!c) throw std::runtime_error(c.failure().message);
    return *std::move(c);
  }
  std::size_t count() const { return std::size_t{scene.items} * plan.layers; }

  gpu_scene(paged_scene s, page_layout layout, page_layout mean_layout)
      : scene(std::move(s)),
        plan(planned(scene)),
        coder(made(scene)),
        blocks(scene.items + 2),
        numbers_at(scene.geometry, layout, blocks, scene.target().bytes()),
        means_at(scene.geometry, mean_layout, blocks, scene.mean().bytes()),
        cache(numbers_at.bytes),
        means(means_at.bytes),
        indices(scene.items),
        pointers(scene.items),
        mean_pointers(scene.items),
        token_counts(std::span<const std::uint32_t>(scene.token_counts)),
        item_count(1),
        records(count() * plan.tiles),
        sizes(count()),
        statuses(count()),
        decoded(count()),
        offsets(count()),
        total(1),
        slots(coder.max_compressed_bytes(scene.items)),
        work(coder.workspace_bytes(scene.items)) {
    for (std::uint32_t i = 0; i < scene.items; ++i)
      order.push_back(static_cast<std::int32_t>(blocks - 1 - i));
    set_indices(order);
    upload(numbers_at, cache, scene.numbers, scene.target());
    upload(means_at, means, scene.means, scene.mean());
    numbers_at.cache.blocks.base = cache.data();
    means_at.cache.blocks.base = means.data();
    numbers_at.cache.blocks.indices_dev = means_at.cache.blocks.indices_dev = indices.data();
  }

  /// Negative ones are no blocks.
  void set_indices(std::vector<std::int32_t> now) {
    order = std::move(now);
    indices.assign(order);
  }
  /// Pointers to the blocks in place of base and indices.
  void use_pointers() {
    const auto point = [&](const device_array<std::byte*>& to, cuda::block_places& places) {
      std::vector<std::byte*> host;
      for (const std::int32_t i : order)
        host.push_back(i < 0 ? nullptr : places.base + i * places.block_stride_bytes);
      to.assign(host);
      places.pointers_dev = to.data();
      places.indices_dev = nullptr;
      places.base = nullptr;
    };
    point(pointers, numbers_at.cache.blocks);
    point(mean_pointers, means_at.cache.blocks);
  }
  void set_item_count(std::uint32_t count) {
    items_now = count;
    item_count.assign(std::vector{count});
  }
  void set_token_counts(std::vector<std::uint32_t> now) {
    scene.token_counts = std::move(now);
    token_counts.assign(scene.token_counts);
  }

  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < scene.items; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }
  static std::byte* block(const laid_out& at, std::byte* base, std::uint32_t layer,
                          std::int32_t index) {
    return base + layer * at.cache.blocks.layer_stride_bytes +
           index * at.cache.blocks.block_stride_bytes;
  }
  static std::byte* host_block(const laid_out& at, std::vector<std::byte>& host,
                               std::uint32_t layer, std::int32_t index) {
    return block(at, host.data(), layer, index);
  }
  /// What lies between the numbers counts as never written.
  void upload(const laid_out& at, const device_array<std::byte>& to,
              const std::vector<logical_tensor>& from, number_format f) const {
    std::vector<std::byte> host(at.bytes), other(at.bytes, std::byte{0xff});
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      for (auto* const all : {&host, &other})
        scene.scatter(from, at.cache, layer, item, host_block(at, *all, layer, order[item]), f);
    });
    to.assign(host);
    for (std::size_t i = 0; i < host.size();) {
      const std::size_t first = i;
      while (i < host.size() && host[i] != other[i]) ++i;
      if (i != first) forget_written(to.data() + first, i - first);
      while (i < host.size() && host[i] == other[i]) ++i;
    }
  }

  /// All layers, or `layers` from `first_layer` on.
  cuda::block_batch batch(std::uint32_t first_layer = 0, std::uint32_t layers = 0) const {
    return {scene.items, items_now ? item_count.data() : nullptr, token_counts.data(), first_layer,
            layers};
  }
  cuda::workspace room() const { return {work.data(), work.size()}; }
  /// Room in which every block fits, but in place some random ones.
  std::uint64_t ample_room(output how) const {
    return how == output::in_place ? numbers_at.block_bytes
           : how == output::packed ? slots.size()
                                   : coder.max_block_bytes();
  }
  cuda::encoded_places places(output how) const { return places(how, ample_room(how)); }
  cuda::encoded_places places(output how, std::uint64_t room) const {
    cuda::encoded_places out;
    out.records = records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    if (how == output::packed) {
      out.packed = slots.data();
      out.packed_bytes = room;
      out.offsets = offsets.data();
      out.total_bytes = total.data();
      return out;
    }
    out.slot_bytes = static_cast<std::uint32_t>(room);
    if (how == output::in_place) {
      out.slots = numbers_at.cache.blocks;
    } else {
      out.slots.base = slots.data();
      out.slots.block_stride_bytes = coder.max_block_bytes();
      out.slots.layer_stride_bytes = out.slots.block_stride_bytes * scene.items;
    }
    return out;
  }
  /// What was encoded, and said of it, becomes garbage.
  void forget() const {
    records.forget();
    sizes.forget();
    statuses.forget();
    decoded.forget();
    offsets.forget();
    total.forget();
    slots.forget();
    work.forget();
  }
  result<done> encode(output how, cudaStream_t stream) const {
    return encode(how, stream, ample_room(how));
  }
  result<done> encode(output how, cudaStream_t stream, std::uint64_t bytes) const {
    return coder.encode_async(batch(), numbers_at.cache, means_at.cache, places(how, bytes), room(),
                              stream);
  }
  result<done> decode(output how, cudaStream_t stream) const {
    return decode(how, stream, ample_room(how));
  }
  result<done> decode(output how, cudaStream_t stream, std::uint64_t bytes,
                      const cuda::wanted_range& wanted = {}) const {
    return coder.decode_async(batch(), as_stored(places(how, bytes)), means_at.cache,
                              numbers_at.cache, how == output::in_place, wanted, decoded.data(),
                              room(), stream);
  }

  /// All of it. What was there before: as in `before`, or as it is now.
  mirror read_back(const mirror* before = nullptr) const {
    mirror m{scene,
             plan,
             numbers_at,
             order,
             std::vector<std::int32_t>(scene.items),
             items_now ? std::min(*items_now, scene.items) : scene.items,
             cache.to_host(),
             slots.to_host(),
             {},
             {},
             coder.max_block_bytes(),
             records.to_host(),
             sizes.to_host(),
             statuses.to_host(),
             decoded.to_host(),
             offsets.to_host(),
             total.to_host()};
    std::iota(m.slot_indices.begin(), m.slot_indices.end(), 0);
    m.cache_before = before == nullptr ? m.cache : before->cache;
    m.slots_before = before == nullptr ? m.slots : before->slots;
    cuda::block_places& blocks_at = m.numbers_at.cache.blocks;
    blocks_at.base = m.cache.data();
    blocks_at.pointers_dev = nullptr;
    blocks_at.indices_dev = m.indices.data();
    return m;
  }
  void expect_cpu_bytes(output how) const {
    test::expect_cpu_bytes(read_back(), how, ample_room(how));
  }
  void expect_restored(output how) const {
    test::expect_restored(read_back(), how, ample_room(how));
    expect_intact();
  }
  void expect_numbers() const {
    auto host = cache.to_host();
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      ASSERT_TRUE(scene.equal(scene.numbers, numbers_at.cache, layer, item,
                              host_block(numbers_at, host, layer, order[item]), scene.target()));
    });
    expect_intact();
  }
  /// Nothing is written around any array.
  void expect_intact() const {
    for (const auto* a : {&cache, &means, &slots, &work}) ASSERT_TRUE(a->is_intact());
    ASSERT_TRUE(records.is_intact() && sizes.is_intact() && statuses.is_intact());
    ASSERT_TRUE(decoded.is_intact() && offsets.is_intact() && total.is_intact());
  }
};

/// Encodes and decodes a scene, in so much room; everything must be as it should.
inline void expect_round_trip(const gpu_scene& g, output how, std::uint64_t room) {
  const mirror raw = g.read_back();
  ASSERT_TRUE(g.encode(how, nullptr, room));
  check(cudaDeviceSynchronize());
  expect_cpu_bytes(g.read_back(&raw), how, room);
  if (testing::Test::HasFatalFailure()) return;
  if (how != output::in_place) g.cache.forget();
  const mirror encoded = g.read_back();
  ASSERT_TRUE(g.decode(how, nullptr, room));
  check(cudaDeviceSynchronize());
  expect_restored(g.read_back(&encoded), how, room);
  g.expect_intact();
}
inline void expect_round_trip(const gpu_scene& g, output how) {
  expect_round_trip(g, how, g.ample_room(how));
}

/// What a variable of the environment asks for.
inline std::uint64_t asked(const char* name, std::uint64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::stoull(value);
}
/// Of all that tests could do one part in so many, where that would take minutes: SKV_GPU_EVERY.
inline std::uint64_t every() { return std::max<std::uint64_t>(asked("SKV_GPU_EVERY", 1), 1); }
/// How often to do what a test does `times` times; once where SKV_GPU_EVERY asks for less.
inline std::uint64_t repeats(std::uint64_t times) { return every() == 1 ? times : 1; }

}  // namespace skv::gpu
