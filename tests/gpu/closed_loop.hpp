// A batch that a predictor of its own goes through in a closed loop: on the CPU, and on a device.
#pragma once

#include <skv/cpu/tensor_codec.hpp>

#include "gpu/coded_tensors.hpp"
#include "gpu/gpu_scene.hpp"
#include "gpu/recurrence.hpp"

namespace skv::gpu {

/// Numbers near what the predictor expects of them, and what the CPU makes of them, tile by tile.
struct recurrence_scene {
  paged_scene scene;
  recurrence_model model;
  std::vector<cpu::encoded_tensor> encoded;  ///< [layers][items][tensors]

  recurrence_scene(coding_id id, std::uint64_t seed) {
    random_source random(seed);
    cuda::block_geometry g;
    g.first_layer = 3;
    g.layers = 4;
    g.tokens = 16;
    g.tensors[0] = {tensor_kind::k, 3, 24, 0};
    g.tensors[1] = {tensor_kind::v, 3, 24, 0};
    g.tensor_count = 2;
    g.tile_tokens = g.tokens;  // tiles are those of cpu::encode_tensor
    g.tile_heads = 3;
    scene = {id, g, 5, {16, 9, 16, 0, 16}, default_profile_of(id), {}, {}};
    model = {g, scene.target(), {}, {}};
    for (std::size_t i = 0; i < model.first_weight(g.layers, 0); ++i) {
      const auto next = static_cast<std::int8_t>(1 + random.below(40));
      model.weights.push_back({static_cast<std::int8_t>(128 - next), next});  // a mean
    }
    const number_format f = scene.target();
    for (std::size_t token = 0; token < scene.items * g.tokens; ++token) {
      const bool is_negative = random.chance(0.5);
      for (std::size_t c = 0; c < model.width(); ++c) {  // from 1/2 to 2
        const auto seen = static_cast<std::int32_t>(((f.bias() - 1) << f.mantissa_bits) +
                                                    random.below(2u << f.mantissa_bits));
        model.start.push_back(is_negative ? -seen : seen);
      }
    }
    encoded.resize(std::size_t{g.layers} * scene.items * g.tensor_count);
    scene.numbers.resize(encoded.size());
    scene.means.resize(encoded.size());
    for (std::uint32_t item = 0; item < scene.items; ++item) encode(item, random);
  }

 private:
  void encode(std::uint32_t item, random_source& random) {
    const cuda::block_geometry& g = scene.geometry;
    const cpu::codec coder(scene.used_profile);
    const std::uint32_t bits = scene.target().magnitude_bits();
    recurrence_on_cpu p(model, item);
    for (std::uint32_t layer = 0; layer < g.layers; ++layer)
      for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
        const cuda::block_tensor& t = g.tensors[i];
        const std::size_t at = scene.index(layer, item, i);
        const tensor_shape shape{
            {g.first_layer + layer, t.kind}, scene.token_counts[item], t.heads, t.head_dim};
        const row_view<const std::byte> means = p.predict(shape);
        for (std::uint32_t n = 0; n < shape.tokens * shape.width(); ++n) {
          const std::uint32_t mean = pattern_at(means.data, scene.target(), n);
          append_pattern(scene.means[at], scene.target(), mean);
          append_pattern(
              scene.numbers[at], scene.target(),
              unordered(ordered(mean, bits) + static_cast<std::int32_t>(random.below(3)) - 1,
                        bits));
        }
        const std::size_t row = shape.width() * scene.target().bytes();
        auto e = cpu::encode_tensor(coder, p, shape, {scene.numbers[at].data(), row});
        if (!e) throw std::runtime_error(e.failure().message);
        encoded[at] = *std::move(e);
      }
  }
};

/// A scene on a device.
struct closed_loop {
  recurrence_scene all;
  gpu_scene g;
  coded_tensors coded;
  recurrence encoding, decoding;

  /// All layers' means in the memory of the first one's.
  static cuda::paged_cache shared(cuda::paged_cache means) {
    means.blocks.layer_stride_bytes = 0;
    return means;
  }
  explicit closed_loop(recurrence_scene s)
      : all(std::move(s)),
        g(all.scene, page_layout::interleaved, page_layout::head_major),
        coded(all.scene),
        encoding(all.model, g.batch(), shared(g.means_at.cache)),
        decoding(all.model, g.batch(), shared(g.means_at.cache)) {
    g.means.forget();
  }

  template <class P>
  result<done> encode(P& p, const cuda::block_batch& batch, cudaStream_t stream,
                      std::uint32_t room = ~0u) const {
    return coded.coder.encode_async(p, batch, g.numbers_at.cache, coded.places(room), coded.room(),
                                    stream);
  }
  template <class P>
  result<done> decode(P& p, const cuda::block_batch& batch, cudaStream_t stream,
                      std::uint32_t room = ~0u) const {
    return coded.coder.decode_async(p, batch, as_stored(coded.places(room)), g.numbers_at.cache,
                                    coded.decoded.data(), coded.room(), stream);
  }
  /// A whole pass, there and back.
  void round_trip(cudaStream_t stream) const {
    encoding.begin(stream);
    ASSERT_TRUE(encode(encoding, g.batch(), stream));
    check(cudaMemsetAsync(g.cache.data(), 0x5a, g.cache.size(), stream));
    check(cudaMemsetAsync(g.means.data(), 0x5a, g.means.size(), stream));
    decoding.begin(stream);
    ASSERT_TRUE(decode(decoding, g.batch(), stream));
  }

  /// The tiles of cpu::encode_tensor.
  void expect_cpu_tensors() const {
    std::vector<tile_record> records[2];
    std::vector<std::byte> slots[2];
    for (std::uint32_t i = 0; i < 2; ++i) {
      records[i] = coded.of[i]->records.to_host();
      slots[i] = coded.of[i]->slots.to_host();
    }
    std::size_t tiles_coded = 0;
    coded.each_block(
        [&](std::uint32_t layer, std::uint32_t item, std::uint32_t i, std::size_t index) {
          const cpu::encoded_tensor& e = all.encoded[all.scene.index(layer, item, i)];
          ASSERT_EQ(e.records.size(), all.scene.token_counts[item] == 0 ? 0u : 1u);
          ASSERT_EQ(records[i][index], e.records.empty() ? tile_record{} : e.records[0]);
          ASSERT_TRUE(std::equal(e.bytes.begin(), e.bytes.end(),
                                 slots[i].begin() + index * coded.of[i]->slot_bytes));
          tiles_coded += records[i][index].mode() == tile_mode::coded;
        });
    ASSERT_EQ(tiles_coded, coded.layers * 2 * (coded.items - 1u)) << "otherwise this shows little";
    ASSERT_TRUE(encoding.is_intact() && decoding.is_intact());
  }
  void expect_restored() const {
    g.expect_numbers();
    coded.expect_decoded();
  }
};

}  // namespace skv::gpu
