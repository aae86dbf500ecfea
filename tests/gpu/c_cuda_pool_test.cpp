// Compacting and the block pool through the C ABI: as the C++ calls do it, and every bit comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <skv/cuda/pool.hpp>

#include "gpu/c_cuda_pooled_scene.hpp"

namespace skv::gpu {
namespace {

class gpu_c_pool : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu_c_pool, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_c_pool, compacting_is_what_the_codec_does) {
  for (const output how : {output::slots, output::in_place}) {
    const gpu_scene g(random_scene(GetParam(), 31), page_layout::head_major,
                      page_layout::token_major);
    const c_scene c(g, how);
    const packed_arrays expected(g), actual(g);
    auto out = to_c(actual.places());
    ASSERT_EQ(c.encode(nullptr), SKV_OK) << skv_last_error();
    ASSERT_TRUE(g.coder.compact_async(g.batch(), as_stored(g.places(how)), expected.places(),
                                      g.room(), nullptr));
    ASSERT_EQ(skv_cuda_compact_async(c.codec.get(), &c.batch, &c.in, &out, g.work.data(),
                                     g.work.size(), nullptr, nullptr),
              SKV_OK)
        << skv_last_error();
    check(cudaDeviceSynchronize());
    ASSERT_EQ(actual.sizes.to_host(), expected.sizes.to_host());
    ASSERT_EQ(actual.statuses.to_host(), expected.statuses.to_host());
    ASSERT_EQ(actual.offsets.to_host(), expected.offsets.to_host());
    ASSERT_EQ(actual.total.to_host(), expected.total.to_host());
    ASSERT_EQ(actual.bytes.to_host(), expected.bytes.to_host());
    if (how == output::in_place) continue;

    // And back from there.
    g.cache.forget();
    g.slots.forget();
    out.records = c.out.records;
    const skv_cuda_stored_places in = as_stored(out);
    ASSERT_EQ(
        skv_cuda_decode_async(c.codec.get(), &c.batch, &in, &c.means, &c.numbers, 0, nullptr,
                              to_c(g.decoded), g.work.data(), g.work.size(), nullptr, nullptr),
        SKV_OK)
        << skv_last_error();
    check(cudaDeviceSynchronize());
    g.expect_restored(output::slots);
  }
}

TEST_P(gpu_c_pool, stores_loads_and_drops_as_the_pool_that_it_stands_for) {
  const pooled_scene s(GetParam(), 32, output::slots);
  const gpu_scene& g = s.g;
  const auto twin = cuda::pool::make(g.scene.used_profile, g.scene.geometry,
                                     {s.all_sectors(), 512, s.entry_count()});
  ASSERT_TRUE(twin);
  const cuda::pool_entries entries{pooled_scene::kFirst, g.scene.items, s.order_dev.data()};
  const device_array<status> moved(g.count());
  std::size_t memory = 0;
  ASSERT_EQ(skv_cuda_pool_memory_bytes(s.pool.get(), &memory), SKV_OK);
  ASSERT_EQ(memory, twin->memory_bytes());
  const auto expect_same = [&] {
    check(cudaDeviceSynchronize());
    ASSERT_EQ(s.moved.to_host(), moved.to_host());
    const auto counts = counts_of(s.pool);
    const auto expected = twin->read_counts(nullptr);
    ASSERT_TRUE(expected);
    ASSERT_EQ(counts.free_sectors, expected->free_sectors);
    ASSERT_EQ(counts.used_sectors, expected->used_sectors);
    ASSERT_EQ(counts.blocks, expected->blocks);
    ASSERT_EQ(counts.bytes, expected->bytes);
  };
  ASSERT_EQ(s.c.encode(nullptr), SKV_OK);
  for (int again = 0; again < 2; ++again) {  // then every entry holds a block
    ASSERT_EQ(s.store(nullptr), SKV_OK) << skv_last_error();
    ASSERT_TRUE(twin->store_async(g.batch(), entries, as_stored(g.places(output::slots)),
                                  moved.data(), nullptr));
    expect_same();
    s.expect_all(again ? status::invalid_argument : status::ok, moved);
  }
  const auto loaded = [&](const auto& load) {
    g.forget();
    load();
    check(cudaDeviceSynchronize());
    return std::tuple(g.slots.to_host(), g.records.to_host(), g.sizes.to_host(),
                      g.statuses.to_host());
  };
  const auto from_c = loaded([&] { ASSERT_EQ(s.load(nullptr), SKV_OK) << skv_last_error(); });
  ASSERT_EQ(from_c, loaded([&] {
              ASSERT_TRUE(twin->load_async(g.batch(), entries, g.places(output::slots), nullptr));
            }));
  for (int again = 0; again < 2; ++again) {  // then there is nothing
    ASSERT_EQ(s.drop(nullptr), SKV_OK) << skv_last_error();
    ASSERT_TRUE(twin->drop_async(g.batch(), entries, moved.data(), nullptr));
    expect_same();
    s.expect_all(again ? status::invalid_argument : status::ok, moved);
  }
}

TEST_P(gpu_c_pool, a_captured_graph_packs_stores_restores_and_drops_each_time) {
  const pooled_scene s(GetParam(), 33, output::slots);
  const packed_arrays packed(s.g);
  const skv_cuda_encoded_places out = to_c(packed.places());
  const captured_graph graph([&](cudaStream_t stream) {
    ASSERT_EQ(s.c.encode(stream), SKV_OK);
    ASSERT_EQ(skv_cuda_compact_async(s.c.codec.get(), &s.c.batch, &s.c.in, &out, s.g.work.data(),
                                     s.g.work.size(), nullptr, stream),
              SKV_OK);
    ASSERT_EQ(s.store(stream), SKV_OK);
    ASSERT_EQ(s.restore(stream), SKV_OK);
    ASSERT_EQ(s.drop(stream), SKV_OK);
    ASSERT_EQ(s.store(stream), SKV_OK);
    ASSERT_EQ(skv_cuda_pool_clear_async(s.pool.get(), stream), SKV_OK);
  });
  if (HasFatalFailure()) return;
  for (int replay = 0; replay < 3; ++replay) {
    s.g.forget();
    s.moved.forget();
    packed.total.forget();
    graph.replay();
    s.g.expect_restored(output::slots);
    s.expect_all(status::ok, s.moved);
    std::uint64_t total = 0;
    for (const std::uint32_t size : s.g.sizes.to_host()) total += (size + 15) / 16 * 16;
    ASSERT_EQ(packed.total.to_host()[0], total);
    ASSERT_EQ(counts_of(s.pool).blocks, 0u);
    ASSERT_EQ(counts_of(s.pool).used_sectors, 0u);
  }
}

class gpu_c_pages : public on_device<> {};

TEST_F(gpu_c_pages, are_used_by_others_while_their_blocks_are_in_the_pool) {
  for (std::uint64_t seed = 40; seed < 40 + repeats(4); ++seed) {
    pooled_scene s(kGiven, seed, output::in_place);
    ASSERT_EQ(s.c.encode(nullptr), SKV_OK) << skv_last_error();
    ASSERT_EQ(s.store(nullptr), SKV_OK) << skv_last_error();
    check(cudaDeviceSynchronize());
    s.expect_all(status::ok, s.moved);
    const std::size_t blocks = counts_of(s.pool).blocks;
    ASSERT_EQ(blocks, s.g.count());
    s.g.cache.forget();  // by other tokens
    s.g.forget();

    // Into other pages, first by hand and then in one call.
    for (const bool by_hand : {true, false}) {
      std::rotate(s.g.order.begin(), s.g.order.begin() + 1, s.g.order.end());
      const device_array<std::int32_t> pages{std::span<const std::int32_t>(s.g.order)};
      s.c.numbers.blocks.indices_dev = s.c.out.slots.indices_dev = s.c.in.slots.indices_dev =
          pages.data();
      if (by_hand) {
        ASSERT_EQ(s.load(nullptr), SKV_OK) << skv_last_error();
        ASSERT_EQ(s.c.decode(nullptr), SKV_OK) << skv_last_error();
      } else {
        ASSERT_EQ(s.restore(nullptr), SKV_OK) << skv_last_error();
      }
      check(cudaDeviceSynchronize());
      s.g.expect_restored(output::in_place);
      ASSERT_EQ(counts_of(s.pool).blocks, blocks) << "the pool keeps them";
      s.g.cache.forget();
    }
    ASSERT_EQ(s.drop(nullptr), SKV_OK) << skv_last_error();
    check(cudaDeviceSynchronize());
    s.expect_all(status::ok, s.moved);
    ASSERT_EQ(counts_of(s.pool).used_sectors, 0u);
  }
}

// A block that a full arena does not take stays where it is, compressed; its page is no one else's.
TEST_F(gpu_c_pages, stay_in_use_where_the_arena_is_full) {
  const std::uint32_t sectors = 100;
  pooled_scene s(kGiven, 40, output::in_place, sectors);
  const gpu_scene& g = s.g;
  ASSERT_EQ(s.c.encode(nullptr), SKV_OK) << skv_last_error();
  ASSERT_EQ(s.store(nullptr), SKV_OK) << skv_last_error();
  check(cudaDeviceSynchronize());
  const auto stored = s.moved.to_host();
  const auto sizes = g.sizes.to_host();
  std::uint64_t blocks = 0, bytes = 0;
  g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
    ASSERT_TRUE(stored[i] == status::ok || stored[i] == status::does_not_fit);
    if (stored[i] != status::ok) return;
    ++blocks;
    bytes += sizes[i];
    const cuda::block_places& at = g.numbers_at.cache.blocks;
    check(
        cudaMemset(at.base + layer * at.layer_stride_bytes + g.order[item] * at.block_stride_bytes,
                   0x5a, g.numbers_at.block_bytes));
  });
  ASSERT_GT(blocks, 0u);
  ASSERT_LT(blocks, g.count());
  const auto counts = counts_of(s.pool);
  EXPECT_EQ(counts.blocks, blocks);
  EXPECT_EQ(counts.bytes, bytes);
  EXPECT_EQ(counts.free_sectors + counts.used_sectors, sectors);

  for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
    for (const bool from_pool : {false, true}) {
      std::vector<std::int32_t> pages = g.order, entries;
      for (std::uint32_t item = 0; item < g.scene.items; ++item) {
        const bool is_there = stored[layer * g.scene.items + item] == status::ok;
        entries.push_back(is_there ? s.order[item] : -1);
        if (is_there != from_pool) pages[item] = -1;
      }
      const device_array<std::int32_t> pages_dev{std::span<const std::int32_t>(pages)},
          entries_dev{std::span<const std::int32_t>(entries)};
      s.c.batch.first_layer = layer;
      s.c.batch.layers = 1;
      s.c.numbers.blocks.indices_dev = s.c.out.slots.indices_dev = s.c.in.slots.indices_dev =
          pages_dev.data();
      s.entries.indices_dev = entries_dev.data();
      // Loading writes the arrays of encoding: what stayed comes first.
      ASSERT_EQ(from_pool ? s.restore(nullptr) : s.c.decode(nullptr), SKV_OK) << skv_last_error();
      check(cudaDeviceSynchronize());
    }
  g.expect_numbers();
}

}  // namespace
}  // namespace skv::gpu
