// What compacting and the pool refuse through the C ABI, and structures of other versions.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "gpu/c_cuda_pooled_scene.hpp"

namespace skv::gpu {
namespace {

using testing::HasSubstr;

class gpu_c_arguments : public on_device<> {
 protected:
  static void refused(skv_status s, const char* why) {
    EXPECT_EQ(s, SKV_INVALID_ARGUMENT) << why;
    EXPECT_THAT(skv_last_error(), HasSubstr(why));
  }
};

TEST_F(gpu_c_arguments, of_compacting_are_checked) {
  const gpu_scene g(random_scene(kGiven, 51), page_layout::token_major, page_layout::token_major);
  c_scene c(g, output::slots);
  const packed_arrays packed(g);
  const skv_cuda_encoded_places out = to_c(packed.places());
  const auto compact = [&](const skv_cuda_encoded_places& to, std::size_t work) {
    return skv_cuda_compact_async(c.codec.get(), &c.batch, &c.in, &to, g.work.data(), work, nullptr,
                                  nullptr);
  };
  refused(compact(c.out, g.work.size()), "a packed buffer, sizes and statuses must be given");
  refused(compact(out, 0), "the workspace has 0 bytes");
  skv_cuda_encoded_places bad = out;
  bad.offsets = nullptr;
  refused(compact(bad, g.work.size()), "packed blocks need offsets and a total");
  bad = out;
  bad.packed = packed.bytes.data() + 8;
  refused(compact(bad, g.work.size()), "multiple of 16");
  c.in.sizes = nullptr;
  refused(compact(out, g.work.size()), "sizes");
  c.batch.first_layer = g.plan.layers;
  refused(compact(out, g.work.size()), "layers that the geometry does not have");
}

TEST_F(gpu_c_arguments, of_the_pool_are_checked) {
  const pooled_scene s(kGiven, 52, output::slots);
  const c_scene& c = s.c;
  skv_cuda_pool* const p = s.pool.get();
  EXPECT_EQ(skv_cuda_pool_retain(p), p);
  skv_cuda_pool_release(p);
  const auto store = [&](const skv_cuda_stored_places& in, std::uint8_t* statuses) {
    return skv_cuda_pool_store_async(p, &c.batch, &s.entries, &in, statuses, nullptr, nullptr);
  };
  refused(store(c.in, nullptr), "records and statuses must be given");
  skv_cuda_stored_places in = c.in;
  in.records = nullptr;
  refused(store(in, to_c(s.moved)), "records and statuses must be given");
  in = c.in;
  in.slots.base = nullptr;
  refused(store(in, to_c(s.moved)), "there are no slots");
  refused(skv_cuda_pool_drop_async(p, &c.batch, &s.entries, nullptr, nullptr, nullptr),
          "statuses must be given");

  const auto load = [&](const skv_cuda_batch& batch, const skv_cuda_encoded_places& out) {
    return skv_cuda_pool_load_async(p, &batch, &s.entries, &out, nullptr, nullptr);
  };
  skv_cuda_encoded_places out = c.out;
  out.sizes = nullptr;
  refused(load(c.batch, out), "records, sizes and statuses must be given");
  refused(load(c.batch, to_c(s.g.places(output::packed))), "blocks are loaded into slots");
  skv_cuda_batch batch = c.batch;
  batch.items = ~0u;
  refused(load(batch, c.out), "2^31 - 1");
  batch = c.batch;
  batch.layers = s.g.plan.layers + 1;
  refused(load(batch, c.out), "layers that the geometry does not have");

  const auto restore = [&](const skv_cuda_codec* codec, std::size_t work) {
    return skv_cuda_pool_restore_async(p, codec, &c.batch, &s.entries, &c.out, &c.means, &c.numbers,
                                       0, to_c(s.g.decoded), s.g.work.data(), work, nullptr,
                                       nullptr);
  };
  refused(restore(nullptr, s.g.work.size()), "codec: null pointer");
  refused(restore(c.codec.get(), 0), "the workspace has 0 bytes");
  skv_cuda_geometry wider = to_c(s.g.scene.geometry);
  ++wider.layers;
  skv_cuda_codec* other = nullptr;
  ASSERT_EQ(skv_cuda_codec_create(c_profile_of(*s.g.scene.used_profile).get(), &wider, &other),
            SKV_OK);
  const c_codec of_wider(other);
  refused(restore(other, s.g.work.size()), "the codec and the pool are of different geometries");
}

TEST_F(gpu_c_arguments, of_a_pool_that_cannot_be_are_named) {
  const gpu_scene g(random_scene(kGiven, 53), page_layout::token_major, page_layout::token_major);
  const c_profile profile = c_profile_of(*g.scene.used_profile);
  const skv_cuda_geometry geometry = to_c(g.scene.geometry);
  skv_cuda_pool* made = nullptr;
  const auto make = [&](auto&& change) {
    skv_cuda_pool_options o = options_of(7, 3);
    change(o);
    return skv_cuda_pool_create(profile.get(), &geometry, &o, &made);
  };
  using options = skv_cuda_pool_options;
  refused(make([](options& o) { o.sectors = 0; }), "at least one sector and one entry");
  refused(make([](options& o) { o.entries = 0; }), "at least one sector and one entry");
  for (const std::uint32_t bytes : {1u, 32u, 96u, 131072u})
    refused(make([&](options& o) { o.sector_bytes = bytes; }), "a power of two of bytes");
  refused(make([](options& o) { o.struct_size = 12; }), "options: its struct_size");
  EXPECT_EQ(made, nullptr);

  // An earlier caller's options end before the size of sectors.
  ASSERT_EQ(make([](options& o) {
              o.struct_size = offsetof(options, sector_bytes);
              o.sector_bytes = 3;
              o.max_sectors = 1;
            }),
            SKV_OK)
      << skv_last_error();
  const c_pool pool(made);
  auto ref = sized<skv_cuda_pool_ref>();
  ASSERT_EQ(skv_cuda_pool_get_ref(made, &ref), SKV_OK);
  EXPECT_EQ(ref.sector_bits, 9u);
  EXPECT_EQ(ref.sectors, 7u);
  EXPECT_EQ(ref.entries, 3u);
  EXPECT_EQ(ref.max_sectors, (g.plan.tiles * g.plan.stage_bytes + 511) / 512);
  EXPECT_EQ(ref.tiles, g.coder.tiles_per_block());

  skv_cuda_pool* small = nullptr;
  skv_cuda_pool_options o = options_of(7, 3);
  o.sector_bytes = 64;
  o.max_sectors = 5;
  ASSERT_EQ(skv_cuda_pool_create(profile.get(), &geometry, &o, &small), SKV_OK);
  const c_pool of_small(small);
  ASSERT_EQ(skv_cuda_pool_get_ref(small, &ref), SKV_OK);
  EXPECT_EQ(ref.sector_bits, 6u);
  EXPECT_EQ(ref.max_sectors, 5u);
}

TEST_F(gpu_c_arguments, structures_are_filled_in_as_far_as_the_caller_knows_them) {
  const pooled_scene s(kGiven, 54, output::slots);
  skv_cuda_pool* const p = s.pool.get();
  struct {
    skv_cuda_pool_counts known;
    std::uint64_t more;
  } later;
  std::memset(&later, 0x5a, sizeof later);
  later.known.struct_size = sizeof later;
  ASSERT_EQ(skv_cuda_pool_read_counts(p, nullptr, &later.known), SKV_OK);
  EXPECT_EQ(later.known.struct_size, sizeof later);
  EXPECT_EQ(later.known.free_sectors, s.all_sectors());
  EXPECT_EQ(later.known.bytes, 0u);
  EXPECT_EQ(later.more, 0u);
  std::memset(&later, 0x5a, sizeof later);
  later.known.struct_size = offsetof(skv_cuda_pool_counts, used_sectors);
  ASSERT_EQ(skv_cuda_pool_read_counts(p, nullptr, &later.known), SKV_OK);
  EXPECT_EQ(later.known.free_sectors, s.all_sectors());
  EXPECT_EQ(later.known.used_sectors, 0x5a5a5a5a5a5a5a5a);
  later.known.struct_size = 0;
  refused(skv_cuda_pool_read_counts(p, nullptr, &later.known), "counts: its struct_size is 0");
  refused(skv_cuda_pool_read_counts(p, nullptr, nullptr), "counts: null pointer");
  refused(skv_cuda_pool_get_ref(p, nullptr), "ref: null pointer");
  refused(skv_cuda_pool_memory_bytes(p, nullptr), "the result: null pointer");
}

// What a kernel would find through it.
TEST_F(gpu_c_arguments, the_ref_of_a_pool_leads_to_its_blocks) {
  const pooled_scene s(kGiven, 55, output::slots);
  const gpu_scene& g = s.g;
  ASSERT_EQ(s.c.encode(nullptr), SKV_OK);
  ASSERT_EQ(s.store(nullptr), SKV_OK);
  check(cudaDeviceSynchronize());
  auto ref = sized<skv_cuda_pool_ref>();
  ASSERT_EQ(skv_cuda_pool_get_ref(s.pool.get(), &ref), SKV_OK);
  const auto read = [](auto* from_dev, std::size_t count) {
    std::vector<std::remove_const_t<std::remove_pointer_t<decltype(from_dev)>>> v(count);
    check(cudaMemcpy(v.data(), from_dev, count * sizeof v[0], cudaMemcpyDeviceToHost));
    return v;
  };
  const std::size_t sector = std::size_t{1} << ref.sector_bits;
  const auto arena = read(static_cast<const std::byte*>(ref.arena), ref.sectors * sector);
  const auto sectors = read(ref.sectors_dev, std::size_t{ref.entries} * ref.max_sectors);
  const auto states = read(ref.states_dev, ref.entries);
  const auto records = read(ref.records_dev, std::size_t{ref.entries} * ref.tiles);
  const auto counts = read(ref.counts_dev, 4);
  const auto expected = counts_of(s.pool);
  EXPECT_THAT(counts, testing::ElementsAre(expected.free_sectors, expected.used_sectors,
                                           expected.blocks, expected.bytes));
  auto all = read(ref.free_dev, counts[0]);
  const auto sizes = g.sizes.to_host();
  const auto slots = g.slots.to_host();
  const auto encoded = g.records.to_host();
  for (std::uint32_t e = 0; e < pooled_scene::kFirst; ++e) ASSERT_EQ(states[e], 0u);
  g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
    const std::size_t e = pooled_scene::kFirst + layer * g.scene.items + s.order[item];
    ASSERT_EQ(states[e], sizes[i] + 1);
    for (std::uint32_t k = 0; k < ref.tiles; ++k)
      ASSERT_EQ(records[e * ref.tiles + k].data_hash, encoded[i * ref.tiles + k].data_hash);
    for (std::size_t at = 0; at < sizes[i]; at += sector) {
      const std::uint32_t number = sectors[e * ref.max_sectors + at / sector];
      all.push_back(number);
      const std::size_t bytes = std::min<std::size_t>(sector, sizes[i] - at);
      ASSERT_EQ(std::memcmp(arena.data() + number * sector,
                            slots.data() + i * g.coder.max_block_bytes() + at, bytes),
                0);
    }
  });
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), ref.sectors);
  for (std::uint32_t i = 0; i < ref.sectors; ++i) ASSERT_EQ(all[i], i);
}

}  // namespace
}  // namespace skv::gpu
