// One pool, two streams: what changes it is ordered by events, what reads it runs beside.
#include <gtest/gtest.h>

#include "gpu/gpu_pool.hpp"

namespace skv::gpu {
namespace {

class gpu_pool_streams : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(
    some, gpu_pool_streams,
    testing::Values(kGiven, coding_id{format_id::e4m3, mean_source::none, format_id::e4m3},
                    coding_id{format_id::fp16, mean_source::previous_token, format_id::fp16}),
    [](const auto& p) { return name_of(p.param); });

/// A stream, the batch that it works on, and the entries of a pool that are its own.
struct lane_of_work {
  gpu_scene g;
  entry_list entries;
  device_array<status> stored, dropped;
  cudaStream_t stream{};
  cudaEvent_t changed{};  ///< the pool, by its last store or drop

  lane_of_work(paged_scene s, std::uint32_t first, std::uint32_t per_layer)
      : g(std::move(s), page_layout::token_major, page_layout::head_major),
        entries(from(first, g.scene.items), per_layer),
        stored(g.count()),
        dropped(g.count()) {
    check(cudaStreamCreate(&stream));
    check(cudaEventCreate(&changed));
  }
  lane_of_work(const lane_of_work&) = delete;
  ~lane_of_work() {
    cudaEventDestroy(changed);
    cudaStreamDestroy(stream);
  }
  static std::vector<std::int32_t> from(std::uint32_t first, std::uint32_t count) {
    std::vector<std::int32_t> list = counting(count);
    for (std::int32_t& i : list) i += static_cast<std::int32_t>(first);
    return list;
  }

  /// Between what the other stream did to the pool, and what it will do.
  template <class F>
  void change_after(const lane_of_work& other, F&& f) const {
    check(cudaStreamWaitEvent(stream, other.changed, 0));
    ASSERT_TRUE(f());
    check(cudaEventRecord(changed, stream));
  }
  void store(const cuda::pool& p, const lane_of_work& other) const {
    ASSERT_TRUE(g.encode(output::slots, stream));
    change_after(other, [&] {
      return p.store_async(g.batch(), entries.entries, as_stored(g.places(output::slots)),
                           stored.data(), stream);
    });
  }
  void restore(const cuda::pool& p) const {
    check(cudaMemsetAsync(g.cache.data(), 0x5a, g.cache.size(), stream));
    check(cudaMemsetAsync(g.slots.data(), 0x5a, g.slots.size(), stream));
    ASSERT_TRUE(p.restore_async(g.coder, g.batch(), entries.entries, g.places(output::slots),
                                g.means_at.cache, g.numbers_at.cache, false, g.decoded.data(),
                                g.room(), stream));
  }
  void drop(const cuda::pool& p, const lane_of_work& other) const {
    change_after(other,
                 [&] { return p.drop_async(g.batch(), entries.entries, dropped.data(), stream); });
  }
  void hold(std::map<std::int64_t, std::uint32_t>& held) const {
    const auto sizes = g.sizes.to_host();
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
      held[entries.at(layer, item)] = sizes[i];
    });
  }
};

TEST_P(gpu_pool_streams, store_restore_and_drop_beside_each_other) {
  const auto scene = [&](std::uint64_t seed) {
    cuda::block_geometry g = small_geometry();
    g.tile_tokens = g.tile_heads = 0;
    return make_scene(GetParam(), g, 9, seed);
  };
  const lane_of_work a(scene(1), 0, 18), b(scene(2), 9, 18);
  const auto sectors = static_cast<std::uint32_t>(2 * (a.g.slots.size() / 512 + a.g.count()));
  const cuda::pool p = pool_of(a.g, {sectors, 512, 18 * a.g.plan.layers});
  a.store(p, b);
  for (int round = 0; round < 20; ++round) {
    // One reads while the other changes the pool; then the other way round.
    b.store(p, a);
    a.restore(p);
    b.restore(p);
    a.drop(p, b);
    a.store(p, b);
    b.restore(p);
    a.restore(p);
    b.drop(p, a);
  }
  b.store(p, a);
  check(cudaDeviceSynchronize());
  for (const lane_of_work* w : {&a, &b}) {
    for (const status s : w->stored.to_host()) ASSERT_EQ(s, status::ok);
    for (const status s : w->dropped.to_host()) ASSERT_EQ(s, status::ok);
  }
  a.g.expect_restored(output::slots);
  std::map<std::int64_t, std::uint32_t> held;
  a.hold(held);
  b.hold(held);
  ASSERT_EQ(held.size(), 2 * a.g.count());
  expect_sound(p, held);
  b.restore(p);
  check(cudaDeviceSynchronize());
  b.g.expect_restored(output::slots);
  a.drop(p, b);
  b.drop(p, a);
  check(cudaDeviceSynchronize());
  expect_sound(p, {});
}

}  // namespace
}  // namespace skv::gpu
