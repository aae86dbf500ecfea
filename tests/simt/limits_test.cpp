// Room that does not suffice, and places that are not there.
#include <gtest/gtest.h>

#include <set>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

device_scene small_scene(coding_id id, std::uint64_t seed, bool whole_blocks = false) {
  paged_scene s = make_scene(id, small_geometry(), 3, seed);
  if (whole_blocks) s.token_counts.assign(s.items, s.geometry.tokens);
  return {std::move(s), page_layout::token_major, page_layout::head_major, seed};
}

// Capacities of 0, of every block's size, and of a byte or a word less or more.
std::set<std::size_t> telling_capacities(const device_scene& d) {
  std::set<std::size_t> all{0, 1, 3, 4};
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
    const std::size_t size = cpu_block(d, layer, item).bytes.size();
    for (const int more : {-4, -1, 0, 1})
      if (size > 4) all.insert(size + static_cast<std::size_t>(more));
  });
  return all;
}

// expect_round_trip looks at all of the memory: where a block does not fit nothing is written, and
// in place the raw block is whole.
TEST(slots, take_blocks_that_fit_and_nothing_of_others) {
  for (const coding_id id : kFewCodings)
    for (const output how : {output::slots, output::in_place}) {
      std::uint64_t seed = 5;
      for (const std::size_t capacity : telling_capacities(small_scene(id, 5))) {
        SCOPED_TRACE(name_of(id) + ", " + to_string(how) + ", " + std::to_string(capacity));
        device_scene d = small_scene(id, 5);
        if (how == output::in_place && capacity > d.numbers_at.block_bytes) continue;
        expect_round_trip(d, how, capacity, {++seed});
        if (testing::Test::HasFatalFailure()) return;
      }
    }
}

TEST(packed_room, may_end_anywhere) {
  for (const coding_id id : kFewCodings) {
    std::set<std::size_t> rooms{0, 1, 15, 16};
    std::size_t at = 0;
    {
      const device_scene d = small_scene(id, 6);
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
        const std::size_t size = cpu_block(d, layer, item).bytes.size();
        rooms.insert({at + 4, at + size, at + size + 1});
        if (size != 0) rooms.insert(at + size - 1);
        at = cuda::round_up<std::size_t>(at + size, cuda::kBlockAlign);
      });
    }
    for (const std::size_t room : rooms) {
      SCOPED_TRACE(name_of(id) + ", " + std::to_string(room));
      device_scene d = small_scene(id, 6);
      expect_round_trip(d, output::packed, room, {room});
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// The red zone begins where the last slot ends.
TEST(slots, at_the_end_of_memory_are_not_left) {
  for (std::uint64_t seed = 1; seed < 10; ++seed) {
    device_scene d = small_scene(kFewCodings[seed % 3], seed);
    d.set_item_count(1);
    d.plan.layers = 1;
    const std::size_t size = cpu_block(d, 0, 0).bytes.size();
    const buffer<std::byte> slot("exact slot", size);
    const auto run = [&](coding_id id, cuda::head_layout heads, cuda::encode_parameters p,
                         launch_shape s) {
      p.out.slots = {slot.data(), 0, 0, nullptr, nullptr};
      p.out.slot_bytes = static_cast<std::uint32_t>(size);
      return run_encode(id, heads, p, s);
    };
    const report r = d.encode_by(run, output::slots, size, {seed});
    ASSERT_TRUE(r) << r.message;
    ASSERT_EQ(d.statuses[0], status::ok);
    const cpu_block expected(d, 0, 0);
    ASSERT_TRUE(std::equal(slot.begin(), slot.end(), expected.bytes.begin()));
  }
}

TEST(slots, that_do_not_exist_hold_nothing) {
  for (const coding_id id : kFewCodings) {
    device_scene d = small_scene(id, 7, true);
    d.slot_indices[1] = -1;
    expect_round_trip(d, output::slots, d.slot_bytes, {7});
    if (testing::Test::HasFatalFailure()) return;
    // As if they had held something.
    for (const std::size_t index : {1u, 4u}) {
      d.statuses[index] = status::ok;
      for (const std::uint32_t size : {0u, 4u, 400u}) {
        d.sizes[index] = size;
        const report r = d.decode(output::slots, d.slot_bytes, {7});
        ASSERT_TRUE(r) << r.message;
        EXPECT_NE(d.decoded[index], status::ok);
      }
    }
  }
}

TEST(skipped_items, have_no_bytes_whatever_their_size_is_said_to_be) {
  for (const output how : kOutputs) {
    SCOPED_TRACE(to_string(how));
    device_scene d = small_scene(kGiven, 8);
    d.indices[1] = -1;
    const std::size_t room = d.ample_room(how);
    ASSERT_TRUE(d.encode(how, room, {8}));
    d.sizes[1] = d.sizes[4] = 256;
    const report r = d.decode(how, room, {8});
    ASSERT_TRUE(r) << r.message;
    EXPECT_EQ(d.decoded[1], status::ok);
    EXPECT_EQ(d.decoded[4], status::ok);
    expect_restored(d, how, room);
  }
}

// Other pages of the reference than of the cache; one of them is missing.
TEST(means, that_do_not_exist_leave_blocks_raw) {
  for (const output how : kOutputs) {
    SCOPED_TRACE(to_string(how));
    device_scene d = small_scene(kGiven, 9, true);
    const buffer<std::int32_t> mean_indices("indices of means", d.indices.span());
    d.means_at.cache.blocks.indices_dev = mean_indices.data();
    const std::size_t room = d.ample_room(how);
    mean_indices[1] = -1;
    ASSERT_TRUE(d.encode(how, room, {9}));
    for (const std::size_t index : {1u, 4u}) {
      EXPECT_EQ(d.statuses[index], status::does_not_fit);
      EXPECT_EQ(d.sizes[index], 0u);
    }
    for (const std::size_t index : {0u, 2u, 3u, 5u}) EXPECT_EQ(d.statuses[index], status::ok);
    if (how != output::in_place) d.spoil();
    // Now another one is missing.
    mean_indices[1] = d.indices[1];
    mean_indices[2] = -1;
    ASSERT_TRUE(d.decode(how, room, {9}));
    EXPECT_EQ(d.decoded[0], status::ok);
    EXPECT_EQ(d.decoded[2], status::wrong_prediction);
    EXPECT_EQ(d.decoded[5], status::wrong_prediction);
    expect_only_numbers_written(d, how, room,
                                [&](std::size_t i) { return d.statuses[i] != status::ok; });
  }
}

TEST(plan, refuses_blocks_that_sizes_cannot_tell) {
  cuda::plan_arrays arrays;
  const profile_ptr p = default_profile_of(kGiven);
  cuda::block_geometry g = small_geometry();
  g.tensors[2] = {tensor_kind::k, 0, 0, 0xffffffff};
  g.tensor_count = 3;
  EXPECT_EQ(cuda::make_plan(*p, g, arrays).code(), status::invalid_argument);
  g.tile_tokens = g.tokens = 4;
  g.tensors[0] = g.tensors[1] = {tensor_kind::k, 8, 8192, 0};
  g.tile_heads = 8;
  EXPECT_EQ(cuda::make_plan(*p, g, arrays).code(), status::invalid_argument);
}

}  // namespace
}  // namespace skv::simt
