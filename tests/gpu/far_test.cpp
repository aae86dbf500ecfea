// Strides and places beyond 2^32 on a device: blocks, tokens, heads, tensors and slots that lie gigabytes
// apart, in either direction, in one allocation. (tests/simt/far_test.cpp goes further, and sees every access.)
#include <gtest/gtest.h>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

constexpr std::int64_t kFar = (std::int64_t{1} << 32) + (3 << 16) + 64;
constexpr std::int64_t kHalf = (std::int64_t{3} << 30) + 64;  // below 2^32, but not twice it

// The third of three heads is beyond 2^31, and all within 2^32: head_layout::one_group.
constexpr std::int64_t kThird = 0xffffffff / 3 / kGroupNumbers * kGroupNumbers;

struct far_strides {
  const char* name;
  std::int64_t block = 0, token = 0, head = 0, tensor = 0;  ///< 0: as the layout has them
  bool by_pointers = false;
  std::uint32_t head_dim = 40;
};

constexpr far_strides kCases[] = {
    {"blocks", kFar},
    {"blocks_backwards", -kFar},
    {"pointers_to_blocks", kHalf, 0, 0, 0, true},
    {"tokens", 0, kHalf},
    {"tokens_backwards", 0, -kFar},
    {"heads", 0, 0, kFar},
    {"heads_backwards", 0, 0, -kHalf},
    {"heads_of_a_group", 0, 0, kThird, 0, false, kGroupNumbers},
    {"tensors", 0, 0, 0, 3 * kFar},
    {"tensors_backwards", 0, 0, 0, -3 * kFar},
};

class far_apart : public on_device<testing::TestWithParam<far_strides>> {};
INSTANTIATE_TEST_SUITE_P(cases, far_apart, testing::ValuesIn(kCases),
                         [](const auto& p) { return std::string(p.param.name); });

/// Far more memory than is touched; null where the device does not have it.
class far_allocation {
 public:
  far_allocation() {
    if (cudaMalloc(&memory_, 8 * kFar) == cudaSuccess) return;
    memory_ = nullptr;
    cudaGetLastError();
  }
  far_allocation(const far_allocation&) = delete;
  far_allocation& operator=(const far_allocation&) = delete;
  ~far_allocation() { cudaFree(memory_); }

  bool exists() const { return memory_ != nullptr; }
  std::byte* middle() const { return static_cast<std::byte*>(memory_) + 4 * kFar; }

 private:
  void* memory_ = nullptr;
};

paged_scene far_scene(coding_id id, std::uint32_t head_dim, std::uint64_t seed) {
  const std::uint32_t tile_heads = head_dim == kGroupNumbers ? 3 : 2;
  return make_scene(id, geometry_of({"", 4, {k(3, head_dim), v(3, head_dim)}, 3, 3, tile_heads}), 3,
                    seed);
}

/// Calls f(logical tensor, where in it, where it lies, bytes) for every row of the batch in a cache.
template <class F>
void each_row(const gpu_scene& g, const cuda::paged_cache& cache, number_format f, F&& row) {
  for (std::uint32_t item = 0; item < g.scene.items; ++item)
    g.scene.each_row(cache, 0, item,
                     cache.blocks.base + g.order[item] * cache.blocks.block_stride_bytes, f, row);
}

TEST_P(far_apart, blocks_are_the_cpu_codecs_and_come_back) {
  const far_allocation memory;
  if (!memory.exists()) GTEST_SKIP() << "no 34 GB of memory to lie apart in";
  std::uint64_t seed = 0;
  for (const coding_id id : all_codings()) {
    SCOPED_TRACE(name_of(id));
    ++seed;
    gpu_scene g(far_scene(id, GetParam().head_dim, seed), page_layout::token_major,
                seed % 2 == 0 ? page_layout::token_major : page_layout::head_major);
    g.set_indices({0, 2, 1});
    const auto placed = [&](cuda::paged_cache cache, std::ptrdiff_t at) {
      const auto set = [](std::int64_t& stride, std::int64_t to) {
        if (to != 0) stride = to;
      };
      cache.blocks.base = memory.middle() + at;
      set(cache.blocks.block_stride_bytes, GetParam().block);
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) {
        set(cache.tensors[i].token_stride_bytes, GetParam().token);
        set(cache.tensors[i].head_stride_bytes, GetParam().head);
        set(cache.tensors[i].offset_bytes, GetParam().tensor * i);
      }
      return cache;
    };
    const auto with_pointers = [&](cuda::paged_cache cache,
                                   const device_array<std::byte*>& pointers) {
      if (!GetParam().by_pointers) return cache;
      std::vector<std::byte*> blocks;
      for (const std::int32_t number : g.order)
        blocks.push_back(cache.blocks.base + number * cache.blocks.block_stride_bytes);
      pointers.assign(blocks);
      cache.blocks = {};
      cache.blocks.pointers_dev = pointers.data();
      return cache;
    };
    const cuda::paged_cache numbers = placed(g.numbers_at.cache, 0);
    const cuda::paged_cache means = placed(g.means_at.cache, 1 << 20);
    const auto write = [](const std::vector<logical_tensor>& from) {
      return [&from](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
        check(cudaMemcpy(row, from[tensor].data() + at, bytes, cudaMemcpyHostToDevice));
      };
    };
    each_row(g, numbers, g.scene.target(), write(g.scene.numbers));
    each_row(g, means, g.scene.mean(), write(g.scene.means));
    const cuda::paged_cache from = with_pointers(numbers, g.pointers);
    const cuda::paged_cache predicted = with_pointers(means, g.mean_pointers);
    cuda::encoded_places out = g.places(output::slots);
    ASSERT_TRUE(g.coder.encode_async(g.batch(), from, predicted, out, g.room(), nullptr));
    check(cudaDeviceSynchronize());
    g.expect_cpu_bytes(output::slots);
    if (HasFatalFailure()) return;

    // What is read back is what was decoded, from slots that lie apart as well.
    cuda::encoded_places slots = out;
    slots.slots = {memory.middle() + (2 << 20), 0, -kFar};
    ASSERT_TRUE(g.coder.encode_async(g.batch(), from, predicted, slots, g.room(), nullptr));
    each_row(g, numbers, g.scene.target(),
             [](std::size_t, std::size_t, std::byte* row, std::size_t bytes) {
               check(cudaMemset(row, 0x5a, bytes));
             });
    ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(slots), predicted, from, false, {},
                                     g.decoded.data(), g.room(), nullptr));
    check(cudaDeviceSynchronize());
    for (const status s : g.decoded.to_host()) ASSERT_EQ(s, status::ok);
    each_row(
        g, numbers, g.scene.target(),
        [&](std::size_t tensor, std::size_t at, std::byte* row, std::size_t bytes) {
          std::vector<std::byte> now(bytes);
          check(cudaMemcpy(now.data(), row, bytes, cudaMemcpyDeviceToHost));
          ASSERT_TRUE(std::equal(now.begin(), now.end(), g.scene.numbers[tensor].begin() + at));
        });
    g.expect_intact();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::gpu
