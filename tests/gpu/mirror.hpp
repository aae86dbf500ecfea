// What a device holds of a batch, on the host, for tests/support/expectations.hpp to look at.
#pragma once

#include "support/expectations.hpp"

namespace skv::gpu {

using namespace test;

/// What a batch left on a device, on the host: of the same shape, with places in host memory.
struct mirror {
  const paged_scene& scene;
  const cuda::block_plan& plan;
  laid_out numbers_at;
  std::vector<std::int32_t> indices, slot_indices;
  std::uint32_t items_now;
  memory_image cache, slots, cache_before, slots_before;
  std::uint32_t max_block_bytes;
  std::vector<tile_record> records;
  std::vector<std::uint32_t> sizes;
  std::vector<status> statuses, decoded;
  std::vector<std::uint64_t> offsets, total;

  static const std::byte* bytes_of(const memory_image& image) { return image.data(); }
  static const memory_image& image_of(const memory_image& image) { return image; }
  bool exists(std::uint32_t item) const { return indices[item] >= 0; }
  std::byte* block(std::uint32_t layer, std::uint32_t item) const {
    return numbers_at.cache.blocks.at(layer, item);
  }
  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < items_now; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }
  cuda::encoded_places places(output how, std::size_t) const {
    auto* const start = const_cast<std::byte*>(slots.data());
    cuda::encoded_places out;
    if (how == output::packed) out.packed = start;
    if (how == output::in_place) out.slots = numbers_at.cache.blocks;
    if (how == output::slots)
      out.slots = {start, std::int64_t{max_block_bytes} * scene.items, max_block_bytes};
    return out;
  }
};

}  // namespace skv::gpu
