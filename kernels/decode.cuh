// The kernel that decodes blocks: grid, shared memory, places. The mathematics is in tile/.
#pragma once

#include "pages.cuh"
#include "parameters.hpp"
#include "rounds.cuh"
#include "stored.cuh"

namespace skv::cuda {

/// One warp decodes a tile. In place, the compressed bytes of a round are copied to its stages
/// before any number is written, and copied back where a block turns out to be damaged, or the
/// prediction to be another.
template <number_format Target, mean_source Source, number_format Mean, head_layout kHeads>
struct decode_kernel : decode_parameters {
  using coding = typename coding_of<Target, Source, Mean>::type;
  using number_type = pattern_of<Target>;
  static constexpr std::uint32_t kTableWords = coding::kContexts * kSlots;

  static std::size_t shared_bytes(std::uint32_t round_blocks, std::uint32_t tiles) {
    return kTableWords * 4 + std::size_t{round_blocks} * tiles * sizeof(status) + 16;
  }

  SKV_DEVICE void operator()() const {
    auto* const table = reinterpret_cast<std::uint32_t*>(device::shared());
    auto* const ticket = table + kTableWords;
    auto* const tile_statuses = reinterpret_cast<status*>(ticket + 1);
    for (std::uint32_t i = device::thread(); i < kTableWords; i += device::threads())
      table[i] = table_dev[i];

    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    const std::uint32_t rounds = (blocks + round_blocks - 1) / round_blocks;
    const std::uint32_t warps = device::threads() / kLanes;
    const std::size_t block_room = std::size_t{plan.tiles} * plan.stage_bytes;
    for (;;) {
      const std::uint32_t round = next_round(counter, ticket);
      if (round >= rounds) return;
      const std::uint32_t first = round * round_blocks;
      const std::uint32_t count = blocks - first < round_blocks ? blocks - first : round_blocks;
      std::byte* const stage =
          stages == nullptr ? nullptr : stages + device::block() * round_blocks * block_room;
      if (stage != nullptr) {
        for (std::uint32_t i = device::warp(); i < count; i += warps) {
          const stored_block s = find(first + i, items);
          if (s.is == status::ok) copy_by_warp(stage + i * block_room, s.bytes, s.size);
        }
        device::sync_block();
      }
      for (std::uint32_t i = device::warp(); i < count * plan.tiles; i += warps) {
        const std::uint32_t b = i / plan.tiles;
        const status s = decode(first + b, i % plan.tiles, items, table,
                                stage == nullptr ? nullptr : stage + b * block_room);
        if (device::lane() == 0) tile_statuses[i] = s;
      }
      device::sync_block();
      for (std::uint32_t i = device::warp(); i < count; i += warps)
        finish(first + i, items, tile_statuses + i * plan.tiles,
               stage == nullptr ? nullptr : stage + i * block_room);
    }
  }

 private:
  SKV_DEVICE std::size_t index_of(std::uint32_t block, std::uint32_t items) const {
    return batch_block(batch, items, block).index;
  }
  SKV_DEVICE stored_block find(std::uint32_t block, std::uint32_t items) const {
    return find_stored(plan, in, batch_block(batch, items, block));
  }

  static SKV_DEVICE bool overlap(std::uint32_t a, std::uint32_t a_count, std::uint32_t b,
                                 std::uint32_t b_count) {
    return a < b ? b - a < a_count && b_count != 0 : a - b < b_count;
  }
  SKV_DEVICE bool is_wanted(const tile_place& p) const {
    const tensor_plan& t = plan.tensors[p.tensor];
    if (t.opaque_bytes != 0) return true;
    const std::uint32_t heads = p.shape.width / t.head_dim;
    return overlap(p.first_token, p.shape.tokens, wanted.first_token, wanted.tokens) &&
           overlap(p.first_head, heads, wanted.first_head, wanted.heads);
  }

  SKV_DEVICE status decode(std::uint32_t block, std::uint32_t tile, std::uint32_t items,
                           const std::uint32_t* table, const std::byte* staged) const {
    // Not a batch_block, whose index would take registers through all of it.
    const std::uint32_t layer = batch.first_layer + block / items, item = block % items;
    if (!exists(plan, numbers, layer, item)) return status::ok;
    const stored_block s = find(block, items);
    if (s.is == status::does_not_fit && staged != nullptr) return status::ok;  // it is there, raw
    if (s.is != status::ok) return s.is;
    const tile_place p = of_warp(place_of(plan, tile, batch.tokens(item, plan.tokens)));
    const tile_record* const records = in.records + index_of(block, items) * plan.tiles;
    const tile_record record = records[tile];
    if (p.shape.tokens == 0) return record == tile_record{} ? status::ok : status::corrupt;
    if (!is_wanted(p)) return status::ok;

    // Wraps only for sizes that no encoder writes; what is read is within the block all the same.
    std::uint32_t before = 0;
    for (std::uint32_t t = device::lane(); t < tile; t += kLanes)
      before += round_up(records[t].bytes(), kTileAlign) / kTileAlign;
    const std::uint64_t at = std::uint64_t{device::sum(before)} * kTileAlign;
    if (at + record.bytes() > s.size) return status::truncated;
    const std::byte* const bytes = device::global((staged == nullptr ? s.bytes : staged) + at);

    if (plan.tensors[p.tensor].opaque_bytes != 0) {
      if (record.mode() != tile_mode::raw || record.bytes() != p.shape.width ||
          record.tail_steps() != 0 || record.prediction_hash != 0)
        return status::corrupt;
      const row_view<const std::uint8_t> kept{bytes, 0};
      detail::copy_rows<warp_lanes>(
          p.shape, kept, row_view<std::uint8_t>{device::global(p.in(numbers, layer, item)), 0});
      return hash_tile<warp_lanes>(p.shape, kept) == record.data_hash ? status::ok
                                                                      : status::corrupt;
    }
    page_rows<const pattern_of<Mean>, kHeads, true> mean_rows{};
    if constexpr (Source == mean_source::given) {
      if (!exists(plan, means, layer, item)) return status::wrong_prediction;
      mean_rows = rows_of<const pattern_of<Mean>, kHeads, true>(plan, p, means, layer, item,
                                                                kHeads != head_layout::one_row);
    }
    return restore_tile<warp_lanes, coding, Source>(
        p.shape, record, bytes, rows_of<number_type, kHeads>(plan, p, numbers, layer, item),
        mean_rows, channels_of(plan, channels_dev, p, layer), table);
  }

  /// One warp.
  SKV_DEVICE void finish(std::uint32_t block, std::uint32_t items, const status* tile_statuses,
                         const std::byte* staged) const {
    std::uint32_t mine = 0;
    for (std::uint32_t t = device::lane(); t < plan.tiles; t += kLanes) {
      const auto s = static_cast<std::uint32_t>(tile_statuses[t]);
      mine = s > mine ? s : mine;
    }
    auto worst = static_cast<std::uint32_t>(status::wrong_prediction);
    while (worst != 0 && !device::any(mine == worst)) --worst;
    // Its place first: `statuses` may be those that say where it is.
    if (staged != nullptr && worst != 0) {
      const stored_block s = find(block, items);
      if (s.is == status::ok) copy_by_warp(s.bytes, staged, s.size);
      device::sync_warp();
    }
    if (device::lane() == 0) statuses[index_of(block, items)] = static_cast<status>(worst);
  }
};

}  // namespace skv::cuda
