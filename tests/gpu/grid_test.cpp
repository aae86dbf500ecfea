// How large grids are: on all of the device, and under a limit of multiprocessors.
#include <kernels/prepared_kernel.hpp>

#include "gpu/device.hpp"
#include "support/paged_scene.hpp"

namespace skv::gpu {
namespace {

using grid = on_device<>;

TEST_F(grid, has_one_large_block_for_each_multiprocessor_that_may_be_used) {
  const cuda::device_properties device = *cuda::device_properties::current();
  cuda::block_geometry geometry;
  geometry.tensors[0] = {tensor_kind::k, 8, 128, 0};
  geometry.tensor_count = 1;
  for (const test::coding_id id : test::all_codings()) {
    cuda::plan_arrays arrays;
    const auto plan = cuda::make_plan(*test::default_profile_of(id), geometry, arrays);
    ASSERT_TRUE(plan);
    for (const bool encode : {false, true})
      for (const cuda::head_layout heads : cuda::kHeadLayouts) {
        const auto k = cuda::prepared_kernel::make(
            cuda::find_coding_kernel(encode, id.target, id.source, id.mean, heads), *plan, device);
        ASSERT_TRUE(k) << k.failure().message;
        const cuda::schedule all = k->grid_of({});
        EXPECT_GE(std::uint64_t{all.grid_blocks} * all.threads,
                  std::uint64_t{device.multiprocessors} * 768);
        const cuda::schedule one = k->grid_of({1});
        EXPECT_EQ(one.grid_blocks, 1u);
        EXPECT_GE(one.threads, 768u);
        EXPECT_EQ(k->grid_of({device.multiprocessors - 1}).grid_blocks, device.multiprocessors - 1);
        EXPECT_EQ(k->grid_of({device.multiprocessors}).grid_blocks, all.grid_blocks);
        // More warps than all of a batch has tiles for: a block each for what there is.
        const cuda::schedule few = k->schedule_of(*plan, 3, {1}, true);
        EXPECT_EQ(few.grid_blocks, 1u);
        EXPECT_EQ(few.round_blocks, 3u) << "one block of the grid does all three";
        EXPECT_EQ(k->schedule_of(*plan, 3, {}, true).round_blocks, 1u) << "each has its own";
      }
  }
}

}  // namespace
}  // namespace skv::gpu
