// What of the device's memory counts as written, and that kernels which read other memory fail.
#include "stand_in/memory.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "gpu/gpu_scene.hpp"

namespace skv::stand_in {
namespace {

using gpu::check;
using gpu::device_array;

/// Of each byte whether it counts as written; empty where all do.
std::vector<int> written(const void* at, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  const ptx::memory_range* const r = find(device_memory(), address);
  EXPECT_NE(r, nullptr);
  if (r == nullptr || r->written == nullptr) return {};
  const std::uint8_t* const first = r->written + (address - r->begin);
  return {first, first + bytes};
}
using flags = std::vector<int>;

TEST(memory, what_is_allocated_is_unwritten_until_it_is_set_or_copied_to) {
  const device_array<std::byte> a(4), b(4);
  EXPECT_EQ(written(a.data(), 4), (flags{0, 0, 0, 0}));
  check(cudaMemset(a.data() + 1, 0, 2));
  EXPECT_EQ(written(a.data(), 4), (flags{0, 1, 1, 0}));
  const std::byte host[2]{};
  check(cudaMemcpy(a.data(), host, 2, cudaMemcpyHostToDevice));
  EXPECT_EQ(written(a.data(), 4), (flags{1, 1, 1, 0}));
  check(cudaMemcpy(b.data(), a.data() + 2, 2, cudaMemcpyDeviceToDevice));
  EXPECT_EQ(written(b.data(), 4), (flags{1, 0, 0, 0}));
  a.fill(1);
  EXPECT_EQ(written(a.data(), 4), (flags{1, 1, 1, 1}));
  a.forget();
  EXPECT_EQ(written(a.data(), 4), (flags{0, 0, 0, 0}));
}

TEST(memory, pinned_memory_and_mere_addresses_count_as_written) {
  const gpu::pinned_array<std::byte> pinned(4);
  EXPECT_EQ(written(pinned.data(), 4), flags{});
  void* far = nullptr;
  check(cudaMalloc(&far, kMemoryBytes + 1));
  EXPECT_EQ(written(far, 4), flags{});
  check(cudaFree(far));
  const device_array<std::byte> copy(4);
  check(cudaMemcpy(copy.data(), pinned.data(), 4, cudaMemcpyHostToDevice));
  EXPECT_EQ(written(copy.data(), 4), (flags{1, 1, 1, 1}));
}

TEST(memory, what_a_graph_sets_is_written_when_it_is_launched) {
  const device_array<std::byte> a(4);
  const gpu::captured_graph graph(
      [&](cudaStream_t stream) { check(cudaMemsetAsync(a.data(), 0, 2, stream)); });
  EXPECT_EQ(written(a.data(), 4), (flags{0, 0, 0, 0}));
  graph.replay();
  EXPECT_EQ(written(a.data(), 4), (flags{1, 1, 0, 0}));
}

TEST(memory, nothing_is_copied_or_set_outside_of_an_allocation) {
  std::byte host[600]{};
  void* at = nullptr;
  check(cudaMalloc(&at, 256));
  EXPECT_EQ(cudaMemset(at, 0, 257), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(at, host, 257, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, at, 257, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, host + 300, 4, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  const gpu::captured_graph graph(
      [&](cudaStream_t stream) { check(cudaMemsetAsync(at, 0, 256, stream)); });
  graph.replay();
  check(cudaFree(at));
  EXPECT_THROW(graph.replay(), std::runtime_error);
  EXPECT_EQ(cudaFree(at), cudaErrorInvalidValue);
}

using kernels = gpu::on_device<>;

TEST_F(kernels, that_read_what_nobody_has_written_fail) {
  const gpu::gpu_scene g(test::random_scene(test::all_codings().front(), 3),
                         test::page_layout::token_major, test::page_layout::token_major);
  const gpu::captured_graph graph(
      [&](cudaStream_t stream) { ASSERT_TRUE(g.encode(test::output::slots, stream)); });
  graph.replay();
  EXPECT_TRUE(g.decode(test::output::slots, nullptr));

  g.slots.forget();
  EXPECT_FALSE(g.decode(test::output::slots, nullptr));
  g.cache.forget();
  EXPECT_FALSE(g.encode(test::output::slots, nullptr));
  EXPECT_THROW(graph.replay(), std::runtime_error);
}

}  // namespace
}  // namespace skv::stand_in
