// What the kernels are given.
#pragma once

#include <skv/cuda/pool.hpp>

#include "plan.hpp"

namespace skv::cuda {

/// At the start of a workspace, zeroed before each launch.
struct round_counter {
  std::uint64_t next;  ///< only the low half counts; the alignment is for what follows
};

struct encode_parameters {
  block_plan plan;
  block_batch batch;
  paged_cache numbers, means;
  encoded_places out;
  const std::uint32_t* table_dev;
  const channel<std::uint32_t>* channels_dev;
  round_counter* counter;
  std::uint64_t* descriptors;  ///< one per round, if packed
  std::byte* stages;           ///< tiles of a round for every block of the grid
  std::uint32_t round_blocks;  ///< blocks of the batch in a round
};

struct decode_parameters {
  block_plan plan;
  block_batch batch;
  paged_cache numbers, means;
  stored_places in;
  wanted_range wanted;
  status* statuses;  ///< [layers][items]
  const std::uint32_t* table_dev;
  const channel<std::uint32_t>* channels_dev;
  round_counter* counter;
  std::byte* stages;           ///< null: not in place
  std::uint32_t round_blocks;  ///< blocks of the batch in a round
};

struct compact_parameters {
  block_plan plan;
  block_batch batch;
  stored_places in;
  encoded_places out;
  round_counter* counter;
  std::uint64_t* descriptors;  ///< one per round
  std::uint32_t round_blocks;  ///< blocks of the batch in a round
};

/// A change of a pool: sectors are taken, or given back. Beside the pool's own counts, which move while
/// a kernel runs.
struct pool_change {
  std::uint64_t free_before;  ///< sectors that were free when it began
  std::uint64_t moved;        ///< sectors asked for, or given back, so far; 0 when it begins
};

struct store_parameters {
  block_plan plan;
  block_batch batch;
  pool_ref pool;
  pool_entries entries;
  stored_places in;
  status* statuses;  ///< [layers][items]
  pool_change* change;
  std::uint32_t round_blocks;  ///< blocks of the batch in a round
};

struct load_parameters {
  block_plan plan;
  block_batch batch;
  pool_ref pool;
  pool_entries entries;
  encoded_places out;
  std::uint32_t round_blocks;  ///< blocks of the batch in a round
};

struct drop_parameters {
  block_plan plan;
  block_batch batch;
  pool_ref pool;
  pool_entries entries;
  status* statuses;  ///< [layers][items]
  pool_change* change;
};

struct clear_parameters {
  pool_ref pool;
};

}  // namespace skv::cuda
