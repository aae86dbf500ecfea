// A batch whose numbers and means lie far apart: in the strides of blocks, layers, tokens, heads or tensors.
#pragma once

#include <string>

#include "simt/expectations.hpp"
#include "simt/far_memory.hpp"

namespace skv::simt {

/// Beyond 2^32; and below it, but not twice it.
inline constexpr std::int64_t kFar = (std::int64_t{1} << 32) + (3 << 16) + 64;
inline constexpr std::int64_t kHalf = (std::int64_t{3} << 30) + 64;

/// Three of it: a multiple of a group's numbers, so that head_layout::one_group it is.
inline constexpr std::int64_t kThird = 0xffffffff / 3 / kGroupNumbers * kGroupNumbers;

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
      {.name = "heads_by_a_third", .head = kThird},
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

/// A cache of a scene moved to where its rows, or its blocks, lie far apart.
class far_cache : public far_memory {
 public:
  /// `whole_blocks`: blocks are contiguous, and coded in place.
  far_cache(const device_scene& d, laid_out& at, const std::vector<logical_tensor>& content,
            number_format f, const far_strides& strides, bool whole_blocks = false)
      : d_(d),
        at_(at),
        content_(content),
        format_(f),
        places_("layer bases or pointers", std::max(d.plan.layers, d.scene.items)) {
    place(at.cache, strides);
    if (whole_blocks)
      d_.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
        open(at_.cache.blocks.at(layer, item), at_.block_bytes);
      });
    each_row([&](std::span<const std::byte> row, std::byte* to) {
      open(to, row.size());
      std::ranges::copy(row, to);
    });
  }

  /// Writes the content to an image of the memory.
  void write_to(image& all) const {
    each_row([&](std::span<const std::byte> row, std::byte* at) { copy_into(all, at, row); });
  }
  /// Memory that has the content, and nothing else.
  image only_content() const {
    image all = this->content();
    for (auto& [at, bytes] : all) std::ranges::fill(bytes, kUnwritten);
    write_to(all);
    return all;
  }

 private:
  void place(cuda::paged_cache& cache, const far_strides& s) const {
    const auto set = [](std::int64_t& stride, std::int64_t to) {
      if (to != 0) stride = to;
    };
    cuda::block_places& blocks = cache.blocks;
    blocks.base = middle();
    set(blocks.block_stride_bytes, s.block);
    set(blocks.layer_stride_bytes, s.layer);
    if (s.how == far_strides::way::last_numbers) {
      for (std::uint32_t i = 0; i < d_.scene.items; ++i)
        d_.indices[i] = 0x7fffffff - static_cast<std::int32_t>(i);
      // Layers lie before each other: behind the last block that there can be is nothing.
      blocks.layer_stride_bytes = -blocks.layer_stride_bytes;
    }
    for (std::uint32_t i = 0; i < d_.plan.tensor_count; ++i) {
      set(cache.tensors[i].token_stride_bytes, s.token);
      set(cache.tensors[i].head_stride_bytes, s.head);
      set(cache.tensors[i].offset_bytes, s.tensor * i);
    }
    if (s.how == far_strides::way::layer_bases) {
      for (std::uint32_t layer = 0; layer < d_.plan.layers; ++layer)
        places_[layer] = blocks.base + layer * blocks.layer_stride_bytes;
      blocks.layer_bases_dev = places_.data();
      blocks.base = nullptr;
    } else if (s.how == far_strides::way::pointers) {
      for (std::uint32_t item = 0; item < d_.scene.items; ++item)
        places_[item] = blocks.at(0, item);
      blocks.pointers_dev = places_.data();
      blocks.base = nullptr;
      blocks.indices_dev = nullptr;
    }
  }
  /// Calls f(row, where it lies) for the rows of the batch.
  template <class F>
  void each_row(F&& f) const {
    d_.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      d_.scene.each_row(at_.cache, layer, item, at_.cache.blocks.at(layer, item), format_,
                        [&](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
                          f(std::span<const std::byte>(content_[tensor].data() + at, bytes), row);
                        });
    });
  }

  const device_scene& d_;
  const laid_out& at_;
  const std::vector<logical_tensor>& content_;
  number_format format_;
  buffer<std::byte*> places_;
};

struct far_scene {
  device_scene d;
  far_cache numbers, means;

  far_scene(paged_scene s, page_layout mean_layout, const far_strides& strides, std::uint64_t seed)
      : d(std::move(s), page_layout::token_major, mean_layout, seed),
        numbers(d, d.numbers_at, d.scene.numbers, d.scene.target(), strides,
                strides.blocks_are_contiguous()),
        means(d, d.means_at, d.scene.means, d.scene.mean(), strides) {
    d.heads = d.layout_of_heads();
  }
};

}  // namespace skv::simt
