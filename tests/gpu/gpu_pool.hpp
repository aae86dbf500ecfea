// A pool on a device: how it is made, and what must hold of its counts.
#pragma once

#include <skv/cuda/pool.hpp>

#include <algorithm>
#include <map>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {

template <class T>
std::vector<T> read(const T* from_dev, std::size_t count) {
  std::vector<T> v(count);
  check(cudaMemcpy(v.data(), from_dev, count * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

inline cuda::pool pool_of(const gpu_scene& g, const cuda::pool_options& o) {
  auto p = cuda::pool::make(g.scene.used_profile, g.scene.geometry, o);
  if (!p) throw std::runtime_error(p.failure().message);
  return *std::move(p);
}

/// The counts add up, and every sector is free or one entry's.
inline void expect_sound(const cuda::pool& p, const std::map<std::int64_t, std::uint32_t>& held) {
  const auto counts = p.read_counts(nullptr);
  ASSERT_TRUE(counts);
  const cuda::pool_ref r = p.ref();
  ASSERT_EQ(counts->free_sectors + counts->used_sectors, r.sectors);
  std::vector<std::uint32_t> all = read(r.free_dev, counts->free_sectors);
  const auto states = read(r.states_dev, r.entries);
  const auto sectors = read(r.sectors_dev, std::size_t{r.entries} * r.max_sectors);
  std::uint64_t bytes = 0;
  for (std::int64_t e = 0; e < r.entries; ++e) {
    const auto found = held.find(e);
    ASSERT_EQ(states[e], found == held.end() ? cuda::pool_ref::kEmpty
                                             : found->second + cuda::pool_ref::kStored);
    if (found == held.end()) continue;
    const auto first = sectors.begin() + e * r.max_sectors;
    all.insert(all.end(), first, first + r.sectors_of(found->second));
    bytes += found->second;
  }
  ASSERT_EQ(counts->blocks, held.size());
  ASSERT_EQ(counts->bytes, bytes);
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), r.sectors);
  for (std::uint32_t i = 0; i < r.sectors; ++i) ASSERT_EQ(all[i], i);
}

/// Entries of a batch: block `b` of layer `l` is entry l * per_layer + b.
struct entry_list {
  std::vector<std::int32_t> list;
  device_array<std::int32_t> indices;
  cuda::pool_entries entries;

  entry_list(std::vector<std::int32_t> l, std::uint32_t per_layer)
      : list(std::move(l)),
        indices(std::span<const std::int32_t>(list)),
        entries{0, per_layer, indices.data()} {}
  std::int64_t at(std::uint32_t layer, std::uint32_t item) const {
    return layer * entries.layer_stride + list[item];
  }
};

inline std::vector<std::int32_t> counting(std::uint32_t count) {
  std::vector<std::int32_t> list(count);
  std::iota(list.begin(), list.end(), 0);
  return list;
}

}  // namespace skv::gpu
