// A scene and a pool for its blocks, as a caller from C has them.
#pragma once

#include <numeric>

#include "gpu/c_cuda_scene.hpp"

namespace skv::gpu {

inline skv_cuda_pool_options options_of(std::uint32_t sectors, std::uint32_t entries) {
  auto o = sized<skv_cuda_pool_options>();
  o.sectors = sectors;
  o.entries = entries;
  return o;
}

inline skv_cuda_pool_counts counts_of(const c_pool& pool) {
  auto counts = sized<skv_cuda_pool_counts>();
  EXPECT_EQ(skv_cuda_pool_read_counts(pool.get(), nullptr, &counts), SKV_OK) << skv_last_error();
  return counts;
}

/// A scene, and a pool for its blocks: that of item i in layer l is entry kFirst + l * items + order[i].
struct pooled_scene {
  static constexpr std::uint32_t kFirst = 2;
  gpu_scene g;
  c_scene c;
  c_pool pool;
  std::vector<std::int32_t> order;  // backwards
  device_array<std::int32_t> order_dev;
  skv_cuda_pool_entries entries = sized<skv_cuda_pool_entries>();
  device_array<status> moved;

  /// `sectors` 0: room for all.
  pooled_scene(coding_id id, std::uint64_t seed, output how, std::uint32_t sectors = 0)
      : g(random_scene(id, seed), page_layout::token_major, page_layout::head_major),
        c(g, how),
        order(backwards(g.scene.items)),
        order_dev(std::span<const std::int32_t>(order)),
        moved(g.count()) {
    entries.first = kFirst;
    entries.layer_stride = g.scene.items;
    entries.indices_dev = order_dev.data();
    const skv_cuda_geometry geometry = to_c(g.scene.geometry);
    const skv_cuda_pool_options options =
        options_of(sectors != 0 ? sectors : all_sectors(), entry_count());
    skv_cuda_pool* p = nullptr;
    EXPECT_EQ(
        skv_cuda_pool_create(c_profile_of(*g.scene.used_profile).get(), &geometry, &options, &p),
        SKV_OK)
        << skv_last_error();
    pool.reset(p);
  }
  std::uint32_t all_sectors() const {
    return static_cast<std::uint32_t>(g.slots.size() / 512 + g.count());
  }

  static std::vector<std::int32_t> backwards(std::uint32_t items) {
    std::vector<std::int32_t> list(items);
    std::iota(list.rbegin(), list.rend(), 0);
    return list;
  }
  std::uint32_t entry_count() const { return kFirst + static_cast<std::uint32_t>(g.count()); }

  skv_status store(cudaStream_t stream) const {
    return skv_cuda_pool_store_async(pool.get(), &c.batch, &entries, &c.in, to_c(moved), nullptr,
                                     stream);
  }
  skv_status load(cudaStream_t stream) const {
    return skv_cuda_pool_load_async(pool.get(), &c.batch, &entries, &c.out, nullptr, stream);
  }
  skv_status restore(cudaStream_t stream) const {
    return skv_cuda_pool_restore_async(pool.get(), c.codec.get(), &c.batch, &entries, &c.out,
                                       &c.means, &c.numbers, c.in_place, to_c(g.decoded),
                                       g.work.data(), g.work.size(), nullptr, stream);
  }
  skv_status drop(cudaStream_t stream) const {
    return skv_cuda_pool_drop_async(pool.get(), &c.batch, &entries, to_c(moved), nullptr, stream);
  }
  void expect_all(status expected, const device_array<status>& is) const {
    for (const status s : is.to_host()) ASSERT_EQ(s, expected);
  }
};

/// Where compacting writes.
struct packed_arrays {
  device_array<std::byte> bytes;
  device_array<std::uint32_t> sizes;
  device_array<status> statuses;
  device_array<std::uint64_t> offsets, total;

  explicit packed_arrays(const gpu_scene& g)
      : bytes(g.slots.size()),
        sizes(g.count()),
        statuses(g.count()),
        offsets(g.count()),
        total(1) {}
  cuda::encoded_places places() const {
    cuda::encoded_places p;
    p.packed = bytes.data();
    p.packed_bytes = bytes.size();
    p.sizes = sizes.data();
    p.statuses = statuses.data();
    p.offsets = offsets.data();
    p.total_bytes = total.data();
    return p;
  }
};

}  // namespace skv::gpu
