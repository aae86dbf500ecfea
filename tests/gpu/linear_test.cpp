// Linear propagation on a device: the CPU's means and, with the codec, its bytes; and back.
#include <gtest/gtest.h>

#include <skv/skv_cuda.h>
#include <memory>
#include <skv/cuda/linear.hpp>

#include "gpu/gpu_scene.hpp"
#include "support/linear_scene.hpp"

namespace skv::gpu {
namespace {

/// A scene on a device.
struct linear_pass {
  linear_scene all;
  gpu_scene g;
  cuda::linear steps;
  device_array<std::byte> bases, draft;
  device_array<std::uint32_t> first_positions, ids, item_count;
  device_array<std::int8_t> embedded;
  device_array<std::int32_t> draft_indices;
  device_array<std::byte> passed_on;
  std::vector<std::unique_ptr<device_array<std::int32_t>>> indices;  // [layers][tensors]
  cuda::launch_limits limits;

  static cuda::linear made(const paged_scene& s, const cuda::block_geometry& g) {
    auto l = cuda::linear::make(s.used_profile, g);
    if (!l) throw std::runtime_error(l.failure().message);
    return *std::move(l);
  }
  template <class T>
  static std::span<const T> all_of(const std::vector<T>& v) {
    return v;
  }
  static std::vector<std::byte> joined(const std::vector<logical_tensor>& parts) {
    std::vector<std::byte> all;
    for (const logical_tensor& p : parts) all.insert(all.end(), p.begin(), p.end());
    return all;
  }
  static std::vector<std::int32_t> indices_of(const std::vector<bool>& missing) {
    std::vector<std::int32_t> there;
    for (const bool m : missing) there.push_back(m ? -1 : static_cast<std::int32_t>(there.size()));
    return there;
  }

  linear_pass(linear_scene s, page_layout layout, page_layout mean_layout)
      : all(std::move(s)),
        g(all.scene, layout, mean_layout),
        steps(made(all.scene, all.scene.geometry)),
        bases(g.means_at.bytes),
        draft(std::span<const std::byte>(joined(all.draft))),
        first_positions(all_of(all.first_positions)),
        ids(all_of(all.ids)),
        item_count(std::span<const std::uint32_t>(&all.scene.items, 1)),
        embedded(all_of(all.embedded)),
        draft_indices(all_of(indices_of(all.is_missing_in_draft))),
        passed_on(steps.workspace_bytes(all.scene.items)) {
    g.upload(g.means_at, bases, all.bases, all.scene.mean());
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) {
        std::vector<std::int32_t> there = g.order;
        for (std::uint32_t item = 0; item < all.scene.items; ++item)
          if (all.is_missing[all.scene.index(layer, item, i)]) there[item] = -1;
        indices.push_back(
            std::make_unique<device_array<std::int32_t>>(std::span<const std::int32_t>(there)));
      }
    forget();
  }
  /// Means and what is passed on become garbage.
  void forget() const {
    g.means.fill(0x5a);
    passed_on.fill(0x5a);
  }

  cuda::linear_batch batch() const {
    return {{all.scene.items, item_count.data(), g.token_counts.data()}, first_positions.data()};
  }
  cuda::paged_cache bases_at() const {
    cuda::paged_cache c = g.means_at.cache;
    c.blocks.base = bases.data();
    return c;
  }
  cuda::paged_cache numbers_at(std::uint32_t layer, std::uint32_t i) const {
    cuda::paged_cache numbers = g.numbers_at.cache;
    numbers.blocks.indices_dev = indices[layer * g.plan.tensor_count + i]->data();
    return numbers;
  }
  cuda::paged_cache draft_at() const {
    const linear_outside& d = all.scene.used_profile->content().linear->outside[1];
    cuda::paged_cache c;
    c.blocks.base = draft.data();
    c.blocks.indices_dev = draft_indices.data();
    c.tensors[0] = {0, 2 * std::int64_t{d.width()}, 2 * std::int64_t{d.head_dim}};
    c.blocks.block_stride_bytes = c.tensors[0].token_stride_bytes * g.plan.tokens;
    return c;
  }
  cuda::workspace room() const { return {passed_on.data(), passed_on.size()}; }

  void take_outside(cudaStream_t stream) const {
    if (!all.kind.has_outside) return;
    const auto vocabulary = all.scene.used_profile->content().linear->outside[0].vocabulary;
    ASSERT_TRUE(steps.take_async(0, batch(), {embedded.data(), ids.data(), vocabulary}, room(),
                                 stream, limits));
    ASSERT_TRUE(steps.take_draft_async(1, batch(), draft_at(), room(), stream, limits));
  }
  void predict(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    const auto done = steps.predict_async(layer, i, batch(), bases_at(), g.means_at.cache, room(),
                                          stream, limits);
    ASSERT_TRUE(done) << done.failure().message;
  }
  void update(std::uint32_t layer, std::uint32_t i, cudaStream_t stream) const {
    const auto done = steps.update_async(layer, i, batch(), numbers_at(layer, i), bases_at(),
                                         room(), stream, limits);
    ASSERT_TRUE(done) << done.failure().message;
  }
  template <class F>
  void each_tensor(F&& f) const {
    for (std::uint32_t layer = 0; layer < g.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < g.plan.tensor_count; ++i) f(layer, i);
  }
  /// Everything that an encoder does: all numbers are there.
  void encode(cudaStream_t stream) const {
    take_outside(stream);
    each_tensor([&](std::uint32_t layer, std::uint32_t i) {
      predict(layer, i, stream);
      update(layer, i, stream);
    });
    ASSERT_TRUE(g.encode(output::slots, stream));
  }

  /// From a layer on.
  void expect_cpu_means(std::uint32_t first_layer = 0) const {
    auto host = g.means.to_host();
    g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      if (layer < first_layer) return;
      ASSERT_TRUE(all.scene.equal(all.scene.means, g.means_at.cache, layer, item,
                                  g.host_block(g.means_at, host, layer, g.order[item]),
                                  all.scene.mean()))
          << "layer " << layer << ", item " << item;
    });
    for (const auto* a : {&g.means, &bases, &passed_on, &draft}) ASSERT_TRUE(a->is_intact());
  }
};

class gpu_linear : public on_device<testing::TestWithParam<linear_kind>> {};
INSTANTIATE_TEST_SUITE_P(kinds, gpu_linear, testing::ValuesIn(linear_kinds()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_linear, makes_the_cpus_means_and_bytes) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
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

// Layer after layer, tensor after tensor, each decoded by a codec of its own: only then is it known.
TEST_P(gpu_linear, a_decoder_restores_every_bit) {
  const linear_pass p(linear_scene(GetParam(), 11, 0), page_layout::token_major,
                      page_layout::head_major);
  const gpu_scene& g = p.g;
  struct coded {
    cuda::codec coder;
    device_array<tile_record> records;
    device_array<std::uint32_t> sizes;
    device_array<status> statuses;
    device_array<std::byte> slots, work;

    coded(const linear_pass& p, const cuda::block_geometry& one)
        : coder(*cuda::codec::make(p.all.scene.used_profile, one)),
          records(coder.tiles_per_block() * p.all.scene.items),
          sizes(p.all.scene.items),
          statuses(p.all.scene.items),
          slots(coder.max_compressed_bytes(p.all.scene.items)),
          work(coder.workspace_bytes(p.all.scene.items)) {}
    cuda::encoded_places places() const {
      cuda::encoded_places out;
      out.slots.base = slots.data();
      out.slot_bytes = coder.max_block_bytes();
      out.slots.block_stride_bytes = out.slot_bytes;
      out.records = records.data();
      out.sizes = sizes.data();
      out.statuses = statuses.data();
      return out;
    }
    cuda::workspace room() const { return {work.data(), work.size()}; }
  };
  const auto layer_of = [](cuda::paged_cache c, std::uint32_t layer, std::uint32_t i) {
    c.blocks.base += layer * c.blocks.layer_stride_bytes;
    c.tensors[0] = c.tensors[i];
    return c;
  };
  std::vector<std::unique_ptr<coded>> tensors;
  p.take_outside(nullptr);
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    p.predict(layer, i, nullptr);
    p.update(layer, i, nullptr);
    cuda::block_geometry one = p.all.scene.geometry;
    one.first_layer += layer;
    one.layers = one.tensor_count = 1;
    one.tensors[0] = p.all.scene.geometry.tensors[i];
    tensors.push_back(std::make_unique<coded>(p, one));
    const coded& c = *tensors.back();
    ASSERT_TRUE(c.coder.encode_async(p.batch().blocks, layer_of(g.numbers_at.cache, layer, i),
                                     layer_of(g.means_at.cache, layer, i), c.places(), c.room(),
                                     nullptr));
  });
  if (HasFatalFailure()) return;

  g.cache.fill(0x5a);
  p.forget();
  p.take_outside(nullptr);
  p.each_tensor([&](std::uint32_t layer, std::uint32_t i) {
    const coded& c = *tensors[layer * g.plan.tensor_count + i];
    p.predict(layer, i, nullptr);
    ASSERT_TRUE(c.coder.decode_async(
        p.batch().blocks, as_stored(c.places()), layer_of(g.means_at.cache, layer, i),
        layer_of(g.numbers_at.cache, layer, i), false, {}, c.statuses.data(), c.room(), nullptr));
    p.update(layer, i, nullptr);
  });
  check(cudaDeviceSynchronize());
  p.expect_cpu_means();
  auto host = g.cache.to_host();
  g.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
    ASSERT_TRUE(p.all.scene.equal(p.all.scene.numbers, g.numbers_at.cache, layer, item,
                                  g.host_block(g.numbers_at, host, layer, g.order[item]),
                                  p.all.scene.target()));
  });
  for (const auto& c : tensors)
    for (const status s : c->statuses.to_host()) ASSERT_EQ(s, status::ok);
}

TEST_P(gpu_linear, a_captured_graph_does_the_same_each_time) {
  const linear_pass p(linear_scene(GetParam(), 21), page_layout::interleaved,
                      page_layout::token_major);
  cudaStream_t stream{};
  check(cudaStreamCreate(&stream));
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  p.encode(stream);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  for (int replay = 0; replay < 2; ++replay) {
    p.forget();
    check(cudaDeviceSynchronize());
    check(cudaGraphLaunch(executable, stream));
    check(cudaStreamSynchronize(stream));
    p.expect_cpu_means();
    p.g.expect_cpu_bytes(output::slots);
  }
  check(cudaGraphExecDestroy(executable));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
}

// On one multiprocessor, over fewer items than there can be.
TEST_P(gpu_linear, items_that_are_not_there_are_left_alone) {
  linear_pass p(linear_scene(GetParam(), 31), page_layout::token_major, page_layout::token_major);
  p.limits.multiprocessors = 1;
  const std::uint32_t count = p.all.scene.items / 2;
  check(cudaMemcpy(p.item_count.data(), &count, 4, cudaMemcpyHostToDevice));
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

struct release_linear {
  void operator()(skv_cuda_linear* l) const { skv_cuda_linear_release(l); }
};

// The same through the C ABI.
TEST_P(gpu_linear, the_c_abi_makes_the_same_means) {
  const linear_pass p(linear_scene(GetParam(), 81), page_layout::head_major,
                      page_layout::interleaved);
  const auto sized = []<class T>(T t) {
    t.struct_size = sizeof t;
    return t;
  };
  const auto to_c = [&](const cuda::paged_cache& c) {
    auto made = sized(skv_cuda_paged_cache{});
    made.blocks = {c.blocks.base, c.blocks.layer_stride_bytes, c.blocks.block_stride_bytes,
                   c.blocks.indices_dev, reinterpret_cast<void* const*>(c.blocks.pointers_dev)};
    for (std::uint32_t i = 0; i < cuda::kMaxTensors; ++i)
      made.tensors[i] = {c.tensors[i].offset_bytes, c.tensors[i].token_stride_bytes,
                         c.tensors[i].head_stride_bytes};
    return made;
  };
  const paged_scene& s = p.all.scene;
  auto geometry = sized(skv_cuda_geometry{});
  geometry.first_layer = s.geometry.first_layer;
  geometry.layers = s.geometry.layers;
  geometry.tokens = s.geometry.tokens;
  geometry.tensor_count = s.geometry.tensor_count;
  for (std::uint32_t i = 0; i < s.geometry.tensor_count; ++i) {
    const auto& t = s.geometry.tensors[i];
    geometry.tensors[i] = {static_cast<skv_kind>(t.kind), t.heads, t.head_dim, t.opaque_bytes};
  }
  skv_profile* profile = nullptr;
  skv_cuda_linear* made = nullptr;
  ASSERT_EQ(skv_profile_from_bytes(s.used_profile->bytes().data(), s.used_profile->bytes().size(),
                                   &profile),
            SKV_OK);
  ASSERT_EQ(skv_cuda_linear_create(profile, &geometry, &made), SKV_OK) << skv_last_error();
  skv_profile_release(profile);
  skv_cuda_linear_release(skv_cuda_linear_retain(made));
  const std::unique_ptr<skv_cuda_linear, release_linear> linear(made);
  std::size_t bytes = 0;
  int starts = -1;
  EXPECT_EQ(skv_cuda_linear_workspace_bytes(made, s.items, &bytes), SKV_OK);
  EXPECT_EQ(bytes, p.room().bytes);
  for (std::uint32_t layer = 0; layer < geometry.layers; ++layer) {
    EXPECT_EQ(skv_cuda_linear_starts_chain(made, layer, &starts), SKV_OK);
    EXPECT_EQ(starts, p.steps.starts_chain(layer));
  }
  auto batch = sized(skv_cuda_batch{});
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
