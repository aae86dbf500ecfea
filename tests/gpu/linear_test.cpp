// Linear propagation on a device: the CPU's means and, with the codec, its bytes; and back.
#include <gtest/gtest.h>

#include "gpu/coded_tensors.hpp"
#include "gpu/linear_pass.hpp"
#include "gpu/separate_blocks.hpp"

namespace skv::gpu {
namespace {

class gpu_linear : public on_device<testing::TestWithParam<linear_kind>> {};
INSTANTIATE_TEST_SUITE_P(kinds, gpu_linear, testing::ValuesIn(linear_kinds()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_linear, makes_the_cpus_means_and_bytes) {
  for (std::uint64_t seed = 1; seed <= repeats(3); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const linear_pass p(linear_scene(GetParam(), seed), kPageLayouts[seed % 4],
                        kPageLayouts[(seed + 1) % 4]);
    p.encode(nullptr);
    check(cudaDeviceSynchronize());
    p.expect_cpu_means();
    p.g.expect_cpu_bytes(output::slots);
    if (HasFatalFailure()) return;
  }
}

// Layer after layer, tensor after tensor: only what is decoded is known.
TEST_P(gpu_linear, a_decoder_restores_every_bit) {
  const linear_pass p(linear_scene(GetParam(), 11, 0), page_layout::token_major,
                      page_layout::head_major);
  const coded_tensors c(p.all.scene);
  const cuda::paged_cache numbers = p.g.numbers_at.cache;
  p.take_outside(nullptr);
  cuda::linear_predictor encoding = p.predictor();
  ASSERT_TRUE(
      c.coder.encode_async(encoding, p.batch().blocks, numbers, c.places(), c.room(), nullptr));
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();
  c.expect_cpu_bytes(p.all.scene, p.g.plan);

  p.g.cache.forget();
  p.forget();
  p.take_outside(nullptr);
  cuda::linear_predictor decoding = p.predictor();
  ASSERT_TRUE(c.coder.decode_async(decoding, p.batch().blocks, as_stored(c.places()), numbers,
                                   c.decoded.data(), c.room(), nullptr));
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();
  p.g.expect_numbers();
  c.expect_decoded();
}

TEST_P(gpu_linear, tensors_may_have_blocks_of_their_own) {
  const linear_pass p(linear_scene(GetParam(), 15), page_layout::token_major,
                      page_layout::head_major);
  const gpu_scene& g = p.g;
  const separate_blocks numbers(g, g.numbers_at, g.cache, way::layer_bases);
  const separate_blocks bases(g, g.means_at, p.bases, way::pointers);
  separate_blocks means(g, g.means_at, g.means, way::layer_bases);
  if (GetParam().has_outside) {
    cuda::paged_cache draft = p.draft_at();
    draft.tensors[0].blocks = std::exchange(draft.blocks, {});
    p.take_outside(draft, nullptr);
  }
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    // Some are missing here.
    cuda::paged_cache told = numbers.cache();
    told.tensors[i].blocks.indices_dev = p.numbers_at(layer, i).blocks.indices_dev;
    ASSERT_TRUE(p.steps.predict_async(layer, i, p.batch(), bases.cache(), means.cache(), p.room(),
                                      nullptr));
    ASSERT_TRUE(p.steps.update_async(layer, i, p.batch(), told, bases.cache(), p.room(), nullptr));
  });
  ASSERT_TRUE(g.coder.encode_async(g.batch(), numbers.cache(), means.cache(),
                                   g.places(output::slots), g.room(), nullptr));
  check(cudaDeviceSynchronize());
  means.gather(g.means);
  p.expect_cpu_means();
  g.expect_cpu_bytes(output::slots);
}

TEST_P(gpu_linear, a_captured_graph_does_the_same_each_time) {
  const linear_pass p(linear_scene(GetParam(), 21), page_layout::interleaved,
                      page_layout::token_major);
  const captured_graph graph([&](cudaStream_t stream) { p.encode(stream); });
  for (int replay = 0; replay < 2; ++replay) {
    p.forget();
    graph.replay();
    p.expect_cpu_means();
    p.g.expect_cpu_bytes(output::slots);
  }
}

// On one multiprocessor, over fewer items than there can be.
TEST_P(gpu_linear, items_that_are_not_there_are_left_alone) {
  linear_pass p(linear_scene(GetParam(), 31), page_layout::token_major, page_layout::token_major);
  p.limits.multiprocessors = 1;
  const std::uint32_t count = p.all.scene.items / 2;
  check(cudaMemcpy(p.item_count.data(), &count, 4, cudaMemcpyHostToDevice));
  p.g.set_item_count(count);
  p.encode(nullptr);
  check(cudaDeviceSynchronize());
  auto host = p.g.means.to_host();
  const std::vector<logical_tensor> untouched = [&] {
    std::vector<logical_tensor> u = p.all.scene.means;
    for (logical_tensor& t : u) std::ranges::fill(t, std::byte{0x5a});
    return u;
  }();
  p.g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
    ASSERT_TRUE(p.all.scene.equal(
        item < count ? p.all.scene.means : untouched, p.g.means_at.cache, layer, item,
        p.g.host_block(p.g.means_at, host, layer, p.g.order[item]), p.all.scene.mean()));
  });
}

class gpu_linear_geometry : public gpu_linear {};
INSTANTIATE_TEST_SUITE_P(all, gpu_linear_geometry, testing::Values(linear_kind{}),
                         [](const auto& p) { return name_of(p.param); });

// As a model that skips a layer; and a layer that this batch lacks.
TEST_P(gpu_linear_geometry, a_layer_that_is_not_there_counts_as_zeros) {
  linear_scene s(GetParam(), 41, 0);
  for (std::uint32_t item = 0; item < s.scene.items; ++item)
    for (std::uint32_t i = 0; i < s.scene.geometry.tensor_count; ++i)
      s.is_missing[s.scene.index(0, item, i)] = true;
  s.predict();
  linear_pass p(std::move(s), page_layout::token_major, page_layout::token_major);
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    p.predict(layer, i, nullptr);
    if (layer != 0) return p.update(layer, i, nullptr);
    ASSERT_TRUE(p.steps.update_async(layer, i, p.batch(), {}, {}, p.room(), nullptr));
  });
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();

  cuda::block_geometry behind = p.all.scene.geometry;
  ++behind.first_layer;
  --behind.layers;
  const cuda::linear later = p.made(p.all.scene, behind);
  EXPECT_TRUE(p.steps.starts_chain(0));
  EXPECT_FALSE(later.starts_chain(0));
  const auto skip = [](cuda::paged_cache c) {
    c.blocks.base += c.blocks.layer_stride_bytes;
    return c;
  };
  p.forget();
  for (std::uint32_t layer = 0; layer < behind.layers; ++layer)
    for (std::uint32_t i = 0; i < behind.tensor_count; ++i) {
      ASSERT_TRUE(later.predict_async(layer, i, p.batch(), skip(p.bases_at()),
                                      skip(p.g.means_at.cache), p.room(), nullptr));
      ASSERT_TRUE(later.update_async(layer, i, p.batch(), skip(p.numbers_at(layer + 1, i)),
                                     skip(p.bases_at()), p.room(), nullptr));
    }
  check(cudaDeviceSynchronize());
  p.expect_cpu_means(1);
}

TEST_P(gpu_linear_geometry, a_chain_may_begin_where_the_profile_restarts) {
  linear_kind k = GetParam();
  k.restart_every = 2;
  const linear_pass p(linear_scene(k, 51, 0), page_layout::token_major, page_layout::token_major);
  ASSERT_EQ(p.g.plan.layers, 4u);
  for (std::uint32_t layer = 0; layer < 4; ++layer)
    EXPECT_EQ(p.steps.starts_chain(layer), layer % 2 == 0);
  for (std::uint32_t layer = 2; layer < 4; ++layer)
    for (std::uint32_t i = 0; i < p.g.plan.tensor_count; ++i) {
      p.predict(layer, i, nullptr);
      p.update(layer, i, nullptr);
    }
  check(cudaDeviceSynchronize());
  p.expect_cpu_means(2);
}

// A request's blocks, one behind the other, with all tokens.
TEST_P(gpu_linear_geometry, without_positions_items_follow_each_other) {
  linear_scene s(GetParam(), 61);
  for (std::uint32_t item = 0; item < s.scene.items; ++item) {
    s.scene.token_counts[item] = s.scene.geometry.tokens;
    s.first_positions[item] = item * s.scene.geometry.tokens;
  }
  s.predict();
  const linear_pass p(std::move(s), page_layout::token_major, page_layout::token_major);
  const cuda::linear_batch batch{{p.all.scene.items}, nullptr};
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    ASSERT_TRUE(p.steps.predict_async(layer, i, batch, p.bases_at(), p.g.means_at.cache, p.room(),
                                      nullptr));
    ASSERT_TRUE(p.steps.update_async(layer, i, batch, p.numbers_at(layer, i), p.bases_at(),
                                     p.room(), nullptr));
  });
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();
}

TEST_P(gpu_linear_geometry, senseless_calls_are_refused) {
  linear_kind k = GetParam();
  k.has_outside = true;
  const linear_pass p(linear_scene(k, 71), page_layout::token_major, page_layout::token_major);
  const auto predicted = [&](std::uint32_t layer, std::uint32_t i, const cuda::linear_batch& batch,
                             const cuda::paged_cache& bases, const cuda::paged_cache& means,
                             cuda::workspace room) {
    return p.steps.predict_async(layer, i, batch, bases, means, room, nullptr).code();
  };
  const cuda::paged_cache bases = p.bases_at(), means = p.g.means_at.cache;
  EXPECT_EQ(predicted(0, 0, p.batch(), bases, means, p.room()), status::ok);
  EXPECT_EQ(predicted(3, 0, p.batch(), bases, means, p.room()), status::invalid_argument);
  EXPECT_EQ(predicted(0, 2, p.batch(), bases, means, p.room()), status::invalid_argument);
  EXPECT_EQ(predicted(0, 0, p.batch(), {}, means, p.room()), status::invalid_argument);
  EXPECT_EQ(predicted(0, 0, p.batch(), bases, {}, p.room()), status::invalid_argument);
  cuda::paged_cache odd = means;
  ++odd.tensors[0].offset_bytes;
  EXPECT_EQ(predicted(0, 0, p.batch(), bases, odd, p.room()), status::invalid_argument);
  EXPECT_EQ(predicted(0, 0, p.batch(), bases, means, {p.room().data, p.room().bytes - 1}),
            status::invalid_argument);
  EXPECT_EQ(predicted(0, 0, p.batch(), bases, means, {nullptr, p.room().bytes}),
            status::invalid_argument);
  cuda::linear_batch vast = p.batch();
  vast.blocks.items = 0xffffffff;
  EXPECT_EQ(predicted(0, 0, vast, bases, means, {p.room().data, std::size_t(-1)}),
            status::invalid_argument);
  EXPECT_EQ(p.steps.take_async(2, p.batch(), {p.embedded.data()}, p.room(), nullptr).code(),
            status::invalid_argument);
  EXPECT_EQ(p.steps.take_async(0, p.batch(), {}, p.room(), nullptr).code(),
            status::invalid_argument);
  EXPECT_EQ(p.steps.take_draft_async(0, p.batch(), means, p.room(), nullptr).code(),
            status::invalid_argument);

  const auto made = [&](const profile_ptr& of, const cuda::block_geometry& g) {
    return cuda::linear::make(of, g).code();
  };
  const paged_scene& s = p.all.scene;
  cuda::block_geometry other = s.geometry;
  other.tensors[1].heads += 1;
  EXPECT_EQ(made(s.used_profile, other), status::wrong_profile);
  other = s.geometry;
  other.first_layer = 1000;
  EXPECT_EQ(made(s.used_profile, other), status::wrong_profile);
  other = s.geometry;
  other.tensors[1] = other.tensors[0];
  EXPECT_EQ(made(s.used_profile, other), status::invalid_argument);
  other = s.geometry;
  other.tokens = 0;
  EXPECT_EQ(made(s.used_profile, other), status::invalid_argument);
  EXPECT_EQ(made(default_profile_of(s.id), s.geometry), status::invalid_argument);
}

}  // namespace
}  // namespace skv::gpu
