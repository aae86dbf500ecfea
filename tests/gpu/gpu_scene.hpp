// A batch of blocks on a device: its arrays, its calls, and what they must leave behind.
#pragma once

#include <gtest/gtest.h>
#include <skv/cuda/codec.hpp>

#include "gpu/device.hpp"
#include "support/paged_scene.hpp"

namespace skv::gpu {

using namespace test;

enum class output { slots, in_place, packed };

struct gpu_scene {
  paged_scene scene;
  cuda::block_plan plan;
  cuda::codec coder;
  std::uint32_t blocks;
  laid_out numbers_at, means_at;
  device_array<std::byte> cache, means;
  device_array<std::int32_t> indices;
  device_array<std::uint32_t> token_counts;
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
        token_counts(std::span<const std::uint32_t>(scene.token_counts)),
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
    check(cudaMemcpy(indices.data(), order.data(), order.size() * 4, cudaMemcpyHostToDevice));
    upload(numbers_at, cache, scene.numbers, scene.target());
    upload(means_at, means, scene.means, scene.mean());
    numbers_at.cache.blocks.base = cache.data();
    means_at.cache.blocks.base = means.data();
    numbers_at.cache.blocks.indices_dev = means_at.cache.blocks.indices_dev = indices.data();
  }

  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < scene.items; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }
  static std::byte* host_block(const laid_out& at, std::vector<std::byte>& host,
                               std::uint32_t layer, std::int32_t index) {
    return host.data() + layer * at.cache.blocks.layer_stride_bytes +
           index * at.cache.blocks.block_stride_bytes;
  }
  void upload(const laid_out& at, const device_array<std::byte>& to,
              const std::vector<logical_tensor>& from, number_format f) const {
    std::vector<std::byte> host(at.bytes);
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      scene.scatter(from, at.cache, layer, item, host_block(at, host, layer, order[item]), f);
    });
    check(cudaMemcpy(to.data(), host.data(), host.size(), cudaMemcpyHostToDevice));
  }

  /// All layers, or `layers` from `first_layer` on.
  cuda::block_batch batch(std::uint32_t first_layer = 0, std::uint32_t layers = 0) const {
    return {scene.items, nullptr, token_counts.data(), first_layer, layers};
  }
  cuda::workspace room() const { return {work.data(), work.size()}; }
  cuda::encoded_places places(output how) const {
    cuda::encoded_places out;
    out.records = records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    if (how == output::packed) {
      out.packed = slots.data();
      out.packed_bytes = slots.size();
      out.offsets = offsets.data();
      out.total_bytes = total.data();
    } else if (how == output::in_place) {
      out.slots = numbers_at.cache.blocks;
      out.slot_bytes = static_cast<std::uint32_t>(numbers_at.block_bytes);
    } else {
      out.slot_bytes = coder.max_block_bytes();
      out.slots.base = slots.data();
      out.slots.block_stride_bytes = out.slot_bytes;
      out.slots.layer_stride_bytes = std::int64_t{out.slot_bytes} * scene.items;
    }
    return out;
  }
  /// What was encoded, and said of it, becomes garbage.
  void forget() const {
    records.fill(0x5a);
    sizes.fill(0x5a);
    statuses.fill(0x5a);
    decoded.fill(0x5a);
    offsets.fill(0x5a);
    total.fill(0x5a);
    slots.fill(0x5a);
  }
  result<done> encode(output how, cudaStream_t stream) const {
    return coder.encode_async(batch(), numbers_at.cache, means_at.cache, places(how), room(),
                              stream);
  }
  result<done> decode(output how, cudaStream_t stream) const {
    return coder.decode_async(batch(), as_stored(places(how)), means_at.cache, numbers_at.cache,
                              how == output::in_place, {}, decoded.data(), room(), stream);
  }

  void expect_cpu_bytes(output how) const {
    const auto r = records.to_host();
    const auto bytes = sizes.to_host();
    const auto where = offsets.to_host();
    const auto stored = how == output::in_place ? cache.to_host() : slots.to_host();
    const auto encoded_statuses = statuses.to_host();
    std::vector<std::byte> tile, expected;
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      expected.clear();
      for (std::uint32_t i = 0; i < plan.tiles; ++i) {
        ASSERT_EQ(r[index * plan.tiles + i], scene.encoded(plan, layer, item, i, tile));
        expected.insert(expected.end(), tile.begin(), tile.end());
        expected.resize(cuda::round_up<std::size_t>(expected.size(), cuda::kTileAlign));
      }
      if (encoded_statuses[index] != status::ok) {
        ASSERT_EQ(how, output::in_place);
        ASSERT_GT(expected.size(), numbers_at.block_bytes);
        return;
      }
      ASSERT_EQ(bytes[index], expected.size());
      std::size_t at = where[index];
      if (how == output::slots) at = index * coder.max_block_bytes();
      if (how == output::in_place)
        at = static_cast<std::size_t>(layer * numbers_at.cache.blocks.layer_stride_bytes +
                                      order[item] * numbers_at.cache.blocks.block_stride_bytes);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), stored.begin() + at));
    });
  }
  void expect_restored() const {
    for (const status s : decoded.to_host()) ASSERT_EQ(s, status::ok);
    expect_numbers();
  }
  void expect_numbers() const {
    auto host = cache.to_host();
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      ASSERT_TRUE(scene.equal(scene.numbers, numbers_at.cache, layer, item,
                              host_block(numbers_at, host, layer, order[item]), scene.target()));
    });
    for (const auto* a : {&cache, &means, &slots, &work}) ASSERT_TRUE(a->is_intact());
    ASSERT_TRUE(records.is_intact() && sizes.is_intact() && statuses.is_intact());
  }
};

inline paged_scene random_scene(coding_id id, std::uint64_t seed) {
  random_source random(seed);
  cuda::block_geometry g;
  g.layers = 1 + random.below(3);
  g.tokens = 16u << random.below(3);
  const std::uint32_t dims[] = {64, 72, 80, 96, 128};
  const std::uint32_t heads = 1 + random.below(6), dim = dims[random.below(5)];
  g.tensors[0] = {tensor_kind::k, heads, dim, 0};
  g.tensors[1] = {tensor_kind::v, heads, dim, 0};
  g.tensor_count = 2;
  paged_scene s{id, g, 1 + random.below(20), {}, default_profile_of(id), {}, {}};
  for (std::uint32_t i = 0; i < s.items; ++i)
    s.token_counts.push_back(random.chance(0.7) ? g.tokens : random.below(g.tokens + 1));
  s.fill(seed);
  return s;
}

}  // namespace skv::gpu
