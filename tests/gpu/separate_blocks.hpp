// The blocks of a cache in allocations of their own.
#pragma once

#include <memory>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {

enum class way { layer_bases, pointers };

/// The blocks of a cache taken apart: [tensors][layers], an allocation each of [blocks][bytes of the tensor].
/// The tensors before `first` stay where they are.
class separate_blocks {
 public:
  separate_blocks(const gpu_scene& g, const laid_out& at, const device_array<std::byte>& from,
                  way how, std::uint32_t first = 0)
      : scene_(g), at_(at), cache_(at.cache), first_(first) {
    const cuda::block_geometry& geometry = g.scene.geometry;
    if (first == 0) cache_.blocks = {};
    for (std::uint32_t t = first; t < geometry.tensor_count; ++t) {
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
    each_block(from, [](std::byte* in_whole, std::byte* in_part, std::size_t bytes) {
      check(cudaMemcpy(in_part, in_whole, bytes, cudaMemcpyDeviceToDevice));
    });
  }
  const cuda::paged_cache& cache() const { return cache_; }
  void forget() const {
    for (const auto& p : parts_) p->forget();
  }
  /// Puts the parts together again, into a cache that lies in one allocation.
  void gather(const device_array<std::byte>& to) const {
    for (const auto& p : parts_) EXPECT_TRUE(p->is_intact());
    each_block(to, [](std::byte* in_whole, std::byte* in_part, std::size_t bytes) {
      check(cudaMemcpy(in_whole, in_part, bytes, cudaMemcpyDeviceToDevice));
    });
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
  void each_block(const device_array<std::byte>& whole, F&& f) const {
    const std::uint32_t layers = scene_.scene.geometry.layers;
    for (std::uint32_t i = 0; i < parts_.size(); ++i) {
      const std::uint32_t t = first_ + i / layers;
      for (std::uint32_t b = 0; b < scene_.blocks; ++b)
        f(gpu_scene::block(at_, whole.data(), i % layers, static_cast<std::int32_t>(b)) +
              at_.cache.tensors[t].offset_bytes,
          parts_[i]->data() + b * bytes_of(t), bytes_of(t));
    }
  }

  const gpu_scene& scene_;
  const laid_out& at_;
  cuda::paged_cache cache_;
  std::uint32_t first_;
  std::vector<std::unique_ptr<device_array<std::byte>>> parts_;
  std::vector<std::unique_ptr<device_array<std::byte*>>> arrays_;
};

}  // namespace skv::gpu
