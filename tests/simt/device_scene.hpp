// A batch of blocks on the executor of fibers: its arrays, its launches, and what they must leave
// behind, byte for byte.
#pragma once

#include <gtest/gtest.h>

#include <kernels/schedule.hpp>

#include "simt/kernels.hpp"
#include "support/expectations.hpp"

namespace skv::simt {

using namespace test;

struct alignas(16) line {
  std::byte bytes[16];
};

struct grid {
  std::uint64_t seed = 1;
  std::uint32_t warps = 3;   ///< of a block
  std::uint32_t blocks = 2;  ///< that run at once
};

struct device_scene {
  paged_scene scene;
  cuda::plan_arrays arrays;
  cuda::block_plan plan;
  std::uint32_t blocks;  ///< of the cache, in every layer
  laid_out numbers_at, means_at;
  buffer<line> cache, mean_cache;
  buffer<std::int32_t> indices, slot_indices;
  buffer<std::byte*> pointers, mean_pointers;
  buffer<std::uint32_t> token_counts, item_count;
  buffer<std::uint32_t> channel_starts;
  buffer<channel<std::uint32_t>> encode_channels, decode_channels;
  buffer<std::uint32_t> encode_table, decode_table;
  buffer<tile_record> records;
  buffer<std::uint32_t> sizes;
  buffer<status> statuses, decoded;
  buffer<std::uint64_t> offsets, total;
  std::size_t slot_bytes;
  buffer<line> slots;
  cuda::head_layout heads;
  std::uint32_t items_now;
  /// Memory before the last launch.
  memory_image cache_before, slots_before;

  static cuda::block_plan planned(const paged_scene& s, cuda::plan_arrays& arrays) {
    auto p = cuda::make_plan(*s.used_profile, s.geometry, arrays);
    if (!p) throw std::runtime_error(p.failure().message);
    return *p;
  }
  std::size_t count() const { return std::size_t{scene.items} * plan.layers; }

  device_scene(paged_scene s, page_layout layout, page_layout mean_layout, std::uint64_t seed)
      : scene(std::move(s)),
        plan(planned(scene, arrays)),
        blocks(scene.items + 2),
        numbers_at(scene.geometry, layout, blocks, scene.target().bytes()),
        means_at(scene.geometry, mean_layout, blocks, scene.mean().bytes()),
        cache("cache", numbers_at.bytes / 16),
        mean_cache("means", means_at.bytes / 16),
        indices("indices", scene.items),
        slot_indices("indices of slots", scene.items),
        pointers("pointers", scene.items),
        mean_pointers("pointers to means", scene.items),
        token_counts("token counts", scene.token_counts),
        item_count("item count", 1),
        channel_starts("channel starts", arrays.channel_starts),
        encode_channels("encode channels", arrays.encode_channels),
        decode_channels("decode channels", arrays.decode_channels),
        encode_table("encoding table", std::span(scene.used_profile->encode_table(),
                                                 scene.used_profile->contexts() * kMaxTokens * 2)),
        decode_table("decoding table", std::span(scene.used_profile->decode_table(),
                                                 scene.used_profile->contexts() * kSlots)),
        records("records", count() * plan.tiles),
        sizes("sizes", count()),
        statuses("statuses", count()),
        decoded("decoded statuses", count()),
        offsets("offsets", count()),
        total("total", 1),
        slot_bytes(cuda::round_up<std::size_t>(std::size_t{plan.tiles} * plan.stage_bytes, 16)),
        slots("slots", slot_bytes / 16 * count()),
        items_now(scene.items) {
    plan.channel_starts_dev = channel_starts.data();
    numbers_at.cache.blocks.base = bytes_of(cache);
    means_at.cache.blocks.base = bytes_of(mean_cache);
    random_source random(seed);
    std::vector<std::int32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
    std::copy_n(order.begin(), scene.items, indices.data());
    std::iota(slot_indices.begin(), slot_indices.end(), 0);
    numbers_at.cache.blocks.indices_dev = means_at.cache.blocks.indices_dev = indices.data();
    item_count[0] = scene.items;
    heads = layout_of_heads();
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      scene.scatter(scene.numbers, numbers_at.cache, layer, item, block(layer, item),
                    scene.target());
      scene.scatter(scene.means, means_at.cache, layer, item, means_at.cache.blocks.at(layer, item),
                    scene.mean());
    });
  }

  cuda::head_layout layout_of_heads() const {
    const bool given = scene.id.source == mean_source::given;
    return cuda::head_layout_of(plan, numbers_at.cache, scene.target(),
                                given ? &means_at.cache : nullptr, scene.mean());
  }
  static std::byte* bytes_of(const buffer<line>& b) {
    return reinterpret_cast<std::byte*>(b.data());
  }
  static memory_image image_of(const buffer<line>& b) {
    return {bytes_of(b), bytes_of(b) + b.size() * sizeof(line)};
  }
  std::byte* block(std::uint32_t layer, std::uint32_t item) const {
    return numbers_at.cache.blocks.at(layer, item);
  }
  bool exists(std::uint32_t item) const { return numbers_at.cache.blocks.exists(0, item); }
  /// Every block of the batch as it is now, in its order.
  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < items_now; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }

  /// The device's counter says that there are fewer items than the arrays have room for.
  void set_item_count(std::uint32_t count) { item_count[0] = items_now = count; }
  /// Pointers to the blocks in place of base and indices.
  void use_pointers() {
    const auto point = [&](const buffer<std::byte*>& to, cuda::block_places& places) {
      for (std::uint32_t i = 0; i < scene.items; ++i)
        to[i] = places.exists(0, i) ? places.at(0, i) : nullptr;
      places.pointers_dev = to.data();
      places.indices_dev = nullptr;
      places.base = nullptr;
    };
    point(pointers, numbers_at.cache.blocks);
    point(mean_pointers, means_at.cache.blocks);
  }

  /// Room in which every block fits.
  std::size_t ample_room(output how) const {
    return how == output::in_place ? numbers_at.block_bytes
           : how == output::packed ? slots.size() * sizeof(line)
                                   : slot_bytes;
  }
  cuda::block_batch batch() const { return {scene.items, item_count.data(), token_counts.data()}; }
  cuda::encoded_places places(output how, std::size_t room) const {
    cuda::encoded_places out;
    out.records = records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    out.slot_bytes = static_cast<std::uint32_t>(room);
    if (how == output::packed) {
      out.packed = bytes_of(slots);
      out.packed_bytes = room;
      out.offsets = offsets.data();
      out.total_bytes = total.data();
    } else if (how == output::in_place) {
      out.slots = numbers_at.cache.blocks;
    } else {
      out.slots.base = bytes_of(slots);
      out.slots.block_stride_bytes = static_cast<std::int64_t>(slot_bytes);
      out.slots.layer_stride_bytes = out.slots.block_stride_bytes * scene.items;
      out.slots.indices_dev = slot_indices.data();
    }
    return out;
  }
  cuda::stored_places stored(output how, std::size_t room) const {
    return as_stored(places(how, room));
  }

  template <class Runner>
  report encode_by(Runner&& run, output how, std::size_t room, const grid& g) {
    remember();
    const auto s = cuda::make_schedule(plan, scene.items, g.warps, g.blocks, true);
    const buffer<std::uint64_t> work("encode workspace", s.workspace_bytes / 8);
    std::fill_n(work.data(), s.stages / 8, 0);
    auto* const start = reinterpret_cast<std::byte*>(work.data());
    const cuda::encode_parameters p{plan,
                                    batch(),
                                    with_own_blocks(numbers_at.cache),
                                    with_own_blocks(means_at.cache),
                                    places(how, room),
                                    encode_table.data(),
                                    encode_channels.data(),
                                    reinterpret_cast<cuda::round_counter*>(start),
                                    work.data() + s.descriptors / 8,
                                    start + s.stages,
                                    s.round_blocks};
    return run(scene.id, heads, p, launch_shape{s.grid_blocks, g.warps * kLanes, 0, g.seed});
  }
  report encode(output how, std::size_t room, const grid& g) {
    return encode_by(run_encode, how, room, g);
  }

  template <class Runner>
  report decode_by(Runner&& run, output how, std::size_t room, const grid& g,
                   const cuda::wanted_range& wanted = {}) {
    remember();
    const bool in_place = how == output::in_place;
    const auto s = cuda::make_schedule(plan, scene.items, g.warps, g.blocks, in_place);
    const buffer<std::uint64_t> work("decode workspace", s.workspace_bytes / 8);
    std::fill_n(work.data(), s.stages / 8, 0);
    auto* const start = reinterpret_cast<std::byte*>(work.data());
    const cuda::decode_parameters p{plan,
                                    batch(),
                                    with_own_blocks(numbers_at.cache),
                                    with_own_blocks(means_at.cache),
                                    stored(how, room),
                                    wanted,
                                    decoded.data(),
                                    decode_table.data(),
                                    decode_channels.data(),
                                    reinterpret_cast<cuda::round_counter*>(start),
                                    in_place ? start + s.stages : nullptr,
                                    s.round_blocks};
    return run(scene.id, heads, p, launch_shape{s.grid_blocks, g.warps * kLanes, 0, g.seed});
  }
  report decode(output how, std::size_t room, const grid& g,
                const cuda::wanted_range& wanted = {}) {
    return decode_by(run_decode, how, room, g, wanted);
  }

  void spoil() const { std::fill_n(bytes_of(cache), numbers_at.bytes, std::byte{0x5a}); }
  void remember() {
    cache_before = image_of(cache);
    slots_before = image_of(slots);
  }
};

/// A batch of small blocks. Even seeds: tiles are large, so that a round has several blocks.
inline device_scene scene_of(coding_id id, std::uint64_t seed, std::uint32_t items = 4) {
  cuda::block_geometry g = small_geometry();
  if (seed % 2 == 0) g.tile_tokens = g.tile_heads = 0;
  return {make_scene(id, g, items, seed), page_layout::token_major, page_layout::head_major, seed};
}

}  // namespace skv::simt
