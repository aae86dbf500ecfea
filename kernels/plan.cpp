#include "plan.hpp"

#include <algorithm>
#include <skv/predict/list.hpp>
#include <skv/tile/code_tile.hpp>
#include <string>

#include "refuse.hpp"

namespace skv::cuda {
namespace {

constexpr std::uint32_t kTileElements = 8192;
constexpr std::uint32_t kMaxStageBytes = 1u << 20;
constexpr std::uint64_t kMaxBlockBytes = std::uint64_t{1} << 31;

// One lane: plans are made on the host.
struct one_lane {
  using u32 = std::uint32_t;
  static u32 min(u32 a, u32 b) { return std::min(a, b); }
  static u32 max(u32 a, u32 b) { return std::max(a, b); }
  static u32 excess(u32 a, u32 b) { return (a - b) >> 31 != 0 ? 0 : a - b; }
};

void append_channels(const profile_content& p, std::span<const scale_code> codes,
                     plan_arrays& arrays) {
  coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != p.target || Pair::kMean.id != p.mean) return false;
    const auto append = [&]<class Coding>() {
      for (const std::uint32_t code : codes) {
        arrays.encode_channels.push_back(
            Coding::template to_channel<one_lane, kEncodeTableShift>(code));
        arrays.decode_channels.push_back(
            Coding::template to_channel<one_lane, kDecodeTableShift>(code));
      }
    };
    if (p.source == mean_source::none)
      append.template operator()<exponent_coding<Pair::kTarget>>();
    else
      append.template operator()<residual_coding<Pair::kTarget, Pair::kMean>>();
    return true;
  });
}

result<tensor_plan> cut(const block_geometry& g, const block_tensor& t,
                        std::uint32_t number_bytes) {
  tensor_plan p{};
  p.opaque_bytes = t.opaque_bytes;
  if (t.opaque_bytes != 0) return p;
  const std::string name = to_string(t.kind);
  if (t.heads == 0 || t.head_dim == 0 || t.heads > 65536 / t.head_dim)
    return bad(name + ": heads x head_dim must be 1 to 65536");
  p.heads = t.heads;
  p.head_dim = t.head_dim;
  p.head_inverse = inverse_of(t.head_dim);
  p.tile_heads = g.tile_heads;
  p.tile_tokens = g.tile_tokens;
  if (p.tile_tokens == 0) p.tile_tokens = std::clamp(kTileElements / t.head_dim, 1u, g.tokens);
  if (p.tile_heads == 0)
    p.tile_heads = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        kTileElements / (std::uint64_t{t.head_dim} * p.tile_tokens), 1, t.heads));
  p.tile_tokens = std::min(p.tile_tokens, g.tokens);
  p.tile_heads = std::min(p.tile_heads, t.heads);
  p.head_tiles = (t.heads + p.tile_heads - 1) / p.tile_heads;
  if (std::uint64_t{p.tile_tokens} * p.tile_heads * t.head_dim * number_bytes > kMaxStageBytes)
    return bad(name + ": a tile has at most 1 MiB of numbers");
  return p;
}

}  // namespace

result<block_plan> make_plan(const profile& p, const block_geometry& g, plan_arrays& arrays) {
  const std::uint32_t number_bytes =
      find_format(static_cast<std::uint8_t>(p.content().target))->bytes();
  if (g.layers == 0 || g.layers > 65536 || g.tokens == 0 || g.tokens > 65536)
    return bad("blocks have 1 to 65536 layers, and 1 to 65536 tokens");
  if (g.tensor_count == 0 || g.tensor_count > kMaxTensors)
    return bad("a block has 1 to " + std::to_string(kMaxTensors) + " tensors");

  block_plan plan{};
  plan.layers = g.layers;
  plan.tokens = g.tokens;
  plan.tensor_count = g.tensor_count;
  std::uint32_t largest = 0;
  for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
    auto t = cut(g, g.tensors[i], number_bytes);
    if (!t) return t.failure();
    largest = std::max(largest, t->tile_tokens * t->tile_heads * t->head_dim * number_bytes);
    plan.tensors[i] = *t;
  }
  // Words go to the end of the numbers' room; a tile smaller than its states needs more.
  plan.stage_bytes = round_up(std::max<std::uint32_t>(largest, 512) + 16, 16u);
  std::uint64_t tiles = 0;
  for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
    tensor_plan& t = plan.tensors[i];
    t.first_tile = static_cast<std::uint32_t>(tiles);
    tiles += t.opaque_bytes != 0
                 ? round_up<std::uint64_t>(t.opaque_bytes, plan.stage_bytes) / plan.stage_bytes
                 : std::uint64_t{(g.tokens + t.tile_tokens - 1) / t.tile_tokens} * t.head_tiles;
  }
  if (tiles > 4096) return bad("a block has at most 4096 tiles");
  // Sizes of blocks are 32 bits, on the device and in its arrays.
  if (tiles * plan.stage_bytes > kMaxBlockBytes) return bad("a block has at most 2 GiB");
  plan.tiles = static_cast<std::uint32_t>(tiles);

  arrays = {};
  arrays.channel_starts.assign(std::size_t{g.layers} * kMaxTensors, 0);
  if (p.content().scales.empty()) {
    std::uint32_t width = 0;
    for (std::uint32_t i = 0; i < g.tensor_count; ++i)
      width = std::max(width, plan.tensors[i].heads * plan.tensors[i].head_dim);
    append_channels(p.content(), std::vector<scale_code>(width, p.content().default_code), arrays);
    return plan;
  }
  for (std::uint32_t layer = 0; layer < g.layers; ++layer)
    for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
      const tensor_plan& t = plan.tensors[i];
      if (t.opaque_bytes != 0) continue;
      const auto codes = p.codes({g.first_layer + layer, g.tensors[i].kind}, t.heads, t.head_dim);
      if (!codes) return codes.failure();
      arrays.channel_starts[layer * kMaxTensors + i] =
          static_cast<std::uint32_t>(arrays.encode_channels.size());
      append_channels(p.content(), *codes, arrays);
    }
  return plan;
}

}  // namespace skv::cuda
