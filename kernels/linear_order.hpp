// In which order the kernels take channels and weights: pairs that turn side by side, and weights
// as the lanes of a warp want them. For linear_plan.cpp alone.
#pragma once

#include <cstddef>
#include <skv/predict/linear.hpp>
#include <skv/profile/profile.hpp>
#include <vector>

#include "linear_parameters.hpp"

namespace skv::cuda {

/// Channels in the order of the kernels.
struct channel_order {
  std::uint32_t shard_width = 0;
  std::vector<std::uint32_t> channels;     ///< [shards][shard_width], numbered through all heads
  std::vector<std::uint64_t> frequencies;  ///< of each

  channel_order(const linear_shape& t, const rotary* r, std::uint32_t shards)
      : shard_width(t.heads * t.head_dim / shards) {
    std::vector<bool> turns(t.head_dim);
    const auto add = [this](std::uint32_t channel, std::uint64_t frequency) {
      channels.push_back(channel);
      frequencies.push_back(frequency);
    };
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      const std::uint32_t begin = shard * shard_width, end = begin + shard_width;
      for (std::uint32_t head = begin; r != nullptr && head < end; head += t.head_dim)
        for (std::uint32_t pair = 0; pair < r->pairs(); ++pair) {
          const std::uint32_t first = r->first_channel + (r->is_interleaved ? 2 * pair : pair);
          const std::uint32_t second = first + (r->is_interleaved ? 1 : r->pairs());
          add(head + first, r->frequencies[pair]);
          add(head + second, 0 - r->frequencies[pair]);
          turns[first] = turns[second] = true;
        }
      for (std::uint32_t channel = begin; channel < end; ++channel)
        if (!turns[channel % t.head_dim]) add(channel, 0);
    }
  }
};

/// A source of a product: which of a shard's inputs stands where in its part of a row.
struct input_segment {
  std::vector<std::uint32_t> inputs;
  std::uint32_t chunks() const {
    return (static_cast<std::uint32_t>(inputs.size()) + kChunkInputs - 1) / kChunkInputs;
  }
};

/// Where a weight lies in those of a chunk: as the lanes of a warp take them (kernels/product.cuh).
inline std::size_t place_in_chunk(std::uint32_t input, std::uint32_t output) {
  const std::uint32_t step = input / 32, group = input % 32 / 4;
  const std::uint32_t warp = output / 32, column = output % 32 / 8;
  const std::uint32_t lane = output % 8 * 4 + group % 4;
  const std::uint32_t word = column % 2 * 2 + group / 4;
  return (((step * 4 + warp) * 2 + column / 2) * kLanes + lane) * 16 + word * 4 + input % 4;
}

/// Units are none if there are no numbers.
inline std::vector<linear_channel> channels_of(const channel_order& order, std::uint32_t head_dim,
                                               const std::vector<std::uint8_t>& units,
                                               const std::vector<std::int16_t>& centres,
                                               const std::vector<std::uint8_t>& shifts) {
  std::vector<linear_channel> channels;
  for (std::size_t i = 0; i < order.channels.size(); ++i) {
    const std::uint32_t at = order.channels[i];
    linear_channel& c = channels.emplace_back();
    c.frequency_high = static_cast<std::uint32_t>(order.frequencies[i] >> 32);
    c.frequency_low = static_cast<std::uint32_t>(order.frequencies[i]);
    c.head = static_cast<std::uint16_t>(at / head_dim);
    c.channel = static_cast<std::uint16_t>(at % head_dim);
    c.centre = centres[at];
    c.unit = units.empty() ? std::uint8_t{0} : units[at];
    c.shift = shifts[at];
  }
  return channels;
}

/// The weights of a product into zeros: `to.chunks` chunks for each tile of outputs, shard after
/// shard. `outputs`: which of a shard's outputs each of them is.
inline void place_weights(const linear_product& from, const linear_product_plan& to,
                          const std::vector<input_segment>& segments,
                          const std::vector<std::uint32_t>& outputs, std::byte* tile) {
  for (std::uint32_t shard = 0; shard < to.shards; ++shard)
    for (std::uint32_t first = 0; first < to.output_count; first += kTileOutputs)
      for (const input_segment& s : segments) {
        for (std::uint32_t i = 0; i < s.inputs.size(); ++i) {
          const std::int8_t* const group = from.weights.data() + shard * from.shard_weights() +
                                           4 * std::size_t{s.inputs[i] / 4} * from.outputs +
                                           s.inputs[i] % 4;
          std::byte* const chunk = tile + std::size_t{i / kChunkInputs} * kChunkWeights;
          for (std::uint32_t o = 0; o < kTileOutputs && first + o < to.output_count; ++o)
            chunk[place_in_chunk(i % kChunkInputs, o)] =
                static_cast<std::byte>(group[4 * std::size_t{outputs[first + o]}]);
        }
        tile += std::size_t{s.chunks()} * kChunkWeights;
      }
}

}  // namespace skv::cuda
