// The kernel that encodes blocks: grid, shared memory, places. The mathematics is in tile/.
#pragma once

#include "pages.cuh"
#include "parameters.hpp"
#include "rounds.cuh"

namespace skv::cuda {

/// One warp encodes a tile into its stage; when all tiles of a block are there, and fit, warps copy
/// them to their place: until then nothing of the block is overwritten.
template <number_format Target, mean_source Source, number_format Mean, head_layout kHeads>
struct encode_kernel : encode_parameters {
  using coding = typename coding_of<Target, Source, Mean>::type;
  using number_type = pattern_of<Target>;
  static constexpr std::uint32_t kTableWords =
      coding::kContexts * kMaxTokens * encode_entry::kWords;

  /// A block of the round, in shared memory.
  struct member {
    std::byte* to;  ///< null: it is not written
    std::uint64_t offset;
    std::uint32_t bytes;
  };
  static std::size_t shared_bytes(std::uint32_t round_blocks, std::uint32_t tiles) {
    return kTableWords * 4 + round_blocks * sizeof(member) +
           std::size_t{round_blocks} * tiles * sizeof(staged_tile) + 16;
  }

  SKV_DEVICE void operator()() const {
    auto* const table = reinterpret_cast<std::uint32_t*>(device::shared());
    auto* const members = reinterpret_cast<member*>(table + kTableWords);
    auto* const staged = reinterpret_cast<staged_tile*>(members + round_blocks);
    const std::uint32_t round_tiles = round_blocks * plan.tiles;
    auto* const ticket = reinterpret_cast<std::uint32_t*>(staged + round_tiles);
    for (std::uint32_t i = device::thread(); i < kTableWords; i += device::threads())
      table[i] = table_dev[i];

    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    if (blocks == 0 && out.packed != nullptr && device::block() == 0 && device::thread() == 0)
      *out.total_bytes = 0;
    const std::uint32_t warps = device::threads() / kLanes;
    std::byte* const stage = stages + std::size_t{device::block()} * round_tiles * plan.stage_bytes;
    for (;;) {
      const std::uint32_t round = next_round(counter, ticket);
      if (std::uint64_t{round} * round_blocks >= blocks) return;
      const std::uint32_t first = round * round_blocks;
      const std::uint32_t count = blocks - first < round_blocks ? blocks - first : round_blocks;
      for (std::uint32_t i = device::warp(); i < count * plan.tiles; i += warps) {
        const staged_tile s = encode({batch, items, first + i / plan.tiles}, i % plan.tiles, table,
                                     stage + std::size_t{i} * plan.stage_bytes);
        if (device::lane() == 0) staged[i] = s;
      }
      device::sync_block();
      for (std::uint32_t i = device::warp(); i < count; i += warps) {
        std::uint32_t bytes = 0;
        for (std::uint32_t t = device::lane(); t < plan.tiles; t += kLanes)
          bytes += round_up(staged[i * plan.tiles + t].record.bytes(), kTileAlign);
        bytes = device::sum(bytes);
        if (device::lane() == 0) members[i].bytes = bytes;
      }
      device::sync_block();
      if (device::warp() == 0) place(round, first, count, items, blocks, members);
      device::sync_block();
      for (std::uint32_t i = device::warp(); i < count * plan.tiles; i += warps)
        commit(first, i, items, members, staged, stage + std::size_t{i} * plan.stage_bytes);
    }
  }

 private:
  /// Without the means that it needs a block stays raw.
  SKV_DEVICE bool has_means(const batch_block& b) const {
    return Source != mean_source::given || exists(plan, means, b.layer, b.item);
  }
  SKV_DEVICE bool has_numbers(const batch_block& b) const {
    return exists(plan, numbers, b.layer, b.item);
  }
  SKV_DEVICE staged_tile encode(const batch_block& b, std::uint32_t tile,
                                const std::uint32_t* table, std::byte* room) const {
    staged_tile s;
    if (!has_numbers(b) || !has_means(b)) return s;
    const tile_place p = of_warp(place_of(plan, tile, batch.tokens(b.item, plan.tokens)));
    if (p.shape.tokens == 0) return s;
    if (plan.tensors[p.tensor].opaque_bytes != 0) {
      const row_view<const std::uint8_t> bytes{device::global(p.in(numbers, b.layer, b.item)), 0};
      const row_view<std::uint8_t> kept{room, 0};
      s.record.data_hash = hash_tile<warp_lanes>(p.shape, bytes);
      detail::copy_rows<warp_lanes>(p.shape, bytes, kept);
      s.head_bytes = p.shape.width;
      s.record.packed = tile_record::pack(tile_mode::raw, p.shape.width);
    } else {
      page_rows<const pattern_of<Mean>, kHeads, true> mean_rows{};
      if constexpr (Source == mean_source::given)
        mean_rows = rows_of<const pattern_of<Mean>, kHeads, true>(plan, p, means, b.layer, b.item);
      // Kept where registers suffice: the limits of bench/sass_limits.json tell.
      constexpr bool kKeepRows = kHeads != head_layout::apart || sizeof(number_type) != 2;
      constexpr bool kKeepChannels = kHeads == head_layout::one_row || Source != mean_source::none;
      s = stage_tile<warp_lanes, coding, Source>(
          p.shape, rows_of<const number_type, kHeads>(plan, p, numbers, b.layer, b.item, kKeepRows),
          mean_rows, channels_of(plan, channels_dev, p, b.layer, kKeepChannels), table, room,
          room + kStateBytes);
    }
    device::sync_warp();
    return s;
  }

  /// Decides where the blocks of a round go: one warp.
  SKV_DEVICE void place(std::uint32_t round, std::uint32_t first, std::uint32_t count,
                        std::uint32_t items, std::uint32_t blocks, member* members) const {
    std::uint64_t before = 0;
    if (out.packed != nullptr) {
      std::uint32_t own = 0;
      for (std::uint32_t i = device::lane(); i < count; i += kLanes)
        own += round_up(members[i].bytes, kBlockAlign) / kBlockAlign;
      const std::uint64_t units = device::sum(own);
      before = look_back::exclusive_sum(descriptors, round, units);
      if (device::lane() == 0 && first + count == blocks)
        *out.total_bytes = (before + units) * kBlockAlign;
    }
    if (device::lane() != 0) return;
    std::uint64_t offset = before * kBlockAlign;
    for (std::uint32_t i = 0; i < count; ++i) {
      const batch_block b(batch, items, first + i);
      member& m = members[i];
      m.offset = offset;
      m.to = nullptr;
      bool fits = !has_numbers(b) || has_means(b);
      if (m.bytes != 0 && out.packed != nullptr) {
        fits = offset + m.bytes <= out.packed_bytes;
        if (fits) m.to = out.packed + offset;
      } else if (m.bytes != 0) {
        fits = m.bytes <= out.slot_bytes && out.slots.exists(b.layer, b.item);
        if (fits) m.to = out.slots.at(b.layer, b.item);
      }
      offset += round_up(m.bytes, kBlockAlign);
      out.sizes[b.index] = fits ? m.bytes : 0;
      out.statuses[b.index] = fits ? status::ok : status::does_not_fit;
      if (out.offsets != nullptr) out.offsets[b.index] = m.offset;
    }
  }

  SKV_DEVICE void commit(std::uint32_t first, std::uint32_t i, std::uint32_t items,
                         const member* members, const staged_tile* staged,
                         const std::byte* room) const {
    const std::uint32_t tile = i % plan.tiles;
    const member& m = members[i / plan.tiles];
    const staged_tile& s = staged[i];
    if (device::lane() == 0) {
      const batch_block b(batch, items, first + i / plan.tiles);
      out.records[b.index * plan.tiles + tile] = s.record;
    }
    if (m.to == nullptr) return;
    std::uint32_t before = 0;
    for (std::uint32_t t = device::lane(); t < tile; t += kLanes)
      before += round_up(staged[i - tile + t].record.bytes(), kTileAlign);
    std::byte* const to = m.to + device::sum(before);
    copy_by_warp(to, room, s.head_bytes);
    copy_by_warp(to + s.head_bytes, room + s.words_at, s.record.bytes() - s.head_bytes);
  }
};

}  // namespace skv::cuda
