// The kernels, under random schedules: their bytes are the CPU codec's, and every number comes back.
#include <gtest/gtest.h>

#include <kernels/schedule.hpp>

#include "simt/kernels.hpp"
#include "support/paged_scene.hpp"

namespace skv::simt {
namespace {

using namespace test;

enum class output { slots, in_place, packed };

struct alignas(16) line {
  std::byte bytes[16];
};

// A batch on the stand-in for a device.
struct device_scene {
  paged_scene scene;
  cuda::plan_arrays arrays;
  cuda::block_plan plan;
  std::uint32_t blocks;  ///< of the cache, in every layer
  laid_out numbers_at, means_at;
  buffer<line> cache, mean_cache;
  buffer<std::int32_t> indices;
  buffer<std::uint32_t> token_counts;
  buffer<std::uint32_t> channel_starts;
  buffer<channel<std::uint32_t>> channels;
  buffer<std::uint32_t> encode_table, decode_table;
  buffer<tile_record> records;
  buffer<std::uint32_t> sizes;
  buffer<status> statuses, decoded;
  buffer<std::uint64_t> offsets, total;
  std::size_t slot_bytes;
  buffer<line> slots;
  bool one_row;

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
        token_counts("token counts", scene.token_counts),
        channel_starts("channel starts", arrays.channel_starts),
        channels("channels", arrays.channels),
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
        slots("slots", slot_bytes / 16 * count()) {
    plan.channel_starts_dev = channel_starts.data();
    plan.channels_dev = channels.data();
    numbers_at.cache.blocks.base = bytes_of(cache);
    means_at.cache.blocks.base = bytes_of(mean_cache);
    random_source random(seed);
    std::vector<std::int32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
    std::copy_n(order.begin(), scene.items, indices.data());
    numbers_at.cache.blocks.indices_dev = means_at.cache.blocks.indices_dev = indices.data();
    one_row = true;
    for (std::uint32_t i = 0; i < scene.geometry.tensor_count; ++i) {
      const auto& t = scene.geometry.tensors[i];
      if (t.opaque_bytes != 0) continue;
      one_row &= numbers_at.cache.tensors[i].head_stride_bytes ==
                 std::int64_t{t.head_dim} * scene.target().bytes();
      one_row &= means_at.cache.tensors[i].head_stride_bytes ==
                 std::int64_t{t.head_dim} * scene.mean().bytes();
    }
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      scene.scatter(scene.numbers, numbers_at.cache, layer, item, block(layer, item),
                    scene.target());
      scene.scatter(scene.means, means_at.cache, layer, item, means_at.cache.blocks.at(layer, item),
                    scene.mean());
    });
  }

  static std::byte* bytes_of(const buffer<line>& b) {
    return reinterpret_cast<std::byte*>(b.data());
  }
  std::byte* block(std::uint32_t layer, std::uint32_t item) const {
    return numbers_at.cache.blocks.at(layer, item);
  }
  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < scene.items; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }

  cuda::block_batch batch() const { return {scene.items, nullptr, token_counts.data()}; }
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
    }
    return out;
  }

  report encode(output how, std::size_t room, std::uint64_t seed, std::uint32_t warps = 3,
                std::uint32_t grid = 2) const {
    const auto s = cuda::make_schedule(plan, scene.items, warps, grid, true);
    const buffer<std::uint64_t> work("encode workspace", s.workspace_bytes / 8);
    std::fill_n(work.data(), s.stages / 8, 0);
    auto* const start = reinterpret_cast<std::byte*>(work.data());
    const cuda::encode_parameters p{plan,
                                    batch(),
                                    numbers_at.cache,
                                    means_at.cache,
                                    places(how, room),
                                    encode_table.data(),
                                    reinterpret_cast<cuda::round_counter*>(start),
                                    work.data() + s.descriptors / 8,
                                    start + s.stages,
                                    s.round_blocks};
    return run_encode(scene.id, one_row, p, {s.grid_blocks, warps * kLanes, 0, seed});
  }

  cuda::stored_places stored(output how, std::size_t room) const {
    const cuda::encoded_places o = places(how, room);
    return {o.slots,   o.slot_bytes, o.packed, o.packed_bytes,
            o.offsets, o.records,    o.sizes,  o.statuses};
  }
  report decode(output how, std::size_t room, std::uint64_t seed,
                const cuda::wanted_range& wanted = {}, std::uint32_t warps = 2,
                std::uint32_t grid = 2) const {
    const bool in_place = how == output::in_place;
    const auto s = cuda::make_schedule(plan, scene.items, warps, grid, in_place);
    const buffer<std::uint64_t> work("decode workspace", s.workspace_bytes / 8);
    std::fill_n(work.data(), s.stages / 8, 0);
    auto* const start = reinterpret_cast<std::byte*>(work.data());
    const cuda::decode_parameters p{plan,
                                    batch(),
                                    numbers_at.cache,
                                    means_at.cache,
                                    stored(how, room),
                                    wanted,
                                    decoded.data(),
                                    decode_table.data(),
                                    reinterpret_cast<cuda::round_counter*>(start),
                                    in_place ? start + s.stages : nullptr,
                                    s.round_blocks};
    return run_decode(scene.id, one_row, p, {s.grid_blocks, warps * kLanes, 0, seed});
  }

  void spoil() const { std::fill_n(bytes_of(cache), numbers_at.bytes, std::byte{0x5a}); }

  // Every block's records and bytes are those of the CPU codec.
  void expect_cpu_bytes(output how, std::size_t room) const {
    std::vector<std::byte> tile, expected;
    std::uint64_t packed_at = 0;
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      SCOPED_TRACE("layer " + std::to_string(layer) + ", item " + std::to_string(item));
      expected.clear();
      for (std::uint32_t i = 0; i < plan.tiles; ++i) {
        const tile_record r = scene.encoded(plan, layer, item, i, tile);
        ASSERT_EQ(records[index * plan.tiles + i], r) << "tile " << i;
        expected.insert(expected.end(), tile.begin(), tile.end());
        expected.resize(cuda::round_up<std::size_t>(expected.size(), cuda::kTileAlign));
      }
      const bool fits =
          how == output::packed ? packed_at + expected.size() <= room : expected.size() <= room;
      ASSERT_EQ(statuses[index], fits ? status::ok : status::does_not_fit);
      ASSERT_EQ(sizes[index], fits ? expected.size() : 0);
      const cuda::encoded_places o = places(how, room);
      if (how == output::packed) {
        ASSERT_EQ(offsets[index], packed_at);
      }
      if (fits) {
        const std::byte* const at =
            how == output::packed ? o.packed + packed_at : o.slots.at(layer, item);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), at));
      } else if (how == output::in_place) {
        ASSERT_TRUE(scene.equal(scene.numbers, numbers_at.cache, layer, item, block(layer, item),
                                scene.target()));
      }
      packed_at += cuda::round_up<std::uint64_t>(expected.size(), cuda::kBlockAlign);
    });
    if (how == output::packed) {
      ASSERT_EQ(total[0], packed_at);
    }
  }
  void expect_restored(output how) const {
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      const bool raw = statuses[index] != status::ok;
      ASSERT_EQ(decoded[index], raw && how != output::in_place ? status::does_not_fit : status::ok);
      if (raw && how != output::in_place) return;
      ASSERT_TRUE(scene.equal(scene.numbers, numbers_at.cache, layer, item, block(layer, item),
                              scene.target()));
    });
  }
};

paged_scene make_scene(coding_id id, cuda::block_geometry g, std::uint32_t items,
                       std::uint64_t seed) {
  paged_scene s{id, g, items, {}, default_profile_of(id), {}, {}};
  random_source random(seed);
  for (std::uint32_t i = 0; i < items; ++i)
    s.token_counts.push_back(random.chance(0.6) ? g.tokens : random.below(g.tokens + 1));
  s.fill(seed);
  return s;
}

cuda::block_geometry small_geometry() {
  cuda::block_geometry g;
  g.layers = 2;
  g.tokens = 8;
  g.tensors[0] = {tensor_kind::k, 3, 40, 0};
  g.tensors[1] = {tensor_kind::v, 3, 40, 0};
  g.tensor_count = 2;
  g.tile_heads = 2;
  g.tile_tokens = 5;
  return g;
}

class kernels : public testing::TestWithParam<coding_id> {};
INSTANTIATE_TEST_SUITE_P(codings, kernels, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(kernels, write_the_cpu_codecs_bytes_and_restore_every_bit) {
  std::uint64_t seed = 1;
  for (const page_layout layout : kPageLayouts)
    for (const output how : {output::slots, output::in_place, output::packed}) {
      if (how == output::in_place && layout == page_layout::two_planes) continue;
      SCOPED_TRACE("layout " + std::to_string(static_cast<int>(layout)) + ", output " +
                   std::to_string(static_cast<int>(how)));
      ++seed;
      const page_layout mean_layout = kPageLayouts[seed % 4];
      const device_scene d(make_scene(GetParam(), small_geometry(), 3, seed), layout, mean_layout,
                           seed);
      const std::size_t room = how == output::in_place ? d.numbers_at.block_bytes
                               : how == output::packed ? d.slots.size() * 16
                                                       : d.slot_bytes;
      const auto encoded = d.encode(how, room, seed);
      ASSERT_EQ(encoded.what, outcome::ok) << encoded.message;
      d.expect_cpu_bytes(how, room);
      if (HasFatalFailure()) return;
      if (how != output::in_place) d.spoil();
      const auto decoded = d.decode(how, room, seed);
      ASSERT_EQ(decoded.what, outcome::ok) << decoded.message;
      d.expect_restored(how);
      if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace skv::simt
