// A batch whose numbers and means lie far apart: in the strides of blocks, layers, tokens, heads or tensors.
#pragma once

#include <string>

#include "simt/expectations.hpp"
#include "simt/far_memory.hpp"

namespace skv::simt {

/// Beyond 2^32; and below it, but not twice it.
inline constexpr std::int64_t kFar = (std::int64_t{1} << 32) + (3 << 16) + 64;
inline constexpr std::int64_t kHalf = (std::int64_t{3} << 30) + 64;

/// Strides in place of a layout's own. 0: as they were.
struct far_strides {
  const char* name;
  std::int64_t block = 0, layer = 0, token = 0, head = 0, tensor = 0;
  enum class way { indices, last_numbers, layer_bases, pointers } how = way::indices;

  bool blocks_are_contiguous() const { return token == 0 && head == 0 && tensor == 0; }
};
inline void PrintTo(const far_strides& s, std::ostream* out) { *out << s.name; }

inline std::vector<far_strides> far_cases() {
  using way = far_strides::way;
  return {
      {.name = "blocks", .block = kFar},
      {.name = "blocks_backwards", .block = -kFar},
      {.name = "blocks_by_half", .block = kHalf},
      {.name = "last_blocks", .how = way::last_numbers},
      {.name = "layers", .layer = kFar},
      {.name = "layers_backwards", .layer = -kFar},
      {.name = "layer_bases", .block = kHalf, .layer = kFar, .how = way::layer_bases},
      {.name = "pointers", .block = kFar, .layer = -kHalf, .how = way::pointers},
      {.name = "tokens", .token = kFar},
      {.name = "tokens_backwards", .token = -kFar},
      {.name = "tokens_by_half", .token = kHalf},
      {.name = "heads", .head = kFar},
      {.name = "heads_backwards", .head = -kFar},
      {.name = "heads_by_half", .head = -kHalf},
      {.name = "tensors", .tensor = kFar},
      {.name = "tensors_backwards", .tensor = -kFar},
      {.name = "everything",
       .block = 100 * kFar,
       .layer = 600 * kFar,
       .token = 4 * kFar,
       .head = kFar,
       .tensor = 40 * kFar},
      {.name = "everything_backwards",
       .block = -100 * kFar,
       .layer = 600 * kFar,
       .token = -4 * kFar,
       .head = -kHalf,
       .tensor = -40 * kFar},
  };
}

struct far_scene {
  device_scene d;
  far_memory numbers, means;
  buffer<std::byte*> number_places, mean_places;  ///< bases of layers, or pointers

  far_scene(paged_scene s, page_layout mean_layout, const far_strides& strides, std::uint64_t seed)
      : d(std::move(s), page_layout::token_major, mean_layout, seed),
        number_places("places of numbers", std::max(d.plan.layers, d.scene.items)),
        mean_places("places of means", number_places.size()) {
    if (strides.how == far_strides::way::last_numbers)
      for (std::uint32_t i = 0; i < d.scene.items; ++i)
        d.indices[i] = 0x7fffffff - static_cast<std::int32_t>(i);
    place(d.numbers_at.cache, numbers, number_places, strides);
    place(d.means_at.cache, means, mean_places, strides);
    d.one_row = are_in_one_row(d.plan, d.numbers_at.cache, d.scene.target()) &&
                (d.scene.id.source != mean_source::given ||
                 are_in_one_row(d.plan, d.means_at.cache, d.scene.mean()));
    open(d.numbers_at, numbers, d.scene.numbers, d.scene.target(), strides.blocks_are_contiguous());
    open(d.means_at, means, d.scene.means, d.scene.mean(), false);
  }

  /// Writes to an image of the numbers' memory where they are.
  void write_numbers(far_memory::image& to) const {
    each_row(d.numbers_at, d.scene.target(),
             [&](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
               numbers.copy_into(to, row, {d.scene.numbers[tensor].data() + at, bytes});
             });
  }
  /// Memory that has the numbers, and nothing else.
  far_memory::image with_numbers() const {
    far_memory::image all = numbers.content();
    for (auto& [at, bytes] : all) std::ranges::fill(bytes, far_memory::kUnwritten);
    write_numbers(all);
    return all;
  }

 private:
  void place(cuda::paged_cache& cache, const far_memory& memory, const buffer<std::byte*>& places,
             const far_strides& s) const {
    const auto set = [](std::int64_t& stride, std::int64_t to) {
      if (to != 0) stride = to;
    };
    cuda::block_places& blocks = cache.blocks;
    blocks.base = memory.middle();
    set(blocks.block_stride_bytes, s.block);
    set(blocks.layer_stride_bytes, s.layer);
    // Behind the last block that there can be, the layers' own strides are too small.
    if (s.how == far_strides::way::last_numbers)
      blocks.layer_stride_bytes = -blocks.layer_stride_bytes;
    for (std::uint32_t i = 0; i < d.plan.tensor_count; ++i) {
      set(cache.tensors[i].token_stride_bytes, s.token);
      set(cache.tensors[i].head_stride_bytes, s.head);
      set(cache.tensors[i].offset_bytes, s.tensor * i);
    }
    if (s.how == far_strides::way::layer_bases) {
      for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
        places[layer] = blocks.base + layer * blocks.layer_stride_bytes;
      blocks.layer_bases_dev = places.data();
      blocks.base = nullptr;
    } else if (s.how == far_strides::way::pointers) {
      for (std::uint32_t item = 0; item < d.scene.items; ++item) places[item] = blocks.at(0, item);
      blocks.pointers_dev = places.data();
      blocks.base = nullptr;
      blocks.indices_dev = nullptr;
    }
  }

  template <class F>
  void each_row(const laid_out& at, number_format f, F&& row) const {
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      d.scene.each_row(at.cache, layer, item, at.cache.blocks.at(layer, item), f, row);
    });
  }
  /// Opens what the batch needs, and writes the numbers. Blocks that are coded in place it needs whole.
  void open(const laid_out& at, far_memory& memory, const std::vector<logical_tensor>& from,
            number_format f, bool whole_blocks) const {
    if (whole_blocks)
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
        memory.open(at.cache.blocks.at(layer, item), at.block_bytes);
      });
    each_row(at, f, [&](std::size_t tensor, std::size_t where, std::byte* row, std::size_t bytes) {
      memory.open(row, bytes);
      std::memcpy(row, from[tensor].data() + where, bytes);
    });
  }
};

}  // namespace skv::simt
