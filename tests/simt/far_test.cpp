// Strides, offsets, sums and indices beyond 2^32: blocks, tokens, heads and tensors that lie further apart,
// in either direction, and arrays of more elements than their first 4 GiB hold.
#include <gtest/gtest.h>

#include "simt/device_pool.hpp"
#include "simt/far_memory.hpp"
#include "simt/far_scene.hpp"

namespace skv::simt {
namespace {

class far : public testing::TestWithParam<far_strides> {};
INSTANTIATE_TEST_SUITE_P(apart, far, testing::ValuesIn(far_cases()),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(far, blocks_are_the_cpu_codecs_and_come_back) {
  const cuda::block_geometry groups = geometry_of({"", 5, {k(3, 128), v(3, 128)}, 3, 3, 3});
  std::uint64_t seed = 1;
  for (const coding_id id : kSomeCodings)
    for (const page_layout mean_layout : {page_layout::token_major, page_layout::head_major}) {
      SCOPED_TRACE(name_of(id) + ", means " + to_string(mean_layout));
      const cuda::block_geometry& g = seed % 2 == 0 ? groups : small_geometry();
      far_scene f(make_scene(id, g, 3, seed), mean_layout, GetParam(), seed);
      if (GetParam().head == kThird && seed % 2 == 0) {
        ASSERT_EQ(f.d.heads, cuda::head_layout::one_group);
      }
      const far_memory::image raw = f.numbers.content(), means = f.means.content();
      report r = f.d.encode(output::slots, f.d.slot_bytes, {seed});
      ASSERT_TRUE(r) << r.message;
      expect_cpu_bytes(f.d, output::slots, f.d.slot_bytes);
      ASSERT_EQ(f.numbers.content(), raw);
      f.numbers.fill();
      r = f.d.decode(output::slots, f.d.slot_bytes, {seed});
      ASSERT_TRUE(r) << r.message;
      for (const status s : f.d.decoded.span()) ASSERT_EQ(s, status::ok);
      ASSERT_EQ(f.numbers.content(), f.numbers.only_content());
      ASSERT_EQ(f.means.content(), means);
      ++seed;
      if (HasFatalFailure()) return;
    }
}

// Where a block is contiguous.
TEST_P(far, blocks_are_coded_in_place) {
  if (!GetParam().blocks_are_contiguous()) GTEST_SKIP() << "blocks are in pieces";
  std::uint64_t seed = 21;
  for (const coding_id id : kSomeCodings) {
    SCOPED_TRACE(name_of(id));
    far_scene f(make_scene(id, small_geometry(), 3, seed), page_layout::token_major, GetParam(),
                seed);
    device_scene& d = f.d;
    const std::size_t room = d.ample_room(output::in_place);
    far_memory::image expected = f.numbers.content();
    ASSERT_TRUE(d.encode(output::in_place, room, {seed}));
    d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      const cpu_block block(d, layer, item);
      const bool fits = block.bytes.size() <= room;
      ASSERT_EQ(d.statuses[i], fits ? status::ok : status::does_not_fit);
      ASSERT_EQ(d.sizes[i], fits ? block.bytes.size() : 0);
      if (fits) f.numbers.copy_into(expected, d.block(layer, item), block.bytes);
    });
    ASSERT_EQ(f.numbers.content(), expected);
    ASSERT_TRUE(d.decode(output::in_place, room, {seed}));
    for (const status s : d.decoded.span()) ASSERT_EQ(s, status::ok);
    f.numbers.write_to(expected);
    ASSERT_EQ(f.numbers.content(), expected);
    ++seed;
    if (HasFatalFailure()) return;
  }
}

TEST(far_slots, hold_compressed_blocks) {
  for (const std::int64_t stride : {kFar, -kFar, kHalf})
    for (const coding_id id : kSomeCodings) {
      SCOPED_TRACE(name_of(id) + ", " + std::to_string(stride));
      device_scene d = scene_of(id, 3, 5);
      far_memory memory;
      cuda::block_places slots{memory.middle(), 8 * stride, stride};
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
        memory.open(slots.at(layer, item), d.slot_bytes);
      });
      far_memory::image expected = memory.content();
      const auto encode = [&](coding_id c, cuda::head_layout heads, cuda::encode_parameters p,
                              launch_shape s) {
        p.out.slots = slots;
        return run_encode(c, heads, p, s);
      };
      ASSERT_TRUE(d.encode_by(encode, output::slots, d.slot_bytes, {3}));
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
        const cpu_block block(d, layer, item);
        ASSERT_EQ(d.statuses[i], status::ok);
        memory.copy_into(expected, slots.at(layer, item), block.bytes);
      });
      ASSERT_EQ(memory.content(), expected);
      d.spoil();
      const auto decode = [&](coding_id c, cuda::head_layout heads, cuda::decode_parameters p,
                              launch_shape s) {
        p.in.slots = slots;
        return run_decode(c, heads, p, s);
      };
      ASSERT_TRUE(d.decode_by(decode, output::slots, d.slot_bytes, {3}));
      expect_restored(d, output::slots, d.slot_bytes);
      if (testing::Test::HasFatalFailure()) return;
    }
}

/// The first round of a batch counts as done, and as if its blocks had taken so much room.
struct begun {
  std::uint64_t bytes;

  template <class Parameters>
  void operator()(const Parameters& p) const {
    p.counter->next = 1;
    p.descriptors[0] = bytes / cuda::kBlockAlign << 2 | cuda::look_back::kUpTo;
  }
};
constexpr std::uint64_t kBegun[] = {(std::uint64_t{1} << 32) - 16, std::uint64_t{1} << 32,
                                    (std::uint64_t{5} << 36) + 48};

/// What the rounds after the first one must have packed, by encoding or by compacting.
void expect_packed_after(std::uint64_t begin, const device_scene& d, std::uint32_t round_blocks,
                         const far_memory& memory) {
  far_memory::image expected = memory.content();
  const far_memory::image actual = expected;
  for (auto& [at, bytes] : expected) std::ranges::fill(bytes, far_memory::kUnwritten);
  std::uint64_t at = begin;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
    if (i < round_blocks) return;
    const cpu_block block(d, layer, item);
    ASSERT_EQ(d.statuses[i], status::ok);
    ASSERT_EQ(d.offsets[i], at);
    ASSERT_EQ(d.sizes[i], block.bytes.size());
    memory.copy_into(expected, memory.middle() + at, block.bytes);
    at += cuda::round_up<std::uint64_t>(block.bytes.size(), cuda::kBlockAlign);
  });
  ASSERT_EQ(d.total[0], at);
  ASSERT_EQ(actual, expected);
}

TEST(far_packed, blocks_follow_more_than_2_to_the_32_bytes) {
  for (const std::uint64_t begin : kBegun)
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      SCOPED_TRACE(std::to_string(begin) + ", " + std::to_string(seed));
      device_scene d = scene_of(kSomeCodings[seed - 1], seed, 5);
      far_memory memory;
      const std::size_t room = d.ample_room(output::packed);
      memory.open(memory.middle() + begin, room);
      std::uint32_t round_blocks = 0;
      const auto encode = [&](coding_id c, cuda::head_layout heads, cuda::encode_parameters p,
                              launch_shape s) {
        p.out.packed = memory.middle();
        p.out.packed_bytes = begin + room;
        round_blocks = p.round_blocks;
        begun{begin}(p);
        return run_encode(c, heads, p, s);
      };
      const report r = d.encode_by(encode, output::packed, room, {seed, 5, 2});
      ASSERT_TRUE(r) << r.message;
      ASSERT_LT(round_blocks, d.count());
      expect_packed_after(begin, d, round_blocks, memory);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(far_packed, blocks_are_compacted_behind_2_to_the_32_bytes_and_come_back) {
  for (const std::uint64_t begin : kBegun)
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      SCOPED_TRACE(std::to_string(begin) + ", " + std::to_string(seed));
      device_scene d = scene_of(kSomeCodings[seed - 1], seed, 5);
      ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {seed}));
      far_memory memory;
      const std::size_t room = d.slot_bytes * d.count();
      // The first round, which is not run, finds its blocks where it should have put them.
      const auto sizes = std::vector(d.sizes.begin(), d.sizes.end());
      cuda::encoded_places out = d.places(output::slots, d.slot_bytes);
      out.packed = memory.middle();
      out.packed_bytes = begin + room;
      out.offsets = d.offsets.data();
      out.total_bytes = d.total.data();
      memory.open(out.packed + begin, room);
      const auto s = cuda::make_schedule(d.plan, d.scene.items, 5, 2, false);
      const buffer<std::uint64_t> work("compact workspace", s.workspace_bytes / 8);
      work.fill(0);
      const cuda::compact_parameters p{d.plan,
                                       d.batch(),
                                       d.stored(output::slots, d.slot_bytes),
                                       out,
                                       reinterpret_cast<cuda::round_counter*>(work.data()),
                                       work.data() + s.descriptors / 8,
                                       s.round_blocks};
      begun{begin}(p);
      const report r = run_kernel<cuda::compact_kernel>(
          p, launch_shape{s.grid_blocks, 5 * kLanes, 0, seed}, s.round_blocks);
      ASSERT_TRUE(r) << r.message;
      expect_packed_after(begin, d, s.round_blocks, memory);
      if (testing::Test::HasFatalFailure()) return;

      std::uint64_t at = 0;
      for (std::size_t i = 0; i < s.round_blocks; ++i) {
        d.offsets[i] = at;
        memory.open(out.packed + at, sizes[i]);
        const std::byte* const from =
            d.places(output::slots, d.slot_bytes).slots.at(0, static_cast<std::uint32_t>(i));
        std::copy_n(from, sizes[i], out.packed + at);
        at += cuda::round_up<std::uint64_t>(sizes[i], cuda::kBlockAlign);
      }
      d.spoil();
      const auto decode = [&](coding_id c, cuda::head_layout heads, cuda::decode_parameters to,
                              launch_shape shape) {
        to.in = as_stored(out);
        return run_decode(c, heads, to, shape);
      };
      ASSERT_TRUE(d.decode_by(decode, output::packed, 0, {seed}));
      expect_restored(d, output::packed, 0);
      if (testing::Test::HasFatalFailure()) return;
    }
}

// As for a graph of the largest batch that there can be: the second layer's records begin 12 GiB after the
// first one's.
TEST(far_arrays, have_room_for_the_largest_batch) {
  for (const coding_id id : kSomeCodings) {
    SCOPED_TRACE(name_of(id));
    device_scene d = scene_of(id, 3, 5);
    constexpr std::uint32_t kMostItems = 0x3fffffff;
    const std::uint32_t items = d.scene.items, tiles = d.plan.tiles;
    std::vector<std::size_t> blocks, block_tiles;
    for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
      for (std::uint32_t item = 0; item < items; ++item) {
        blocks.push_back(std::size_t{layer} * kMostItems + item);
        for (std::size_t t = 0; t < tiles; ++t) block_tiles.push_back(blocks.back() * tiles + t);
      }
    far_memory record_memory, memory;
    constexpr std::int64_t kApart = std::int64_t{1} << 40;
    auto* const records = record_memory.array<tile_record>(0, block_tiles);
    auto* const sizes = memory.array<std::uint32_t>(0, blocks);
    auto* const offsets = memory.array<std::uint64_t>(kApart, blocks);
    auto* const statuses = memory.array<status>(2 * kApart, blocks);
    auto* const decoded = memory.array<status>(3 * kApart, blocks);
    cuda::encoded_places out;
    const auto encode = [&](coding_id c, cuda::head_layout heads, cuda::encode_parameters p,
                            launch_shape s) {
      p.batch.items = kMostItems;
      p.out.records = records;
      p.out.sizes = sizes;
      p.out.offsets = offsets;
      p.out.statuses = statuses;
      out = p.out;
      return run_encode(c, heads, p, s);
    };
    report r = d.encode_by(encode, output::packed, d.ample_room(output::packed), {3});
    ASSERT_TRUE(r) << r.message;
    const auto decode = [&](coding_id c, cuda::head_layout heads, cuda::decode_parameters p,
                            launch_shape s) {
      p.batch.items = kMostItems;
      p.in = as_stored(out);
      p.statuses = decoded;
      return run_decode(c, heads, p, s);
    };
    // To where the arrays of a batch of these items are.
    const auto gather = [&] {
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        std::copy_n(records + blocks[i] * tiles, tiles, d.records.data() + i * tiles);
        d.sizes[i] = sizes[blocks[i]];
        d.offsets[i] = offsets[blocks[i]];
        d.statuses[i] = statuses[blocks[i]];
        d.decoded[i] = decoded[blocks[i]];
      }
    };
    gather();
    expect_cpu_bytes(d, output::packed, d.ample_room(output::packed));
    if (testing::Test::HasFatalFailure()) return;
    d.spoil();
    r = d.decode_by(decode, output::packed, 0, {4});
    ASSERT_TRUE(r) << r.message;
    gather();
    expect_restored(d, output::packed, 0);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::simt
