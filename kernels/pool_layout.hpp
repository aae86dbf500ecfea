// Where the parts of a pool lie in its memory.
#pragma once

#include <bit>
#include <skv/cuda/pool.hpp>
#include <string>

#include "parameters.hpp"
#include "refuse.hpp"

namespace skv::cuda {

struct pool_layout {
  pool_options options;  ///< with max_sectors
  std::uint32_t tiles = 0;
  // Offsets.
  std::size_t arena = 0, free = 0, states = 0, sectors = 0, records = 0, counts = 0, change = 0;
  std::size_t bytes = 0;  ///< of all

  static result<pool_layout> make(const block_plan& plan, const pool_options& options) {
    const std::uint32_t sector = options.sector_bytes;
    if (sector < 64 || sector > 65536 || (sector & (sector - 1)) != 0)
      return bad("sectors have a power of two of bytes, from 64 to 65536");
    if (options.sectors == 0 || options.entries == 0)
      return bad("a pool has at least one sector and one entry");
    pool_layout l;
    l.options = options;
    l.tiles = plan.tiles;
    const std::uint32_t most = (plan.tiles * plan.stage_bytes + sector - 1) / sector;
    if (options.max_sectors == 0 || options.max_sectors > most) l.options.max_sectors = most;
    const auto place = [&l](std::size_t count, std::size_t of_bytes) {
      const std::size_t at = l.bytes;
      l.bytes = round_up<std::size_t>(at + count * of_bytes, 256);
      return at;
    };
    const std::size_t entries = options.entries;
    l.arena = place(options.sectors, sector);
    l.free = place(options.sectors, sizeof(std::uint32_t));
    l.states = place(entries, sizeof(std::uint32_t));
    l.sectors = place(entries * l.options.max_sectors, sizeof(std::uint32_t));
    l.records = place(entries * plan.tiles, sizeof(tile_record));
    l.counts = place(1, sizeof(pool_counts));
    l.change = place(1, sizeof(pool_change));
    return l;
  }

  pool_ref ref(std::byte* memory) const {
    return {memory + arena,
            static_cast<std::uint32_t>(std::countr_zero(options.sector_bytes)),
            options.sectors,
            options.entries,
            options.max_sectors,
            tiles,
            reinterpret_cast<std::uint32_t*>(memory + free),
            reinterpret_cast<std::uint32_t*>(memory + states),
            reinterpret_cast<std::uint32_t*>(memory + sectors),
            reinterpret_cast<tile_record*>(memory + records),
            reinterpret_cast<pool_counts*>(memory + counts)};
  }
};

}  // namespace skv::cuda
