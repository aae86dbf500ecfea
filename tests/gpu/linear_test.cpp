// Linear propagation on a device: the CPU's means and, with the codec, its bytes; and back.
#include <gtest/gtest.h>

#include <memory>
#include <skv/cuda/linear.hpp>

#include "gpu/gpu_scene.hpp"
#include "support/linear_scene.hpp"

namespace skv::gpu {
namespace {

/// A scene on a device.
struct linear_pass {
  linear_scene all;
  gpu_scene g;
  cuda::linear steps;
  device_array<std::byte> bases;
  device_array<std::uint32_t> first_positions, item_count;
  device_array<std::byte> passed_on;
  std::vector<std::unique_ptr<device_array<std::int32_t>>> indices;  // [layers][tensors]

  static cuda::linear made(const paged_scene& s, const cuda::block_geometry& g) {
    auto l = cuda::linear::make(s.used_profile, g);
    if (!l) throw std::runtime_error(l.failure().message);
    return *std::move(l);
  }

  linear_pass(linear_scene s, page_layout layout, page_layout mean_layout)
      : all(std::move(s)),
        g(all.scene, layout, mean_layout),
        steps(made(all.scene, all.scene.geometry)),
        bases(g.means_at.bytes),
        first_positions(std::span<const std::uint32_t>(all.first_positions)),
        item_count(std::span<const std::uint32_t>(&all.scene.items, 1)),
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
    g.means.fill(0x5a);
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
  cuda::workspace room() const { return {passed_on.data(), passed_on.size()}; }
  result<done> predict(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    return steps.predict_async(layer, i, batch(), bases_at(), g.means_at.cache, room(), stream);
  }
  result<done> update(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    cuda::paged_cache numbers = g.numbers_at.cache;
    numbers.blocks.indices_dev = indices[layer * g.plan.tensor_count + i]->data();
    return steps.update_async(layer, i, batch(), numbers, bases_at(), room(), stream);
  }
  template <class F>
  void each_tensor(F&& f) const {
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) f(layer, i);
  }
  /// Everything that an encoder does: all numbers are there.
  void encode(cudaStream_t stream) const {
    each_tensor([&](std::uint32_t layer, std::uint32_t i) {
      ASSERT_TRUE(predict(layer, i, stream));
      ASSERT_TRUE(update(layer, i, stream));
    });
    ASSERT_TRUE(g.encode(output::slots, stream));
  }

  void expect_cpu_means() const {
    auto host = g.means.to_host();
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      ASSERT_TRUE(all.scene.equal(all.scene.means, g.means_at.cache, layer, item,
                                  g.host_block(g.means_at, host, layer, g.order[item]),
                                  all.scene.mean()))
          << "layer " << layer << ", item " << item;
    });
    for (const auto* a : {&g.means, &bases, &passed_on}) ASSERT_TRUE(a->is_intact());
  }
};

class gpu_linear : public testing::TestWithParam<linear_kind> {
 protected:
  void SetUp() override {
    if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  }
};
INSTANTIATE_TEST_SUITE_P(kinds, gpu_linear, testing::ValuesIn(linear_kinds()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_linear, makes_the_cpus_means_and_bytes) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const linear_pass p(linear_scene(GetParam(), seed), kPageLayouts[seed % 4],
                        kPageLayouts[(seed + 1) % 4]);
    p.encode(nullptr);
    check(cudaDeviceSynchronize());
    p.expect_cpu_means();
    p.g.expect_cpu_bytes(output::slots);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::gpu
