// The CUDA part of the C ABI on a device: the same blocks, the same bytes.
#include <gmock/gmock.h>

#include <cstddef>

#include "gpu/c_cuda_scene.hpp"

namespace skv::gpu {
namespace {

using testing::HasSubstr;

class gpu_c : public on_device<> {};

TEST_F(gpu_c, blocks_have_the_cpu_codecs_bytes_and_come_back) {
  std::uint64_t seed = 100;
  for (const coding_id id : all_codings())
    for (const output how : {output::slots, output::in_place, output::packed}) {
      const gpu_scene g(random_scene(id, ++seed), page_layout::head_major,
                        page_layout::token_major);
      const c_scene c(g, how);
      auto limits = sized<skv_cuda_limits>();
      limits.multiprocessors = 1;
      ASSERT_EQ(c.encode(nullptr, &limits), SKV_OK) << skv_last_error();
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(how);
      if (how != output::in_place) g.cache.forget();
      ASSERT_EQ(c.decode(nullptr), SKV_OK) << skv_last_error();
      check(cudaDeviceSynchronize());
      g.expect_restored(how);
      if (HasFatalFailure()) return;
    }
}

TEST_F(gpu_c, layers_and_tensors_may_have_places_of_their_own) {
  const gpu_scene g(random_scene(all_codings().front(), 13), page_layout::token_major,
                    page_layout::token_major);
  std::vector<std::byte*> bases, pointers;
  const cuda::block_places whole = g.numbers_at.cache.blocks;
  for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer) {
    bases.push_back(whole.base + layer * whole.layer_stride_bytes);
    for (const std::int32_t number : g.order)
      pointers.push_back(bases.back() + number * whole.block_stride_bytes);
  }
  const device_array<std::byte*> bases_dev{std::span<std::byte* const>(bases)};
  const device_array<std::byte*> pointers_dev{std::span<std::byte* const>(pointers)};
  c_scene c(g, output::slots);
  skv_cuda_block_places& k = c.numbers.tensors[0].blocks;
  k.layer_bases_dev = reinterpret_cast<void* const*>(bases_dev.data());
  k.block_stride_bytes = whole.block_stride_bytes;
  k.indices_dev = whole.indices_dev;
  skv_cuda_block_places& v = c.numbers.tensors[1].blocks;
  v.pointers_dev = reinterpret_cast<void* const*>(pointers_dev.data());
  v.pointer_layer_stride = g.scene.items;
  c.numbers.blocks = {};
  ASSERT_EQ(c.encode(nullptr), SKV_OK) << skv_last_error();
  check(cudaDeviceSynchronize());
  g.expect_cpu_bytes(output::slots);
  g.cache.forget();
  ASSERT_EQ(c.decode(nullptr), SKV_OK) << skv_last_error();
  check(cudaDeviceSynchronize());
  g.expect_restored(output::slots);

  v.pointers_dev =
      reinterpret_cast<void* const*>(reinterpret_cast<std::byte*>(pointers_dev.data()) + 1);
  EXPECT_EQ(c.encode(nullptr), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("pointers_dev: misaligned pointer"));
}

TEST_F(gpu_c, a_batch_may_have_some_layers) {
  const gpu_scene g(random_scene(all_codings().front(), 12), page_layout::token_major,
                    page_layout::token_major);
  c_scene c(g, output::slots);
  ASSERT_GT(g.plan.layers, 1u);
  c.batch.layers = 1;
  for (std::uint32_t layer = g.plan.layers; layer-- > 0;) {
    c.batch.first_layer = layer;
    ASSERT_EQ(c.encode(nullptr), SKV_OK) << skv_last_error();
  }
  check(cudaDeviceSynchronize());
  g.expect_cpu_bytes(output::slots);
  g.cache.forget();
  for (c.batch.first_layer = 0; c.batch.first_layer < g.plan.layers; ++c.batch.first_layer)
    ASSERT_EQ(c.decode(nullptr), SKV_OK) << skv_last_error();
  check(cudaDeviceSynchronize());
  g.expect_restored(output::slots);
  EXPECT_EQ(c.encode(nullptr), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("layers that the geometry does not have"));

  // Of a caller that does not know of layers, all are meant.
  g.cache.forget();
  c.batch.struct_size = offsetof(skv_cuda_batch, first_layer);
  ASSERT_EQ(c.decode(nullptr), SKV_OK) << skv_last_error();
  check(cudaDeviceSynchronize());
  g.expect_restored(output::slots);
}

TEST_F(gpu_c, a_codec_answers_as_the_one_it_stands_for) {
  const gpu_scene g(random_scene(all_codings().front(), 5), page_layout::token_major,
                    page_layout::token_major);
  const c_scene c(g, output::packed);
  std::uint32_t tiles = 0, block_bytes = 0;
  std::uint64_t bytes = 0;
  std::size_t work = 0;
  EXPECT_EQ(skv_cuda_tiles_per_block(c.codec.get(), &tiles), SKV_OK);
  EXPECT_EQ(tiles, g.coder.tiles_per_block());
  EXPECT_EQ(skv_cuda_max_block_bytes(c.codec.get(), &block_bytes), SKV_OK);
  EXPECT_EQ(block_bytes, g.coder.max_block_bytes());
  EXPECT_EQ(skv_cuda_max_compressed_bytes(c.codec.get(), 7, &bytes), SKV_OK);
  EXPECT_EQ(bytes, g.coder.max_compressed_bytes(7));
  EXPECT_EQ(skv_cuda_workspace_bytes(c.codec.get(), 7, nullptr, &work), SKV_OK);
  EXPECT_EQ(work, g.coder.workspace_bytes(7));
  EXPECT_EQ(skv_cuda_tiles_per_block(c.codec.get(), nullptr), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_max_compressed_bytes(c.codec.get(), ~0u, &bytes), SKV_INVALID_ARGUMENT);

  skv_cuda_codec* const again = skv_cuda_codec_retain(c.codec.get());
  EXPECT_EQ(again, c.codec.get());
  skv_cuda_codec_release(again);
  EXPECT_EQ(skv_cuda_tiles_per_block(c.codec.get(), &tiles), SKV_OK) << "one reference is left";
}

TEST_F(gpu_c, calls_that_lack_something_are_refused) {
  const gpu_scene g(random_scene(all_codings().front(), 6), page_layout::token_major,
                    page_layout::token_major);
  const auto refused = [&](output how, const char* why, auto&& change) {
    c_scene c(g, how);
    change(c);
    EXPECT_EQ(c.encode(nullptr), SKV_INVALID_ARGUMENT) << why;
    EXPECT_THAT(skv_last_error(), HasSubstr(why));
  };
  refused(output::packed, "multiple of 16",
          [](c_scene& c) { c.out.packed = static_cast<std::byte*>(c.out.packed) + 8; });
  refused(output::packed, "offsets", [](c_scene& c) { c.out.offsets = nullptr; });
  refused(output::slots, "multiples of 4", [](c_scene& c) { ++c.out.slots.block_stride_bytes; });
  refused(output::slots, "records", [](c_scene& c) { c.out.records = nullptr; });
  refused(output::slots, "numbers: no blocks are given",
          [](c_scene& c) { c.numbers.blocks.base = nullptr; });
  refused(output::slots, "2^31 - 1", [](c_scene& c) { c.batch.items = ~0u; });

  const c_scene in_place(g, output::in_place);
  auto wanted = sized<skv_cuda_wanted_range>();
  wanted.first_token = 1;
  EXPECT_EQ(in_place.decode(nullptr, &wanted), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("in place"));
}

}  // namespace
}  // namespace skv::gpu
