// How batches are laid over grids: on the host alone.
#include <gtest/gtest.h>
#include <kernels/schedule.hpp>

namespace skv::cuda {
namespace {

block_plan plan_with(std::uint32_t tiles) {
  block_plan plan{};
  plan.layers = 1;
  plan.tiles = tiles;
  plan.stage_bytes = 4096;
  return plan;
}

TEST(schedule, has_room_and_work_for_every_block_of_the_grid) {
  for (const std::uint32_t tiles : {1u, 3u, 4u, 8u, 40u})
    for (const std::uint32_t warps : {8u, 16u, 24u, 32u})
      for (const std::uint32_t most : {1u, 2u, 7u, 132u, 528u})
        for (std::uint32_t items = 0; items < 1200; items += items < 70 ? 1 : 37) {
          const block_plan plan = plan_with(tiles);
          const schedule s = make_schedule(plan, items, warps, most, true);
          ASSERT_GE(s.grid_blocks, 1u);
          ASSERT_LE(s.grid_blocks, most);
          ASSERT_LE(s.round_blocks, round_blocks_of(plan, warps));
          const std::uint64_t rounds = (items + s.round_blocks - 1) / s.round_blocks;
          ASSERT_LE(s.grid_blocks, std::max<std::uint64_t>(rounds, 1));
          ASSERT_GE(s.stages - s.descriptors, rounds * sizeof(std::uint64_t));
          if (items != 0) {
            ASSERT_GE(s.workspace_bytes - s.stages,
                      std::uint64_t{s.grid_blocks} * s.round_blocks * tiles * plan.stage_bytes);
          }
          // A batch that is small leaves nobody idle who could have a block of it.
          if (items <= most && items != 0) {
            ASSERT_EQ(s.grid_blocks, items);
          }
        }
}

TEST(schedule, needs_no_less_of_a_workspace_for_more_items_or_multiprocessors) {
  for (const std::uint32_t tiles : {1u, 3u, 4u, 40u}) {
    const block_plan plan = plan_with(tiles);
    for (const bool staged : {false, true}) {
      for (std::uint32_t most = 1; most < 140; ++most) {
        std::size_t before = 0;
        for (std::uint32_t items = 0; items < 700; ++items) {
          const std::size_t bytes = make_schedule(plan, items, 32, most, staged).workspace_bytes;
          ASSERT_GE(bytes, before) << items << " items, " << most << " blocks";
          ASSERT_LE(bytes, make_schedule(plan, items, 32, most + 1, staged).workspace_bytes);
          before = bytes;
        }
      }
    }
  }
}

}  // namespace
}  // namespace skv::cuda
