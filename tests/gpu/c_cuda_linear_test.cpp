// Linear propagation through the C ABI: the same means.
#include <gtest/gtest.h>

#include "gpu/c_cuda_scene.hpp"
#include "gpu/linear_pass.hpp"

namespace skv::gpu {
namespace {

class gpu_c_linear : public on_device<testing::TestWithParam<linear_kind>> {};
INSTANTIATE_TEST_SUITE_P(kinds, gpu_c_linear, testing::ValuesIn(linear_kinds()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_c_linear, makes_the_same_means) {
  const linear_pass p(linear_scene(GetParam(), 81), page_layout::head_major,
                      page_layout::interleaved);
  const paged_scene& s = p.all.scene;
  const skv_cuda_geometry geometry = to_c(s.geometry);
  skv_cuda_linear* made = nullptr;
  ASSERT_EQ(skv_cuda_linear_create(c_profile_of(*s.used_profile).get(), &geometry, &made), SKV_OK)
      << skv_last_error();
  skv_cuda_linear_release(skv_cuda_linear_retain(made));
  const c_linear linear(made);
  std::size_t bytes = 0;
  int starts = -1;
  EXPECT_EQ(skv_cuda_linear_workspace_bytes(made, s.items, &bytes), SKV_OK);
  EXPECT_EQ(bytes, p.room().bytes);
  std::size_t weights = 0;
  EXPECT_EQ(skv_cuda_linear_device_bytes(made, &weights), SKV_OK);
  EXPECT_EQ(weights, p.steps.device_bytes());
  for (std::uint32_t layer = 0; layer < geometry.layers; ++layer) {
    EXPECT_EQ(skv_cuda_linear_starts_chain(made, layer, &starts), SKV_OK);
    EXPECT_EQ(starts, p.steps.starts_chain(layer));
  }
  auto batch = sized<skv_cuda_batch>();
  batch.items = s.items;
  batch.token_counts_dev = p.g.token_counts.data();
  const std::uint32_t* const first = p.first_positions.data();
  const skv_cuda_paged_cache bases = to_c(p.bases_at()), means = to_c(p.g.means_at.cache);
  if (p.all.kind.has_outside) {
    const linear_model& m = *s.used_profile->content().linear;
    const skv_cuda_paged_cache draft = to_c(p.draft_at());
    ASSERT_EQ(
        skv_cuda_linear_take_async(made, 0, &batch, p.embedded.data(), p.ids.data(),
                                   m.outside[0].vocabulary, p.room().data, bytes, nullptr, nullptr),
        SKV_OK);
    ASSERT_EQ(skv_cuda_linear_take_draft_async(made, 1, &batch, first, &draft, p.room().data, bytes,
                                               nullptr, nullptr),
              SKV_OK);
  }
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    const skv_cuda_paged_cache numbers = to_c(p.numbers_at(layer, i));
    ASSERT_EQ(skv_cuda_linear_predict_async(made, layer, i, &batch, first, &bases, &means,
                                            p.room().data, bytes, nullptr, nullptr),
              SKV_OK)
        << skv_last_error();
    ASSERT_EQ(skv_cuda_linear_update_async(made, layer, i, &batch, first, &numbers, &bases,
                                           p.room().data, bytes, nullptr, nullptr),
              SKV_OK)
        << skv_last_error();
  });
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();
}

}  // namespace
}  // namespace skv::gpu
