// How a batch is laid over a grid, and what the workspace holds.
#pragma once

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

/// `most_blocks`: that many of the grid run at once. `staged`: tiles need stages.
inline schedule make_schedule(const block_plan& plan, std::uint32_t items,
                              std::uint32_t warps_per_block, std::uint32_t most_blocks,
                              bool staged) {
  schedule s;
  s.threads = warps_per_block * kLanes;
  const std::uint64_t blocks = std::uint64_t{items} * plan.layers;
  s.round_blocks = round_blocks_of(plan, warps_per_block);
  const std::uint64_t rounds = (blocks + s.round_blocks - 1) / s.round_blocks;
  s.grid_blocks = rounds < most_blocks ? static_cast<std::uint32_t>(rounds) : most_blocks;
  if (s.grid_blocks == 0) s.grid_blocks = 1;
  s.descriptors = sizeof(round_counter);
  s.stages = round_up<std::size_t>(s.descriptors + rounds * sizeof(std::uint64_t), 256);
  s.workspace_bytes = s.stages;
  if (staged)
    s.workspace_bytes +=
        std::size_t{s.grid_blocks} * s.round_blocks * plan.tiles * plan.stage_bytes;
  return s;
}

}  // namespace skv::cuda
