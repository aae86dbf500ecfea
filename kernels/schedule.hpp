// How a batch is laid over a grid, and what the workspace holds.
#pragma once

#include <skv/lanes/lanes.hpp>

#include "parameters.hpp"

namespace skv::cuda {

struct schedule {
  std::uint32_t grid_blocks = 0;
  std::uint32_t round_blocks = 0;  ///< blocks of the batch in a round
  std::size_t workspace_bytes = 0;
  // Offsets in the workspace; what lies before `stages` is zeroed before each launch.
  std::size_t descriptors = 0, stages = 0;
};

/// A round gives every warp of a block a tile, if tiles are that many. `resident_blocks`: how many
/// blocks of the grid run at once. `staged`: tiles need stages.
inline schedule make_schedule(const block_plan& plan, std::uint32_t items,
                              std::uint32_t warps_per_block, std::uint32_t resident_blocks,
                              bool staged) {
  schedule s;
  const std::uint64_t blocks = std::uint64_t{items} * plan.layers;
  s.round_blocks = plan.tiles < warps_per_block ? warps_per_block / plan.tiles : 1;
  const std::uint64_t rounds = (blocks + s.round_blocks - 1) / s.round_blocks;
  s.grid_blocks = rounds < resident_blocks ? static_cast<std::uint32_t>(rounds) : resident_blocks;
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
