// What a tensor_codec leaves behind: arrays of a batch for each tensor.
#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <skv/cuda/tensor_codec.hpp>

#include "gpu/device.hpp"
#include "support/paged_scene.hpp"

namespace skv::gpu {

struct coded_tensors {
  cuda::tensor_codec coder;
  std::uint32_t layers, tensor_count, items;

  struct arrays {
    std::size_t tiles;
    std::uint32_t slot_bytes;
    device_array<tile_record> records;
    device_array<std::uint32_t> sizes;
    device_array<status> statuses;
    device_array<std::byte> slots;

    arrays(const cuda::codec& c, std::uint32_t items)
        : tiles(c.tiles_per_block()),
          slot_bytes(c.max_block_bytes()),
          records(c.layers() * items * tiles),
          sizes(c.layers() * items),
          statuses(c.layers() * items),
          slots(c.max_compressed_bytes(items)) {}
  };
  std::vector<std::unique_ptr<arrays>> of;
  device_array<status> decoded;
  device_array<std::byte> work;

  static cuda::tensor_codec made(const test::paged_scene& s) {
    auto c = cuda::tensor_codec::make(s.used_profile, s.geometry);
    if (!c) throw std::runtime_error(c.failure().message);
    return *std::move(c);
  }
  explicit coded_tensors(const test::paged_scene& s)
      : coder(made(s)),
        layers(s.geometry.layers),
        tensor_count(s.geometry.tensor_count),
        items(s.items),
        decoded(std::size_t{tensor_count} * layers * items),
        work(coder.workspace_bytes(items)) {
    for (std::uint32_t i = 0; i < tensor_count; ++i)
      of.push_back(std::make_unique<arrays>(coder.of(i), items));
  }

  /// `room`: bytes in the slots, if not enough for every block.
  cuda::encoded_tensors places(std::uint32_t room = ~0u) const {
    cuda::encoded_tensors out;
    for (std::uint32_t i = 0; i < tensor_count; ++i) {
      cuda::encoded_places& to = out.tensors[i];
      to.slots.base = of[i]->slots.data();
      to.slots.block_stride_bytes = of[i]->slot_bytes;
      to.slots.layer_stride_bytes = std::int64_t{of[i]->slot_bytes} * items;
      to.slot_bytes = std::min(room, of[i]->slot_bytes);
      to.records = of[i]->records.data();
      to.sizes = of[i]->sizes.data();
      to.statuses = of[i]->statuses.data();
    }
    return out;
  }
  cuda::workspace room() const { return {work.data(), work.size()}; }

  /// Calls f(layer, item, tensor, index in its arrays) in the order of the walk.
  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < layers; ++layer)
      for (std::uint32_t i = 0; i < tensor_count; ++i)
        for (std::uint32_t item = 0; item < items; ++item)
          f(layer, item, i, std::size_t{layer} * items + item);
  }

  /// Are blocks as the CPU codec writes them with the means of a scene? `plan` is that of its whole blocks.
  void expect_cpu_bytes(const test::paged_scene& scene, const cuda::block_plan& plan) const {
    std::vector<std::vector<tile_record>> records;
    std::vector<std::vector<std::uint32_t>> sizes;
    std::vector<std::vector<std::byte>> slots;
    for (const auto& a : of) {
      records.push_back(a->records.to_host());
      sizes.push_back(a->sizes.to_host());
      slots.push_back(a->slots.to_host());
      for (const status s : a->statuses.to_host()) ASSERT_EQ(s, status::ok);
    }
    std::vector<std::byte> tile, expected;
    each_block([&](std::uint32_t layer, std::uint32_t item, std::uint32_t i, std::size_t index) {
      expected.clear();
      for (std::uint32_t t = 0; t < of[i]->tiles; ++t) {
        ASSERT_EQ(records[i][index * of[i]->tiles + t],
                  scene.encoded(plan, layer, item, plan.tensors[i].first_tile + t, tile));
        expected.insert(expected.end(), tile.begin(), tile.end());
        expected.resize(cuda::round_up<std::size_t>(expected.size(), cuda::kTileAlign));
      }
      ASSERT_EQ(sizes[i][index], expected.size());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(),
                             slots[i].begin() + index * of[i]->slot_bytes));
    });
  }
  void expect_decoded() const {
    for (const status s : decoded.to_host()) ASSERT_EQ(s, status::ok);
    ASSERT_TRUE(decoded.is_intact() && work.is_intact());
    for (const auto& a : of)
      ASSERT_TRUE(a->records.is_intact() && a->sizes.is_intact() && a->statuses.is_intact() &&
                  a->slots.is_intact());
  }
};

}  // namespace skv::gpu
