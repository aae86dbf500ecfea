// A pass of linear propagation on a device, over a random scene.
#pragma once

#include <memory>
#include <skv/cuda/linear_predictor.hpp>
#include <skv/cuda/reference.hpp>

#include "gpu/gpu_scene.hpp"
#include "support/linear_scene.hpp"

namespace skv::gpu {

/// A scene on a device.
struct linear_pass {
  linear_scene all;
  gpu_scene g;
  cuda::linear steps;
  device_array<std::byte> bases, draft;
  device_array<std::uint32_t> first_positions, ids, item_count;
  device_array<std::int8_t> embedded;
  device_array<std::int32_t> draft_indices;
  device_array<std::byte> passed_on;
  std::vector<std::unique_ptr<device_array<std::int32_t>>> indices;  // [layers][tensors]
  cuda::launch_limits limits;

  static cuda::linear made(const paged_scene& s, const cuda::block_geometry& g) {
    auto l = cuda::linear::make(s.used_profile, g);
    if (!l) throw std::runtime_error(l.failure().message);
    return *std::move(l);
  }
  template <class T>
  static std::span<const T> all_of(const std::vector<T>& v) {
    return v;
  }
  static std::vector<std::byte> joined(const std::vector<logical_tensor>& parts) {
    std::vector<std::byte> all;
    for (const logical_tensor& p : parts) all.insert(all.end(), p.begin(), p.end());
    return all;
  }
  static std::vector<std::int32_t> indices_of(const std::vector<bool>& missing) {
    std::vector<std::int32_t> there;
    for (const bool m : missing) there.push_back(m ? -1 : static_cast<std::int32_t>(there.size()));
    return there;
  }

  linear_pass(linear_scene s, page_layout layout, page_layout mean_layout)
      : all(std::move(s)),
        g(all.scene, layout, mean_layout),
        steps(made(all.scene, all.scene.geometry)),
        bases(g.means_at.bytes),
        draft(std::span<const std::byte>(joined(all.draft))),
        first_positions(all_of(all.first_positions)),
        ids(all_of(all.ids)),
        item_count(std::span<const std::uint32_t>(&all.scene.items, 1)),
        embedded(all_of(all.embedded)),
        draft_indices(all_of(indices_of(all.is_missing_in_draft))),
        passed_on(steps.workspace_bytes(all.scene.items)) {
    g.upload(g.means_at, bases, all.bases, all.scene.mean());
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) {
        std::vector<std::int32_t> there = g.order;
        for (std::uint32_t item = 0; item < all.scene.items; ++item)
          if (all.is_missing[all.scene.index(layer, item, i)]) there[item] = -1;
        indices.push_back(
            std::make_unique<device_array<std::int32_t>>(std::span<const std::int32_t>(there)));
      }
    forget();
  }
  /// Means and what is passed on become garbage.
  void forget() const {
    g.means.forget();
    // Counts as written: a product takes whole tiles of rows, those of items that are not there too, and drops their
    // sums.
    passed_on.fill(0x5a);
  }

  cuda::linear_batch batch() const {
    return {{all.scene.items, item_count.data(), g.token_counts.data()}, first_positions.data()};
  }
  cuda::paged_cache bases_at() const {
    cuda::paged_cache c = g.means_at.cache;
    c.blocks.base = bases.data();
    return c;
  }
  cuda::paged_cache numbers_at(std::uint32_t layer, std::uint32_t i) const {
    cuda::paged_cache numbers = g.numbers_at.cache;
    numbers.blocks.indices_dev = indices[layer * g.plan.tensor_count + i]->data();
    return numbers;
  }
  cuda::paged_cache draft_at() const {
    const linear_outside& d = all.scene.used_profile->content().linear->outside[1];
    cuda::paged_cache c;
    c.blocks.base = draft.data();
    c.blocks.indices_dev = draft_indices.data();
    c.tensors[0] = {0, 2 * std::int64_t{d.width()}, 2 * std::int64_t{d.head_dim}};
    c.blocks.block_stride_bytes = c.tensors[0].token_stride_bytes * g.plan.tokens;
    return c;
  }
  cuda::workspace room() const { return {passed_on.data(), passed_on.size()}; }
  /// For a walk over all tensors.
  cuda::linear_predictor<cuda::reference> predictor() const {
    return {steps, batch(), {bases_at()}, g.means_at.cache, room(), limits};
  }

  void take_outside(cudaStream_t stream) const {
    if (all.kind.has_outside) take_outside(draft_at(), stream);
  }
  void take_outside(const cuda::paged_cache& drafted, cudaStream_t stream) const {
    const auto vocabulary = all.scene.used_profile->content().linear->outside[0].vocabulary;
    ASSERT_TRUE(steps.take_async(0, batch(), {embedded.data(), ids.data(), vocabulary}, room(),
                                 stream, limits));
    ASSERT_TRUE(steps.take_draft_async(1, batch(), drafted, room(), stream, limits));
  }
  void predict(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    const auto done = steps.predict_async(layer, i, batch(), bases_at(), g.means_at.cache, room(),
                                          stream, limits);
    ASSERT_TRUE(done) << done.failure().message;
  }
  void update(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    const auto done = steps.update_async(layer, i, batch(), numbers_at(layer, i), bases_at(),
                                         room(), stream, limits);
    ASSERT_TRUE(done) << done.failure().message;
  }
  template <class F>
  void each_tensor(F&& f) const {
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) f(layer, i);
  }
  /// Everything that an encoder does: all numbers are there.
  void encode(cudaStream_t stream) const {
    take_outside(stream);
    each_tensor([&](std::uint32_t layer, std::uint32_t i) {
      predict(layer, i, stream);
      update(layer, i, stream);
    });
    ASSERT_TRUE(g.encode(output::slots, stream));
  }

  /// From a layer on.
  void expect_cpu_means(std::uint32_t first_layer = 0) const {
    auto host = g.means.to_host();
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      if (layer < first_layer) return;
      ASSERT_TRUE(all.scene.equal(all.scene.means, g.means_at.cache, layer, item,
                                  g.host_block(g.means_at, host, layer, g.order[item]),
                                  all.scene.mean()))
          << "layer " << layer << ", item " << item;
    });
    for (const auto* a : {&g.means, &bases, &passed_on, &draft}) ASSERT_TRUE(a->is_intact());
  }
};

}  // namespace skv::gpu
