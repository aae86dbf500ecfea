// How a batch is laid over a grid, and what the workspace holds.
#pragma once

#include <algorithm>
#include <skv/lanes/lanes.hpp>

#include "parameters.hpp"

namespace skv::cuda {

struct schedule {
  std::uint32_t grid_blocks = 0;
  std::uint32_t threads = 0;       ///< of a block
  std::size_t shared_bytes = 0;    ///< of a block; for a launch
  std::uint32_t round_blocks = 0;  ///< blocks of the batch in a round
  std::size_t workspace_bytes = 0;
  // Offsets in the workspace; what lies before `stages` is zeroed before each launch.
  std::size_t descriptors = 0, stages = 0;
};

/// A round gives every warp of a block a tile, if tiles are that many.
inline std::uint32_t round_blocks_of(const block_plan& plan, std::uint32_t warps_per_block) {
  return plan.tiles != 0 && plan.tiles < warps_per_block ? warps_per_block / plan.tiles : 1;
}

/// `most_blocks`: that many of the grid run at once. A batch too small for all of them is shared among as many
/// as it has blocks. `staged`: tiles need stages. Of a workspace larger batches, and larger grids, need no less.
inline schedule make_schedule(const block_plan& plan, std::uint32_t items,
                              std::uint32_t warps_per_block, std::uint32_t most_blocks,
                              bool staged) {
  const auto per = [](std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; };
  schedule s;
  s.threads = warps_per_block * kLanes;
  const std::uint64_t blocks = std::uint64_t{items} * plan.layers;
  const std::uint32_t full = round_blocks_of(plan, warps_per_block);
  s.round_blocks =
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(per(blocks, most_blocks), 1, full));
  const std::uint64_t rounds = per(blocks, s.round_blocks);
  s.grid_blocks = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rounds, 1, most_blocks));
  s.descriptors = sizeof(round_counter);
  const std::uint64_t most_rounds =
      std::min(blocks, std::max<std::uint64_t>(most_blocks, per(blocks, full)));
  s.stages = round_up<std::size_t>(s.descriptors + most_rounds * sizeof(std::uint64_t), 256);
  s.workspace_bytes = s.stages;
  // At least grid_blocks * round_blocks, which does not always grow with the batch, or with the grid.
  if (staged)
    s.workspace_bytes += std::min(blocks + full - 1, std::uint64_t{most_blocks} * full) *
                         plan.tiles * plan.stage_bytes;
  return s;
}

}  // namespace skv::cuda
