// Decoding some tokens or heads: tiles that have some of them are decoded, others are not touched.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

struct range {
  std::uint64_t first, count;
  bool meets(std::uint64_t from, std::uint64_t until) const {
    return count != 0 && first < until && from < first + count;
  }
};

void expect_wanted_tiles(device_scene& d, output how, const cuda::wanted_range& w) {
  SCOPED_TRACE("tokens " + std::to_string(w.first_token) + " + " + std::to_string(w.tokens) +
               ", heads " + std::to_string(w.first_head) + " + " + std::to_string(w.heads));
  d.spoil();
  const report r = d.decode(how, d.ample_room(how), {w.first_token + 7}, w);
  ASSERT_TRUE(r) << r.message;
  memory_image expected = d.cache_before;
  const range tokens{w.first_token, w.tokens}, heads{w.first_head, w.heads};
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    ASSERT_EQ(d.decoded[index], status::ok);
    copy_rows_into(expected, d, layer, item, &d.scene.numbers,
                   [&](std::uint32_t tensor, std::uint32_t token, std::uint32_t head) {
                     const cuda::tensor_plan& t = d.plan.tensors[tensor];
                     if (t.opaque_bytes != 0) return true;
                     const std::uint32_t token_at = token / t.tile_tokens * t.tile_tokens;
                     const std::uint32_t head_at = head / t.tile_heads * t.tile_heads;
                     const std::uint32_t token_end =
                         std::min(token_at + t.tile_tokens, d.scene.token_counts[item]);
                     return tokens.meets(token_at, token_end) &&
                            heads.meets(head_at, std::min(head_at + t.tile_heads, t.heads));
                   });
  });
  ASSERT_TRUE(same_memory("cache", expected, d.image_of(d.cache)));
}

TEST(wanted, tiles_are_decoded_and_no_others) {
  cuda::block_geometry g;
  g.layers = 2;
  g.tokens = 11;
  g.tensors[0] = {tensor_kind::k, 5, 16, 0};
  g.tensors[1] = {tensor_kind::v, 5, 24, 0};
  g.tensors[2] = {tensor_kind::k, 0, 0, 19};
  g.tensor_count = 3;
  g.tile_tokens = 4;
  g.tile_heads = 2;
  const coding_id codings[] = {{format_id::bf16, mean_source::given, format_id::bf16},
                               {format_id::e4m3, mean_source::none, format_id::e4m3},
                               {format_id::fp16, mean_source::previous_token, format_id::fp16}};
  std::uint64_t seed = 0;
  for (const coding_id id : codings)
    for (const output how : {output::slots, output::packed}) {
      ++seed;
      SCOPED_TRACE(name_of(id) + ", " + to_string(how));
      device_scene d(make_scene(id, g, 3, seed), page_layout::head_major, page_layout::two_planes,
                     seed);
      ASSERT_TRUE(d.encode(how, d.ample_room(how), {seed}));
      const std::uint32_t all = 0xffffffff;
      std::vector<cuda::wanted_range> ranges = {{},
                                                {0, 0, 0, all},
                                                {5, 0, 0, all},
                                                {0, all, 3, 0},
                                                {11, all, 0, all},
                                                {3, 1},
                                                {4, 1},
                                                {0, 4},
                                                {3, 2},
                                                {0, 12, 4, 1},
                                                {0, all, 1, 1},
                                                {all, all, 0, all},
                                                {0, all, all, 1},
                                                {10, all, 2, 2},
                                                {7, 2, 1, 3}};
      random_source random(seed);
      for (int i = 0; i < 12; ++i)
        ranges.push_back({random.below(13), random.below(9), random.below(6), random.below(5)});
      for (const cuda::wanted_range& w : ranges) {
        expect_wanted_tiles(d, how, w);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
}

// They may be damaged, or their prediction be gone.
TEST(wanted, other_tiles_are_not_looked_at) {
  cuda::block_geometry g = small_geometry();
  device_scene d(make_scene({format_id::bf16, mean_source::given, format_id::bf16}, g, 2, 3),
                 page_layout::token_major, page_layout::token_major, 3);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {3}));
  for (std::size_t i = 0; i < d.count(); ++i)
    for (std::uint32_t t = 0; t < d.plan.tiles; ++t)
      if (cuda::place_of(d.plan, t, d.scene.token_counts[i % 2]).first_head == 0 &&
          d.records[i * d.plan.tiles + t] != tile_record{})
        ++d.records[i * d.plan.tiles + t].data_hash;
  expect_wanted_tiles(d, output::slots, {0, 0xffffffff, 2, 1});
}

}  // namespace
}  // namespace skv::simt
