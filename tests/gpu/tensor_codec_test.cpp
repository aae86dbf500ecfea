// Layer by layer on a stream, with a predictor that is none of the library's and sees what was decoded.
#include <gtest/gtest.h>

#include "gpu/closed_loop.hpp"

namespace skv::gpu {
namespace {

static_assert(cuda::stream_predictor<recurrence> && predictor<recurrence_on_cpu>);

class gpu_tensor_codec : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu_tensor_codec,
                         testing::Values(kGiven, coding_id{format_id::e4m3, mean_source::given,
                                                           format_id::e4m3}),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu_tensor_codec, writes_the_cpus_tensors_and_restores_every_bit) {
  for (std::uint64_t seed = 1; seed <= repeats(3); ++seed) {
    const closed_loop c(recurrence_scene(GetParam(), seed));
    c.encoding.begin(nullptr);
    ASSERT_TRUE(c.encode(c.encoding, c.g.batch(), nullptr));
    check(cudaDeviceSynchronize());
    c.expect_cpu_tensors();
    c.coded.expect_cpu_bytes(c.all.scene, c.g.plan);
    c.g.cache.forget();
    c.g.means.forget();
    c.decoding.begin(nullptr);
    ASSERT_TRUE(c.decode(c.decoding, c.g.batch(), nullptr));
    check(cudaDeviceSynchronize());
    c.expect_restored();
    if (HasFatalFailure()) return;
  }
}

// Some layers at a time, in turns with another batch on another stream.
TEST_P(gpu_tensor_codec, two_streams_go_through_their_layers_at_once) {
  const closed_loop both[] = {closed_loop(recurrence_scene(GetParam(), 11)),
                              closed_loop(recurrence_scene(GetParam(), 12))};
  cudaStream_t streams[2];
  for (cudaStream_t& s : streams) check(cudaStreamCreate(&s));
  const auto in_turns = [&](auto&& walk) {
    for (const auto& [first, count] : {std::pair{0u, 1u}, std::pair{1u, 2u}, std::pair{3u, 0u}})
      for (int i = 0; i < 2; ++i)
        ASSERT_TRUE(walk(both[i], both[i].g.batch(first, count), streams[i]));
  };
  for (int i = 0; i < 2; ++i) both[i].encoding.begin(streams[i]);
  in_turns([](const closed_loop& c, const cuda::block_batch& batch, cudaStream_t stream) {
    return c.encode(c.encoding, batch, stream);
  });
  for (int i = 0; i < 2; ++i) {
    check(cudaMemsetAsync(both[i].g.cache.data(), 0x5a, both[i].g.cache.size(), streams[i]));
    both[i].decoding.begin(streams[i]);
  }
  in_turns([](const closed_loop& c, const cuda::block_batch& batch, cudaStream_t stream) {
    return c.decode(c.decoding, batch, stream);
  });
  check(cudaDeviceSynchronize());
  for (const closed_loop& c : both) {
    c.expect_cpu_tensors();
    c.expect_restored();
  }
  for (cudaStream_t s : streams) check(cudaStreamDestroy(s));
}

TEST_P(gpu_tensor_codec, a_captured_graph_does_the_same_each_time) {
  const closed_loop c(recurrence_scene(GetParam(), 21));
  const captured_graph graph([&](cudaStream_t stream) { c.round_trip(stream); });
  for (int replay = 0; replay < 2; ++replay) {
    for (const auto& a : c.coded.of) {
      a->records.forget();
      a->slots.forget();
    }
    c.coded.decoded.forget();
    graph.replay();
    c.expect_cpu_tensors();
    c.expect_restored();
  }
}

// In V of the layer 1: what comes before is right, and all that follows is founded on wrong numbers.
TEST_P(gpu_tensor_codec, one_other_weight_is_a_wrong_prediction) {
  const closed_loop c(recurrence_scene(GetParam(), 31));
  c.encoding.begin(nullptr);
  ASSERT_TRUE(c.encode(c.encoding, c.g.batch(), nullptr));
  recurrence_model other = c.all.model;
  other.weights[other.first_weight(1, 1) + 17].own ^= 0x20;
  const recurrence wrong(other, c.g.batch(), c.g.means_at.cache);
  wrong.begin(nullptr);
  c.g.cache.forget();
  ASSERT_TRUE(c.decode(wrong, c.g.batch(), nullptr));
  check(cudaDeviceSynchronize());
  const std::vector<status> decoded = c.coded.decoded.to_host();
  c.coded.each_block(
      [&](std::uint32_t layer, std::uint32_t item, std::uint32_t i, std::size_t index) {
        const bool is_right =
            layer == 0 || (layer == 1 && i == 0) || c.all.scene.token_counts[item] == 0;
        EXPECT_EQ(decoded[i * c.coded.layers * c.coded.items + index],
                  is_right ? status::ok : status::wrong_prediction)
            << "layer " << layer << ", tensor " << i << ", item " << item;
      });
}

// The means of a layer come from the layers before, so its blocks need no place of their own in what is
// decoded first.
TEST_P(gpu_tensor_codec, blocks_that_stayed_raw_are_seen_where_they_lie) {
  const closed_loop c(recurrence_scene(GetParam(), 41));
  c.encoding.begin(nullptr);
  ASSERT_TRUE(c.encode(c.encoding, c.g.batch(), nullptr));
  check(cudaDeviceSynchronize());
  std::vector<std::uint32_t> sizes = c.coded.of[1]->sizes.to_host();
  std::ranges::sort(sizes);
  const std::uint32_t room = sizes[sizes.size() / 2];
  c.encoding.begin(nullptr);
  ASSERT_TRUE(c.encode(c.encoding, c.g.batch(), nullptr, room));
  check(cudaDeviceSynchronize());
  std::vector<logical_tensor> kept = c.all.scene.numbers;
  std::size_t raw = 0;
  c.coded.each_block(
      [&](std::uint32_t layer, std::uint32_t item, std::uint32_t i, std::size_t index) {
        const bool is_raw = c.coded.of[i]->statuses.to_host()[index] == status::does_not_fit;
        ASSERT_TRUE(is_raw || c.coded.of[i]->statuses.to_host()[index] == status::ok);
        raw += is_raw;
        if (!is_raw) std::ranges::fill(kept[c.all.scene.index(layer, item, i)], std::byte{0x5a});
      });
  ASSERT_GT(raw, 0u);
  c.g.upload(c.g.numbers_at, c.g.cache, kept, c.all.scene.target());
  c.decoding.begin(nullptr);
  ASSERT_TRUE(c.decode(c.decoding, c.g.batch(), nullptr, room));
  check(cudaDeviceSynchronize());
  c.g.expect_numbers();
  const auto decoded = c.coded.decoded.to_host();
  c.coded.each_block(
      [&](std::uint32_t layer, std::uint32_t item, std::uint32_t i, std::size_t index) {
        EXPECT_EQ(decoded[i * c.coded.layers * c.coded.items + index],
                  c.coded.of[i]->statuses.to_host()[index])
            << "layer " << layer << ", tensor " << i << ", item " << item;
      });
}

/// Fails at one of its calls.
struct failing {
  const recurrence& p;
  int predictions_left, updates_left;
  int calls = 0;

  static error failure() { return fail(status::io_error, "the predictor has lost its weights"); }
  result<cuda::paged_cache> predict_async(std::uint32_t layer, std::uint32_t tensor, void* stream) {
    ++calls;
    if (predictions_left-- == 0) return failure();
    return p.predict_async(layer, tensor, stream);
  }
  result<done> update_async(std::uint32_t layer, std::uint32_t tensor,
                            const cuda::paged_cache& numbers, void* stream) {
    ++calls;
    if (updates_left-- == 0) return failure();
    return p.update_async(layer, tensor, numbers, stream);
  }
};

TEST_P(gpu_tensor_codec, what_fails_ends_the_walk) {
  const closed_loop c(recurrence_scene(GetParam(), 51));
  c.encoding.begin(nullptr);
  c.decoding.begin(nullptr);
  const auto expect_end = [](const result<done>& r, const failing& p, int calls) {
    ASSERT_FALSE(r);
    EXPECT_EQ(r.failure().message, failing::failure().message);
    EXPECT_EQ(r.code(), status::io_error);
    EXPECT_EQ(p.calls, calls);
  };
  for (const auto& [predictions, updates, calls] :
       {std::tuple{0, -1, 1}, {-1, 0, 2}, {3, -1, 7}, {-1, 3, 8}}) {
    failing encoding{c.encoding, predictions, updates}, decoding{c.decoding, predictions, updates};
    expect_end(c.encode(encoding, c.g.batch(), nullptr), encoding, calls);
    expect_end(c.decode(decoding, c.g.batch(), nullptr), decoding, calls);
  }

  // And what a codec refuses: here a cache of means that is nowhere.
  struct nowhere {
    int updates = 0;
    result<cuda::paged_cache> predict_async(std::uint32_t, std::uint32_t, void*) {
      return cuda::paged_cache{};
    }
    result<done> update_async(std::uint32_t, std::uint32_t, const cuda::paged_cache&, void*) {
      ++updates;
      return done{};
    }
  } p;
  EXPECT_EQ(c.encode(p, c.g.batch(), nullptr).code(), status::invalid_argument);
  EXPECT_EQ(c.decode(p, c.g.batch(), nullptr).code(), status::invalid_argument);
  EXPECT_EQ(p.updates, 0);
}

TEST_P(gpu_tensor_codec, senseless_calls_are_refused) {
  const closed_loop c(recurrence_scene(GetParam(), 61));
  failing never{c.encoding, -1, -1};
  EXPECT_EQ(c.encode(never, c.g.batch(4, 0), nullptr).code(), status::invalid_argument);
  EXPECT_EQ(c.decode(never, c.g.batch(2, 3), nullptr).code(), status::invalid_argument);
  cuda::encoded_tensors packed = c.coded.places();
  packed.tensors[1].packed = c.coded.of[1]->slots.data();
  EXPECT_EQ(
      c.coded.coder
          .encode_async(never, c.g.batch(), c.g.numbers_at.cache, packed, c.coded.room(), nullptr)
          .code(),
      status::invalid_argument);
  cuda::encoded_tensors in_place = c.coded.places();
  in_place.tensors[1].slots = c.g.numbers_at.cache.blocks;
  EXPECT_EQ(
      c.coded.coder
          .encode_async(never, c.g.batch(), c.g.numbers_at.cache, in_place, c.coded.room(), nullptr)
          .code(),
      status::invalid_argument);
  // In the blocks of another tensor, of which there are bases only; the base that is left over does not count.
  cuda::paged_cache apart = c.g.numbers_at.cache;
  apart.tensors[0].blocks = apart.blocks;
  apart.tensors[0].blocks.layer_bases_dev = reinterpret_cast<std::byte**>(c.g.cache.data());
  in_place.tensors[1].slots = apart.tensors[0].blocks;
  in_place.tensors[1].slots.base = nullptr;
  const auto refused =
      c.coded.coder.encode_async(never, c.g.batch(), apart, in_place, c.coded.room(), nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.failure().message, "tensors are not encoded in place");
  EXPECT_EQ(c.coded.coder
                .decode_async(never, c.g.batch(), as_stored(c.coded.places()), c.g.numbers_at.cache,
                              nullptr, c.coded.room(), nullptr)
                .code(),
            status::invalid_argument);
  EXPECT_EQ(never.calls, 0);

  const auto made = [](const profile_ptr& p, const cuda::block_geometry& g) {
    return cuda::tensor_codec::make(p, g).code();
  };
  const paged_scene& s = c.all.scene;
  EXPECT_EQ(made(s.used_profile, s.geometry), status::ok);
  EXPECT_EQ(made(default_profile_of({s.id.target, mean_source::none, s.id.target}), s.geometry),
            status::invalid_argument);
  cuda::block_geometry other = s.geometry;
  other.tensors[1].opaque_bytes = 12;
  EXPECT_EQ(made(s.used_profile, other), status::invalid_argument);
  for (const std::uint32_t count : {0u, 5u}) {
    other = s.geometry;
    other.tensor_count = count;
    EXPECT_EQ(made(s.used_profile, other), status::invalid_argument);
  }
  other = s.geometry;
  other.layers = 0;
  EXPECT_EQ(made(s.used_profile, other), status::invalid_argument);
}

}  // namespace
}  // namespace skv::gpu
