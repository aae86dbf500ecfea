// Packing blocks that were encoded in slots or in place: the same bytes as packed encoding.
#include <gtest/gtest.h>

#include <set>

#include "simt/expectations.hpp"
#include "support/effort.hpp"

namespace skv::simt {
namespace {

/// What compacting leaves.
struct packed_blocks {
  buffer<line> bytes;
  std::size_t room;
  buffer<std::uint64_t> offsets, total;
  buffer<std::uint32_t> sizes;
  buffer<status> statuses;
  memory_image before;

  packed_blocks(const device_scene& d, std::size_t room_bytes)
      : bytes("packed", (room_bytes + 15) / 16),
        room(room_bytes),
        offsets("packed offsets", d.count()),
        total("packed total", 1),
        sizes("packed sizes", d.count()),
        statuses("packed statuses", d.count()),
        before(d.image_of(bytes)) {}

  cuda::encoded_places places(const device_scene& d) const {
    cuda::encoded_places out;
    out.packed = device_scene::bytes_of(bytes);
    out.packed_bytes = room;
    out.records = d.records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    out.offsets = offsets.data();
    out.total_bytes = total.data();
    return out;
  }
};

report compact(device_scene& d, const cuda::stored_places& in, const cuda::encoded_places& out,
               const grid& g) {
  d.remember();
  const auto s = cuda::make_schedule(d.plan, d.scene.items, g.warps, g.blocks, false);
  const buffer<std::uint64_t> work("compact workspace", s.workspace_bytes / 8);
  std::fill_n(work.data(), s.stages / 8, 0);
  return run_kernel<cuda::compact_kernel>(
      cuda::compact_parameters{d.plan, d.batch(), in, out,
                               reinterpret_cast<cuda::round_counter*>(work.data()),
                               work.data() + s.descriptors / 8, s.round_blocks},
      launch_shape{s.grid_blocks, g.warps * kLanes, 0, g.seed}, s.round_blocks);
}

/// The packed buffer is what the arrays of `in` demand, in their order, and nothing else is written.
void expect_packed(const device_scene& d, const cuda::stored_places& in, const packed_blocks& p) {
  memory_image expected = p.before;
  std::uint64_t at = 0;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    SCOPED_TRACE("layer " + std::to_string(layer) + ", item " + std::to_string(item));
    const std::uint32_t size = in.sizes[index];
    ASSERT_EQ(p.offsets[index], at);
    if (in.statuses[index] != status::ok) {
      ASSERT_EQ(p.statuses[index], in.statuses[index]);
      ASSERT_EQ(p.sizes[index], 0u);
      return;
    }
    if (p.statuses[index] == status::corrupt) {
      const bool no_slot = !in.slots.exists(layer, item) && size != 0;
      ASSERT_TRUE(size % 4 != 0 || size > in.slot_bytes || no_slot);
      ASSERT_EQ(p.sizes[index], 0u);
      return;
    }
    const bool fits = size == 0 || at + size <= p.room;
    ASSERT_EQ(p.statuses[index], fits ? status::ok : status::does_not_fit);
    ASSERT_EQ(p.sizes[index], fits ? size : 0);
    if (fits && size != 0)
      std::copy_n(in.slots.at(layer, item), size,
                  expected.begin() + static_cast<std::ptrdiff_t>(at));
    at += cuda::round_up<std::uint64_t>(size, cuda::kBlockAlign);
  });
  ASSERT_EQ(p.total[0], at);
  ASSERT_TRUE(same_memory("packed", expected, d.image_of(p.bytes)));
  ASSERT_TRUE(same_memory("cache", d.cache_before, d.image_of(d.cache)));
  ASSERT_TRUE(same_memory("slots", d.slots_before, d.image_of(d.slots)));
}

TEST(compact, of_slots_is_packed_encoding) {
  for (const coding_id id : kFewCodings)
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
      SCOPED_TRACE(name_of(id) + ", seed " + std::to_string(seed));
      device_scene packed = scene_of(id, seed, 5), d = scene_of(id, seed, 5);
      const std::size_t room = packed.ample_room(output::packed);
      ASSERT_TRUE(packed.encode(output::packed, room, {seed}));
      ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {seed + 1}));
      const packed_blocks p(d, packed.total[0]);
      const report r = compact(d, d.stored(output::slots, d.slot_bytes), p.places(d),
                               {seed, seed % 3 == 0 ? 1u : 7u, 3});
      ASSERT_TRUE(r) << r.message;
      EXPECT_EQ(p.total[0], packed.total[0]);
      EXPECT_TRUE(std::ranges::equal(p.offsets.span(), packed.offsets.span()));
      EXPECT_TRUE(std::ranges::equal(p.sizes.span(), packed.sizes.span()));
      EXPECT_TRUE(std::ranges::equal(p.statuses.span(), packed.statuses.span()));
      packed.each_block([&](std::uint32_t, std::uint32_t, std::size_t i) {
        EXPECT_TRUE(std::equal(device_scene::bytes_of(p.bytes) + p.offsets[i],
                               device_scene::bytes_of(p.bytes) + p.offsets[i] + p.sizes[i],
                               device_scene::bytes_of(packed.slots) + p.offsets[i]));
      });
      expect_packed(d, d.stored(output::slots, d.slot_bytes), p);
      if (testing::Test::HasFatalFailure()) return;
    }
}

// From in place to the buffer, the raw blocks overwritten, and back.
TEST(compact, of_blocks_in_place_restores_every_bit) {
  for (const coding_id id : kFewCodings)
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
      SCOPED_TRACE(name_of(id) + ", seed " + std::to_string(seed));
      device_scene d = scene_of(id, seed, 5);
      if (seed == 2) d.set_item_count(3);
      if (seed == 3) d.indices[1] = -1;
      const std::size_t room = d.ample_room(output::in_place);
      ASSERT_TRUE(d.encode(output::in_place, room, {seed}));
      const packed_blocks p(d, d.slots.size() * sizeof(line));
      report r = compact(d, d.stored(output::in_place, room), p.places(d), {seed, 8});
      ASSERT_TRUE(r) << r.message;
      expect_packed(d, d.stored(output::in_place, room), p);
      if (testing::Test::HasFatalFailure()) return;
      d.spoil();
      const auto from_packed = [&](coding_id c, cuda::head_layout heads, cuda::decode_parameters to,
                                   launch_shape shape) {
        to.in = as_stored(p.places(d));
        return run_decode(c, heads, to, shape);
      };
      r = d.decode_by(from_packed, output::packed, 0, {seed});
      ASSERT_TRUE(r) << r.message;
      expect_restored(d, output::packed, 0);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(compact, into_a_buffer_that_ends_anywhere) {
  device_scene d = scene_of(kGiven, 6, 3);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {6}));
  std::set<std::size_t> rooms{0, 1, 15, 16};
  std::size_t at = 0;
  d.each_block([&](std::uint32_t, std::uint32_t, std::size_t i) {
    if (d.sizes[i] == 0) return;
    rooms.insert({at + 4, at + d.sizes[i] - 1, at + d.sizes[i], at + d.sizes[i] + 1});
    at = cuda::round_up<std::size_t>(at + d.sizes[i], cuda::kBlockAlign);
  });
  for (const std::size_t room : rooms) {
    SCOPED_TRACE("room " + std::to_string(room));
    const packed_blocks p(d, room);
    const report r = compact(d, d.stored(output::slots, d.slot_bytes), p.places(d), {room, 5});
    ASSERT_TRUE(r) << r.message;
    expect_packed(d, d.stored(output::slots, d.slot_bytes), p);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(compact, of_nothing_has_no_bytes) {
  device_scene d = scene_of(kGiven, 7, 5);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {7}));
  d.set_item_count(0);
  const packed_blocks p(d, 64);
  ASSERT_TRUE(compact(d, d.stored(output::slots, d.slot_bytes), p.places(d), {7}));
  expect_packed(d, d.stored(output::slots, d.slot_bytes), p);
}

TEST(compact, survives_sizes_offsets_and_statuses_that_lie) {
  random_source random(8);
  device_scene d = scene_of(kGiven, 8, 5);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {8}));
  const std::vector<std::uint32_t> sizes(d.sizes.begin(), d.sizes.end());
  const std::vector<status> statuses(d.statuses.begin(), d.statuses.end());
  for (int i = 0; i < (kSlowBuild ? 5 : 40); ++i) {
    SCOPED_TRACE(i);
    std::copy(sizes.begin(), sizes.end(), d.sizes.begin());
    std::copy(statuses.begin(), statuses.end(), d.statuses.begin());
    d.slot_indices[2] = i % 3 == 0 ? -1 : 2;
    for (std::uint32_t& size : d.sizes.span())
      if (random.chance(0.4)) size = random.edgy();
    for (status& s : d.statuses.span())
      if (random.chance(0.2)) s = static_cast<status>(random.below(9));
    const packed_blocks p(d, random.below(30) * 100);
    const report r =
        compact(d, d.stored(output::slots, d.slot_bytes), p.places(d), {random.next(), 7});
    ASSERT_TRUE(r) << r.message;
    expect_packed(d, d.stored(output::slots, d.slot_bytes), p);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Where it need not be known what found no room, one set of arrays does.
TEST(compact, may_write_its_arrays_over_those_it_reads) {
  device_scene d = scene_of(kGiven, 9, 5);
  ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {9}));
  packed_blocks two(d, 3000);
  ASSERT_TRUE(compact(d, d.stored(output::slots, d.slot_bytes), two.places(d), {9}));
  const packed_blocks one(d, 3000);
  cuda::encoded_places out = one.places(d);
  out.sizes = d.sizes.data();
  out.statuses = d.statuses.data();
  ASSERT_TRUE(compact(d, d.stored(output::slots, d.slot_bytes), out, {10}));
  EXPECT_TRUE(std::ranges::equal(two.sizes.span(), d.sizes.span()));
  EXPECT_TRUE(std::ranges::equal(two.statuses.span(), d.statuses.span()));
  EXPECT_TRUE(std::ranges::equal(two.offsets.span(), one.offsets.span()));
}

}  // namespace
}  // namespace skv::simt
