// Where blocks may lie: compressed ones in pinned memory of the host; K and V in planes of one cache.
#include <gtest/gtest.h>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

class gpu_places : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu_places, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

/// Compressed blocks, and what is said of them, in memory that both the host and the device see.
struct pinned_blocks {
  pinned_array<std::byte> bytes;
  pinned_array<tile_record> records;
  pinned_array<std::uint32_t> sizes;
  pinned_array<status> statuses;
  pinned_array<std::uint64_t> offsets, total;

  explicit pinned_blocks(const gpu_scene& g)
      : bytes(g.slots.size()),
        records(g.records.size()),
        sizes(g.count()),
        statuses(g.count()),
        offsets(g.count()),
        total(1) {}
  cuda::encoded_places places(const gpu_scene& g, output how) const {
    cuda::encoded_places out = g.places(how);
    (how == output::packed ? out.packed : out.slots.base) = bytes.data();
    out.records = records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    if (how == output::packed) {
      out.offsets = offsets.data();
      out.total_bytes = total.data();
    }
    return out;
  }
  /// What the host sees, without any copy of the runtime's.
  void read_into(mirror& m) const {
    const auto copy = [](auto& to, const auto& from) {
      to.assign(from.span().begin(), from.span().end());
    };
    copy(m.slots, bytes);
    copy(m.records, records);
    copy(m.sizes, sizes);
    copy(m.statuses, statuses);
    copy(m.offsets, offsets);
    copy(m.total, total);
  }
};

TEST_P(gpu_places, compressed_blocks_may_lie_in_pinned_memory_of_the_host) {
  for (const output how : {output::slots, output::packed}) {
    SCOPED_TRACE(to_string(how));
    const gpu_scene g(random_scene(GetParam(), 8), page_layout::token_major,
                      page_layout::head_major);
    const pinned_blocks pinned(g);
    const cuda::encoded_places out = pinned.places(g, how);
    mirror m = g.read_back();
    pinned.read_into(m);
    m.slots_before = m.slots;
    ASSERT_TRUE(g.coder.encode_async(g.batch(), g.numbers_at.cache, g.means_at.cache, out, g.room(),
                                     nullptr));
    check(cudaDeviceSynchronize());
    pinned.read_into(m);
    expect_cpu_bytes(m, how, g.ample_room(how));
    if (HasFatalFailure()) return;
    g.cache.forget();
    ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(out), g.means_at.cache,
                                     g.numbers_at.cache, false, {}, g.decoded.data(), g.room(),
                                     nullptr));
    check(cudaDeviceSynchronize());
    mirror decoded = g.read_back();
    pinned.read_into(decoded);
    decoded.slots_before = decoded.slots;
    expect_restored(decoded, how, g.ample_room(how));
    g.expect_intact();
    if (HasFatalFailure()) return;
  }
}

/// One tensor of a scene, as a scene.
paged_scene tensor_of(const paged_scene& all, std::uint32_t tensor) {
  paged_scene s = all;
  s.geometry.tensors[0] = all.geometry.tensors[tensor];
  s.geometry.tensor_count = 1;
  s.numbers.clear();
  s.means.clear();
  for (std::size_t i = tensor; i < all.numbers.size(); i += all.geometry.tensor_count) {
    s.numbers.push_back(all.numbers[i]);
    s.means.push_back(all.means[i]);
  }
  return s;
}

// [2, blocks, tokens, heads, head_dim]: no block is contiguous, but each plane's half of it is, and has a
// codec of its own.
TEST_P(gpu_places, each_of_two_planes_is_coded_in_place) {
  for (std::uint64_t seed = 41; seed < 41 + repeats(3); ++seed) {
    const gpu_scene all(random_scene(GetParam(), seed), page_layout::two_planes,
                        page_layout::two_planes);
    const auto raw = all.cache.to_host();
    const gpu_scene planes[] = {
        {tensor_of(all.scene, 0), page_layout::two_planes, page_layout::token_major},
        {tensor_of(all.scene, 1), page_layout::two_planes, page_layout::head_major}};
    const auto cache_of = [&](std::uint32_t i, std::byte* base) {
      cuda::paged_cache c = planes[i].numbers_at.cache;
      c.blocks = all.numbers_at.cache.blocks;
      c.blocks.base = base + all.numbers_at.cache.tensors[i].offset_bytes;
      return c;
    };
    const auto places_of = [&](std::uint32_t i) {
      cuda::encoded_places out = planes[i].places(output::in_place);
      out.slots = cache_of(i, all.cache.data()).blocks;
      return out;
    };
    /// The whole cache, of which a plane may only change its own.
    const auto read_back = [&](std::uint32_t i, const memory_image& before) {
      mirror m = planes[i].read_back();
      m.cache = all.cache.to_host();
      m.cache_before = before;
      m.numbers_at.cache = cache_of(i, m.cache.data());
      m.numbers_at.cache.blocks.indices_dev = m.indices.data();
      return m;
    };
    for (std::uint32_t i = 0; i < 2; ++i) {
      const auto before = all.cache.to_host();
      ASSERT_TRUE(planes[i].coder.encode_async(planes[i].batch(), cache_of(i, all.cache.data()),
                                               planes[i].means_at.cache, places_of(i),
                                               planes[i].room(), nullptr));
      check(cudaDeviceSynchronize());
      expect_cpu_bytes(read_back(i, before), output::in_place,
                       planes[i].ample_room(output::in_place));
      if (HasFatalFailure()) return;
    }
    ASSERT_NE(all.cache.to_host(), raw);
    for (const std::uint32_t i : {1u, 0u}) {
      const auto before = all.cache.to_host();
      ASSERT_TRUE(planes[i].coder.decode_async(
          planes[i].batch(), as_stored(places_of(i)), planes[i].means_at.cache,
          cache_of(i, all.cache.data()), true, {}, planes[i].decoded.data(), planes[i].room(),
          nullptr));
      check(cudaDeviceSynchronize());
      expect_restored(read_back(i, before), output::in_place,
                      planes[i].ample_room(output::in_place));
      if (HasFatalFailure()) return;
    }
    all.expect_numbers();
  }
}

// What counts for nothing may be anything.
TEST_P(gpu_places, addresses_are_multiples_of_a_number_where_they_count) {
  const gpu_scene g(random_scene(GetParam(), 8), page_layout::token_major,
                    page_layout::token_major);
  const auto encode = [&](const cuda::block_places& blocks) {
    cuda::paged_cache cache = g.numbers_at.cache;
    cache.blocks = blocks;
    const auto ok = g.coder.encode_async(g.batch(), cache, g.means_at.cache,
                                         g.places(output::slots), g.room(), nullptr);
    check(cudaDeviceSynchronize());
    return ok ? "" : ok.failure().message;
  };
  const bool may_be_odd = g.scene.target().bytes() == 1;
  const auto is_refused = [&](const cuda::block_places& blocks) {
    return encode(blocks).find("must be aligned") != std::string::npos;
  };
  const cuda::block_places& right = g.numbers_at.cache.blocks;
  EXPECT_EQ(encode(right), "");
  for (const auto member :
       {&cuda::block_places::layer_stride_bytes, &cuda::block_places::block_stride_bytes}) {
    cuda::block_places odd = right;
    ++(odd.*member);
    EXPECT_NE(is_refused(odd), may_be_odd);
  }
  cuda::block_places odd = right;
  ++odd.base;
  EXPECT_NE(is_refused(odd), may_be_odd);

  std::vector<std::byte*> starts;
  for (std::uint32_t layer = 0; layer < g.scene.geometry.layers; ++layer)
    starts.push_back(right.base + layer * right.layer_stride_bytes);
  const device_array<std::byte*> bases(starts);
  ++odd.layer_stride_bytes;
  odd.layer_bases_dev = bases.data();
  EXPECT_EQ(encode(odd), "") << "layers have bases of their own";

  const device_array<std::byte*> pointers(std::vector<std::byte*>(g.scene.items));  // all are null
  odd.pointers_dev = pointers.data();
  odd.layer_stride_bytes = right.layer_stride_bytes;
  ++odd.block_stride_bytes;
  EXPECT_EQ(encode(odd), "") << "items have pointers";
}

}  // namespace
}  // namespace skv::gpu
