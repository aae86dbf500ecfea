// Blocks of a paged cache in some layout, and what the CPU codec makes of them.
#pragma once

#include <kernels/plan.hpp>
#include <skv/cpu/codec.hpp>
#include <skv/tile/hash.hpp>

#include <algorithm>
#include <numeric>

#include "support/patterns.hpp"
#include "support/plain_lanes.hpp"
#include "support/profiles.hpp"

namespace skv::test {

enum class page_layout {
  token_major,  ///< per block and tensor [tokens, heads, head_dim]
  head_major,   ///< [heads, tokens, head_dim]
  interleaved,  ///< [heads, tokens, all tensors' head_dim]: K and V side by side
  two_planes,   ///< [tensors, blocks, tokens, heads, head_dim]: an allocation per tensor
};
inline constexpr page_layout kPageLayouts[] = {page_layout::token_major, page_layout::head_major,
                                               page_layout::interleaved, page_layout::two_planes};

inline const char* to_string(page_layout layout) {
  constexpr const char* kNames[] = {"token_major", "head_major", "interleaved", "two_planes"};
  return kNames[static_cast<int>(layout)];
}

/// Strides of a cache of `blocks` blocks in every layer, without gaps.
struct laid_out {
  cuda::paged_cache cache;
  std::size_t bytes = 0;
  std::size_t block_bytes = 0;  ///< of a contiguous block

  laid_out(const cuda::block_geometry& g, page_layout layout, std::uint32_t blocks,
           std::uint32_t number_bytes) {
    std::uint32_t all_dims = 0;
    for (std::uint32_t i = 0; i < g.tensor_count; ++i) all_dims += g.tensors[i].head_dim;
    std::int64_t offset = 0, plane = 0;
    for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
      const auto& t = g.tensors[i];
      auto& place = cache.tensors[i];
      const std::int64_t row = std::int64_t{t.head_dim} * number_bytes;
      const std::int64_t size = t.opaque_bytes != 0 ? t.opaque_bytes : row * t.heads * g.tokens;
      place.offset_bytes = offset;
      place.token_stride_bytes = row * t.heads;
      place.head_stride_bytes = row;
      if (layout == page_layout::head_major) {
        place.token_stride_bytes = row;
        place.head_stride_bytes = row * g.tokens;
      } else if (layout == page_layout::interleaved) {
        place.token_stride_bytes = std::int64_t{all_dims} * number_bytes;
        place.head_stride_bytes = place.token_stride_bytes * g.tokens;
      }
      // Opaque bytes are of any count; numbers are aligned.
      const std::int64_t room = cuda::round_up<std::int64_t>(size, 4);
      offset += layout == page_layout::interleaved ? row : room;
      block_bytes += static_cast<std::size_t>(room);
      plane = std::max(plane, size);
    }
    block_bytes = cuda::round_up<std::size_t>(block_bytes, 16);
    cache.blocks.block_stride_bytes = static_cast<std::int64_t>(block_bytes);
    if (layout == page_layout::two_planes) {
      plane = (plane + 15) / 16 * 16;
      cache.blocks.block_stride_bytes = plane;
      for (std::uint32_t i = 0; i < g.tensor_count; ++i)
        cache.tensors[i].offset_bytes = plane * blocks * g.layers * i;
      // Of several planes there is none.
      block_bytes = g.tensor_count == 1 ? static_cast<std::size_t>(plane) : 0;
    }
    cache.blocks.layer_stride_bytes = cache.blocks.block_stride_bytes * blocks;
    bytes = static_cast<std::size_t>(cache.blocks.layer_stride_bytes) * g.layers *
            (layout == page_layout::two_planes ? g.tensor_count : 1);
  }
};

/// The logical numbers of one tensor of one block, [tokens][heads][head_dim] (or opaque bytes).
using logical_tensor = std::vector<std::byte>;

/// A batch of items in all layers of a geometry.
struct paged_scene {
  coding_id id{};
  cuda::block_geometry geometry;
  std::uint32_t items = 1;
  std::vector<std::uint32_t> token_counts;  ///< [items]
  profile_ptr used_profile;
  /// [layers][items][tensors]
  std::vector<logical_tensor> numbers, means;

  number_format target() const { return format_of(id.target); }
  number_format mean() const { return format_of(id.mean); }
  std::size_t index(std::uint32_t layer, std::uint32_t item, std::uint32_t tensor) const {
    return (std::size_t{layer} * items + item) * geometry.tensor_count + tensor;
  }

  /// Numbers around their means; some are unusual, and some blocks are constant, equal to the
  /// prediction or random.
  void fill(std::uint64_t seed) {
    random_source random(seed);
    for (std::uint32_t layer = 0; layer < geometry.layers; ++layer)
      for (std::uint32_t item = 0; item < items; ++item)
        for (std::uint32_t t = 0; t < geometry.tensor_count; ++t) fill_tensor(random, t);
  }

  /// Tile `i` of a block as the CPU codec writes it: its record, and its bytes in `out`.
  tile_record encoded(const cuda::block_plan& plan, std::uint32_t layer, std::uint32_t item,
                      std::uint32_t i, std::vector<std::byte>& out) const {
    out.clear();
    const cuda::tile_place p = cuda::place_of(plan, i, token_counts[item]);
    if (p.shape.tokens == 0) return {};
    const cuda::block_tensor& t = geometry.tensors[p.tensor];
    const logical_tensor& all = numbers[index(layer, item, p.tensor)];
    if (t.opaque_bytes != 0) {
      out.assign(all.begin() + p.opaque_first, all.begin() + p.opaque_first + p.shape.width);
      return {tile_record::pack(tile_mode::raw, p.shape.width),
              hash_tile<plain_lanes>(p.shape, row_view<const std::uint8_t>{out.data(), 0}), 0};
    }
    const std::size_t row = std::size_t{t.heads} * t.head_dim;
    const std::size_t first = p.first_token * row + p.first_head * t.head_dim;
    const auto rows = [&](const logical_tensor& from, number_format f) {
      return row_view<const std::byte>{from.data() + first * f.bytes(), row * f.bytes()};
    };
    const cpu::codec coder(used_profile);
    const cpu::tile_slice slice{{geometry.first_layer + layer, t.kind},
                                t.heads,
                                t.head_dim,
                                p.first_head,
                                p.shape.width / t.head_dim,
                                p.shape.tokens};
    out.resize(coder.max_tile_bytes(p.shape));
    const auto r = coder.encode(slice, rows(all, target()),
                                id.source == mean_source::given
                                    ? rows(means[index(layer, item, p.tensor)], mean())
                                    : row_view<const std::byte>{},
                                out);
    if (!r) throw std::runtime_error(r.failure().message);
    out.resize(r->bytes());
    return *r;
  }

  /// Copies logical tensors into, or out of, the block at `block`.
  void scatter(const std::vector<logical_tensor>& from, const cuda::paged_cache& cache,
               std::uint32_t layer, std::uint32_t item, std::byte* block, number_format f) const {
    each_row(cache, layer, item, block, f,
             [&](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
               std::memcpy(row, from[tensor].data() + at, bytes);
             });
  }
  /// Are the numbers (of tokens that there are) in the block those of `expected`?
  bool equal(const std::vector<logical_tensor>& expected, const cuda::paged_cache& cache,
             std::uint32_t layer, std::uint32_t item, std::byte* block, number_format f) const {
    bool same = true;
    each_row(cache, layer, item, block, f,
             [&](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
               same &= std::memcmp(row, expected[tensor].data() + at, bytes) == 0;
             });
    return same;
  }

  /// Calls row(tensor, offset in the logical tensor, where it lies, bytes) for every row of
  /// channels of tokens that there are, and for opaque bytes.
  template <class F>
  void each_row(const cuda::paged_cache& cache, std::uint32_t layer, std::uint32_t item,
                std::byte* block, number_format f, F&& row) const {
    for (std::uint32_t i = 0; i < geometry.tensor_count; ++i) {
      const auto& t = geometry.tensors[i];
      const auto& place = cache.tensors[i];
      std::byte* const start = block + place.offset_bytes;
      if (t.opaque_bytes != 0) {
        row(index(layer, item, i), 0, start, t.opaque_bytes);
        continue;
      }
      const std::size_t bytes = std::size_t{t.head_dim} * f.bytes();
      for (std::uint32_t token = 0; token < token_counts[item]; ++token)
        for (std::uint32_t head = 0; head < t.heads; ++head)
          row(index(layer, item, i), (std::size_t{token} * t.heads + head) * bytes,
              start + token * place.token_stride_bytes + head * place.head_stride_bytes, bytes);
    }
  }

 private:
  void fill_tensor(random_source& random, std::uint32_t tensor) {
    const auto& t = geometry.tensors[tensor];
    logical_tensor& x = numbers.emplace_back();
    logical_tensor& mu = means.emplace_back();
    if (t.opaque_bytes != 0) {
      for (std::uint32_t i = 0; i < t.opaque_bytes; ++i)
        x.push_back(static_cast<std::byte>(random.bits()));
      mu = x;
      return;
    }
    const number_format format = target(), mean_format = mean();
    const std::uint32_t kind = random.below(12);  // most are ordinary
    const std::size_t row = std::size_t{t.heads} * t.head_dim;
    std::vector<double> before(row);
    for (std::size_t i = 0; i < geometry.tokens * row; ++i) {
      double& last = before[i % row];
      const double m = id.source == mean_source::given ? random.gaussian() : last;
      last = id.source == mean_source::none ? random.gaussian() : m + 0.1 * random.gaussian();
      std::uint32_t number = to_pattern(format, last), mean_number = to_pattern(mean_format, m);
      if (kind == 0) number = to_pattern(format, 1.5);
      if (kind == 1 && id.target == id.mean) number = mean_number;
      if (kind == 2) number = random.bits() & ((1u << format.bits()) - 1);
      if (kind > 2 && random.chance(0.01)) number = unusual_pattern(format, random);
      if (kind > 2 && random.chance(0.01)) mean_number = unusual_pattern(mean_format, random);
      append_pattern(x, format, number);
      append_pattern(mu, mean_format, mean_number);
    }
  }
};

}  // namespace skv::test
