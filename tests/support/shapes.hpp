// The matrix that kernels are tested with, under the SIMT executor and on a GPU: shapes of blocks that
// caches have, and some that none has; their layouts; where compressed blocks go.
#pragma once

#include <optional>
#include <ostream>
#include <string>

#include "support/paged_scene.hpp"

namespace skv::test {

enum class output { slots, in_place, packed };
inline constexpr output kOutputs[] = {output::slots, output::in_place, output::packed};

inline const char* to_string(output how) {
  constexpr const char* kNames[] = {"slots", "in place", "packed"};
  return kNames[static_cast<int>(how)];
}

struct shape {
  std::string name;
  std::uint32_t tokens;
  std::vector<cuda::block_tensor> tensors;
  std::uint32_t items = 2;
  std::uint32_t tile_tokens = 0, tile_heads = 0;
  std::uint32_t warps = 3, grid_blocks = 2;  ///< where they can be chosen
  std::uint32_t layers = 1;
  std::optional<std::uint32_t> token_count = std::nullopt;  ///< of every item; else at random
};

inline void PrintTo(const shape& s, std::ostream* out) { *out << s.name; }

inline cuda::block_tensor k(std::uint32_t heads, std::uint32_t head_dim) {
  return {tensor_kind::k, heads, head_dim, 0};
}
inline cuda::block_tensor v(std::uint32_t heads, std::uint32_t head_dim) {
  return {tensor_kind::v, heads, head_dim, 0};
}
inline cuda::block_tensor opaque(std::uint32_t bytes) { return {tensor_kind::k, 0, 0, bytes}; }

inline std::vector<shape> shapes() {
  std::vector<shape> all;
  const auto add = [&](shape s) { all.push_back(std::move(s)); };
  add({"head_dim_64", 16, {k(2, 64), v(2, 64)}});
  add({"head_dim_72", 16, {k(2, 72), v(2, 72)}});
  add({"head_dim_80", 16, {k(2, 80), v(2, 80)}});
  add({"head_dim_96", 16, {k(2, 96), v(2, 96)}});
  add({"head_dim_112", 16, {k(2, 112), v(2, 112)}});
  add({"head_dim_128", 16, {k(1, 128), v(1, 128)}});
  add({"head_dim_192", 16, {k(2, 192), v(2, 192)}});
  add({"head_dim_256", 16, {k(2, 256), v(2, 256)}});
  add({"head_dim_512", 16, {k(2, 512), v(2, 512)}});
  add({"heads_of_a_group", 5, {k(3, 128), v(3, 128)}, 2, 3, 2});
  add({"widths_128_and_96", 5, {k(2, 128), v(2, 96)}});
  add({"widths_192_and_128", 16, {k(2, 192), v(2, 128)}});
  add({"latent", 32, {{tensor_kind::latent, 1, 576, 0}}});
  add({"latent_of_many_tokens", 64, {{tensor_kind::latent, 1, 576, 0}}, 1});
  add({"odd_head_dim", 7, {k(3, 37), v(3, 37)}});
  add({"one_channel", 16, {k(5, 1), v(5, 1)}, 4});
  add({"tokens_32", 32, {k(1, 64), v(1, 64)}});
  add({"tokens_128", 128, {k(1, 64), v(1, 64)}, 1});
  add({"tokens_256", 256, {k(1, 64)}, 1});
  add({"blocks_of_one_token", 1, {k(2, 64), v(2, 64)}, 9});
  add({"one_token_of_16", 16, {k(2, 64), v(2, 64)}, 3, 0, 0, 3, 2, 1, 1});
  add({"no_tokens", 16, {k(2, 64), v(2, 64)}, 3, 0, 0, 3, 2, 2, 0});
  add({"no_tokens_but_opaque_bytes", 16, {k(2, 8), opaque(37)}, 3, 0, 0, 3, 2, 2, 0});
  add({"tiles_end_in_the_middle_of_heads", 16, {k(7, 24), v(7, 24)}, 2, 5, 3});
  add({"widths_differ", 16, {k(2, 96), v(2, 64)}});
  add({"heads_differ", 16, {k(4, 24), v(2, 40)}, 2, 7, 3});
  add({"four_tensors", 5, {k(2, 24), v(2, 40), {tensor_kind::latent, 1, 50, 0}, opaque(3)}, 3, 2});
  add({"opaque_first", 8, {opaque(1), k(2, 24), v(2, 24)}, 3});
  add({"opaque_between", 8, {k(2, 24), opaque(515), v(2, 24)}, 3});
  add({"opaque_larger_than_stages", 8, {k(2, 24), v(2, 24), opaque(5001)}, 2});
  add({"opaque_as_large_as_two_stages", 8, {k(1, 16), opaque(2 * 528)}, 2});
  add({"nothing_but_opaque_bytes", 8, {opaque(1000), opaque(77)}, 3});
  add({"more_tiles_than_warps", 16, {k(4, 16), v(4, 16)}, 2, 4, 1, 2, 2});
  add({"more_tiles_than_lanes", 36, {k(2, 8), v(2, 8)}, 2, 2, 1, 3, 2});
  add({"more_warps_than_tiles", 8, {k(1, 40)}, 9, 0, 0, 8, 2});
  add({"warps_of_no_block", 8, {k(1, 40)}, 1, 0, 0, 8, 1});
  add({"one_warp", 8, {k(2, 24), v(2, 24)}, 5, 4, 1, 1, 1});
  add({"more_rounds_than_grid_blocks", 4, {k(1, 40), v(1, 40)}, 11, 0, 0, 2, 3, 3});
  add({"look_back_over_more_than_a_warp", 1, {k(1, 40)}, 75, 0, 0, 1, 37});
  return all;
}

inline cuda::block_geometry geometry_of(const shape& s) {
  cuda::block_geometry g;
  g.layers = s.layers;
  g.tokens = s.tokens;
  g.tensor_count = static_cast<std::uint32_t>(s.tensors.size());
  std::copy(s.tensors.begin(), s.tensors.end(), g.tensors);
  g.tile_tokens = s.tile_tokens;
  g.tile_heads = s.tile_heads;
  return g;
}

/// K and V side by side need the same heads, and nothing else. In place a block is contiguous: of two
/// planes each has a codec of its own.
inline bool exists(page_layout layout, output how, const cuda::block_geometry& g) {
  bool alike = true;
  for (std::uint32_t i = 0; i < g.tensor_count; ++i)
    alike &= g.tensors[i].opaque_bytes == 0 && g.tensors[i].heads == g.tensors[0].heads;
  if (layout == page_layout::interleaved && !alike) return false;
  return layout != page_layout::two_planes || how != output::in_place || g.tensor_count == 1;
}

/// Calls f(how, layout, layout of the means) for every cell of the matrix that there is for a coding
/// and a shape. Where no means are given only one layout of them.
template <class F>
void each_cell(coding_id id, const cuda::block_geometry& g, F&& f) {
  for (const output how : kOutputs)
    for (const page_layout layout : kPageLayouts)
      for (const page_layout mean_layout : kPageLayouts) {
        if (!exists(layout, how, g) || !exists(mean_layout, output::slots, g)) continue;
        if (id.source != mean_source::given && mean_layout != page_layout::head_major) continue;
        f(how, layout, mean_layout);
      }
}

inline paged_scene make_scene(coding_id id, const cuda::block_geometry& g, std::uint32_t items,
                              std::uint64_t seed, profile_ptr used_profile = nullptr) {
  if (used_profile == nullptr) used_profile = default_profile_of(id);
  paged_scene s{id, g, items, {}, std::move(used_profile), {}, {}};
  random_source random(seed);
  for (std::uint32_t i = 0; i < items; ++i)
    s.token_counts.push_back(random.chance(0.6) ? g.tokens : random.below(g.tokens + 1));
  s.fill(seed);
  return s;
}

/// Some layers of K and V, as caches have them.
inline cuda::block_geometry random_geometry(std::uint64_t seed) {
  random_source random(seed);
  constexpr std::uint32_t kDims[] = {64, 72, 80, 96, 128};
  cuda::block_geometry g;
  g.layers = 1 + random.below(3);
  g.tokens = 16u << random.below(3);
  const std::uint32_t heads = 1 + random.below(6), dim = kDims[random.below(5)];
  g.tensors[0] = k(heads, dim);
  g.tensors[1] = v(heads, dim);
  g.tensor_count = 2;
  return g;
}
inline paged_scene random_scene(coding_id id, std::uint64_t seed) {
  return make_scene(id, random_geometry(seed), 1 + random_source(~seed).below(20), seed);
}

/// The items of a shape.
inline paged_scene scene_of(const shape& s, coding_id id, std::uint64_t seed) {
  paged_scene scene = make_scene(id, geometry_of(s), s.items, seed);
  if (s.token_count) scene.token_counts.assign(s.items, *s.token_count);
  return scene;
}

/// Two layers of a few tiles, none of them of a round size.
inline cuda::block_geometry small_geometry() {
  cuda::block_geometry g;
  g.layers = 2;
  g.tokens = 8;
  g.tensors[0] = {tensor_kind::k, 3, 40, 0};
  g.tensors[1] = {tensor_kind::v, 3, 40, 0};
  g.tensor_count = 2;
  g.tile_heads = 2;
  g.tile_tokens = 5;
  return g;
}

/// Blocks of several tiles in both directions, and some of opaque bytes.
inline cuda::block_geometry geometry_of_ranges() {
  cuda::block_geometry g = geometry_of({"", 11, {k(5, 16), v(5, 24), opaque(19)}, 3, 4, 2});
  g.layers = 2;
  return g;
}

/// Ranges of its tokens and heads: none, all, at and over the edges of tiles; some at random.
inline std::vector<cuda::wanted_range> wanted_ranges(std::uint64_t seed) {
  constexpr std::uint32_t kAll = 0xffffffff;
  std::vector<cuda::wanted_range> ranges = {{},
                                            {0, 0, 0, kAll},
                                            {5, 0, 0, kAll},
                                            {0, kAll, 3, 0},
                                            {11, kAll, 0, kAll},
                                            {3, 1},
                                            {4, 1},
                                            {0, 4},
                                            {3, 2},
                                            {0, 12, 4, 1},
                                            {0, kAll, 1, 1},
                                            {kAll, kAll, 0, kAll},
                                            {0, kAll, kAll, 1},
                                            {10, kAll, 2, 2},
                                            {7, 2, 1, 3}};
  random_source random(seed);
  for (int i = 0; i < 12; ++i)
    ranges.push_back({random.below(13), random.below(9), random.below(6), random.below(5)});
  return ranges;
}

}  // namespace skv::test
