// Caches whose layers and tensors lie in allocations of their own, as engines have them: one launch codes all.
#include <gtest/gtest.h>

#include <memory>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

enum class way { layer_bases, pointers };

/// The blocks of a cache taken apart: [tensors][layers], an allocation each of [blocks][bytes of the tensor].
class apart {
 public:
  apart(const gpu_scene& g, const laid_out& at, const device_array<std::byte>& from, way how)
      : scene_(g), at_(at) {
    const cuda::block_geometry& geometry = g.scene.geometry;
    cache_ = at.cache;
    cache_.blocks = {};
    for (std::uint32_t t = 0; t < geometry.tensor_count; ++t) {
      std::vector<std::byte*> bases, pointers;
      for (std::uint32_t layer = 0; layer < geometry.layers; ++layer) {
        parts_.push_back(std::make_unique<device_array<std::byte>>(bytes_of(t) * g.blocks));
        bases.push_back(parts_.back()->data());
        for (std::uint32_t item = 0; item < g.scene.items; ++item)
          pointers.push_back(bases.back() + static_cast<std::size_t>(g.order[item]) * bytes_of(t));
      }
      arrays_.push_back(std::make_unique<device_array<std::byte*>>(
          std::span<std::byte* const>(how == way::pointers ? pointers : bases)));
      cuda::tensor_place& place = cache_.tensors[t];
      place.offset_bytes = 0;
      if (how == way::pointers) {
        place.blocks.pointers_dev = arrays_.back()->data();
        place.blocks.pointer_layer_stride = g.scene.items;
      } else {
        place.blocks.layer_bases_dev = arrays_.back()->data();
        place.blocks.block_stride_bytes = static_cast<std::int64_t>(bytes_of(t));
        place.blocks.indices_dev = g.indices.data();
      }
    }
    std::vector<std::byte> whole = from.to_host();
    each_part([&](device_array<std::byte>& part, std::uint32_t t, std::uint32_t layer) {
      std::vector<std::byte> bytes = part.to_host();
      each_block(t, layer, whole, bytes,
                 [](std::byte* in_whole, std::byte* in_part, std::size_t n) {
                   std::copy_n(in_whole, n, in_part);
                 });
      check(cudaMemcpy(part.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
    });
  }
  const cuda::paged_cache& cache() const { return cache_; }
  void fill(unsigned char byte) const {
    for (const auto& p : parts_) p->fill(byte);
  }
  /// Puts the parts together again, into a cache that lies in one allocation.
  void gather(const device_array<std::byte>& to) {
    std::vector<std::byte> whole = to.to_host();
    each_part([&](device_array<std::byte>& part, std::uint32_t t, std::uint32_t layer) {
      EXPECT_TRUE(part.is_intact());
      std::vector<std::byte> bytes = part.to_host();
      each_block(t, layer, whole, bytes,
                 [](std::byte* in_whole, std::byte* in_part, std::size_t n) {
                   std::copy_n(in_part, n, in_whole);
                 });
    });
    check(cudaMemcpy(to.data(), whole.data(), whole.size(), cudaMemcpyHostToDevice));
  }

 private:
  /// Tensors of a block follow each other.
  std::size_t bytes_of(std::uint32_t t) const {
    const bool is_last = t + 1 == scene_.scene.geometry.tensor_count;
    const std::int64_t end = is_last ? static_cast<std::int64_t>(at_.block_bytes)
                                     : at_.cache.tensors[t + 1].offset_bytes;
    return static_cast<std::size_t>(end - at_.cache.tensors[t].offset_bytes);
  }
  template <class F>
  void each_part(F&& f) {
    const std::uint32_t layers = scene_.scene.geometry.layers;
    for (std::uint32_t i = 0; i < parts_.size(); ++i) f(*parts_[i], i / layers, i % layers);
  }
  template <class F>
  void each_block(std::uint32_t t, std::uint32_t layer, std::vector<std::byte>& whole,
                  std::vector<std::byte>& part, F&& f) const {
    for (std::uint32_t b = 0; b < scene_.blocks; ++b)
      f(gpu_scene::host_block(at_, whole, layer, static_cast<std::int32_t>(b)) +
            at_.cache.tensors[t].offset_bytes,
        part.data() + b * bytes_of(t), bytes_of(t));
  }

  const gpu_scene& scene_;
  const laid_out& at_;
  cuda::paged_cache cache_;
  std::vector<std::unique_ptr<device_array<std::byte>>> parts_;
  std::vector<std::unique_ptr<device_array<std::byte*>>> arrays_;
};

class allocations : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, allocations, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(allocations, layers_and_tensors_may_lie_in_allocations_of_their_own) {
  std::uint64_t seed = 60;
  for (const page_layout layout : {page_layout::token_major, page_layout::head_major})
    for (const way how : {way::layer_bases, way::pointers}) {
      paged_scene s = random_scene(GetParam(), ++seed);
      s.geometry.layers = 3;
      s.fill(seed);
      const gpu_scene g(std::move(s), layout, page_layout::token_major);
      apart numbers(g, g.numbers_at, g.cache, how);
      const apart means(g, g.means_at, g.means,
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

      numbers.fill(0x5a);
      g.cache.fill(0x5a);
      ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), means.cache(), numbers.cache(),
                                       false, {}, g.decoded.data(), g.room(), nullptr));
      check(cudaDeviceSynchronize());
      numbers.gather(g.cache);
      g.expect_restored();
      if (HasFatalFailure()) return;
    }
}

// Opaque bytes are not predicted: where a cache of means would have them does not matter.
TEST_P(allocations, means_have_no_place_for_opaque_bytes) {
  paged_scene s = random_scene(GetParam(), 65);
  s.geometry.tensors[2] = {tensor_kind::k, 0, 0, 52};
  s.geometry.tensor_count = 3;
  s.numbers.clear();
  s.means.clear();
  s.fill(65);
  const gpu_scene g(std::move(s), page_layout::token_major, page_layout::token_major);
  const std::vector<std::int32_t> none(g.scene.items, -1);
  const device_array<std::int32_t> none_dev{std::span<const std::int32_t>(none)};
  cuda::paged_cache means = g.means_at.cache;
  means.tensors[0].blocks = means.tensors[1].blocks = means.blocks;
  means.blocks.indices_dev = none_dev.data();
  const cuda::encoded_places out = g.places(output::slots);
  ASSERT_TRUE(g.coder.encode_async(g.batch(), g.numbers_at.cache, means, out, g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_cpu_bytes(output::slots);
  g.cache.fill(0x5a);
  ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), means, g.numbers_at.cache, false, {},
                                   g.decoded.data(), g.room(), nullptr));
  check(cudaDeviceSynchronize());
  g.expect_restored();
}

// An item is skipped if any of its tensors has no block: none of it is lost.
TEST_P(allocations, an_item_without_one_of_its_tensors_is_skipped) {
  const gpu_scene g(random_scene(GetParam(), 70), page_layout::token_major,
                    page_layout::token_major);
  const apart numbers(g, g.numbers_at, g.cache, way::layer_bases);
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
  const gpu_scene g(random_scene({format_id::bf16, mean_source::none, format_id::bf16}, 80),
                    page_layout::token_major, page_layout::token_major);
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
