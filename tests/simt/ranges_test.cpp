// Decoding some tokens or heads: tiles that have some of them are decoded, others are not touched.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

void expect_wanted_tiles(device_scene& d, output how, const cuda::wanted_range& w) {
  d.spoil();
  const report r = d.decode(how, d.ample_room(how), {w.first_token + 7}, w);
  ASSERT_TRUE(r) << r.message;
  expect_wanted(d, w);
}

TEST(wanted, tiles_are_decoded_and_no_others) {
  const cuda::block_geometry g = geometry_of_ranges();
  const coding_id codings[] = {kGiven,
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
      for (const cuda::wanted_range& w : wanted_ranges(seed)) {
        expect_wanted_tiles(d, how, w);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
}

// They may be damaged, or their prediction be gone.
TEST(wanted, other_tiles_are_not_looked_at) {
  cuda::block_geometry g = small_geometry();
  device_scene d(make_scene(kGiven, g, 2, 3), page_layout::token_major, page_layout::token_major,
                 3);
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
