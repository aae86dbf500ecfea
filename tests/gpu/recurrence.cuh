// The kernels of the predictor in recurrence.hpp.
#pragma once

#include <skv/lanes/device.cuh>

#include "gpu/recurrence.hpp"

namespace skv::gpu {

/// Every thread has some channels of some tokens.
struct recurrence_kernel : recurrence_parameters {
  static std::size_t shared_bytes(std::uint32_t /*round_blocks*/, std::uint32_t /*tiles*/) {
    return 0;
  }

 protected:
  /// Calls f(place of a number, its channel, what was seen of its token) for those of this thread.
  template <class F>
  SKV_DEVICE void each_number(const F& f) const {
    const std::uint32_t width = heads * head_dim;
    const cuda::tensor_place& place = cache.tensors[tensor];
    for (std::uint32_t i = device::block() * device::threads() + device::thread();
         i < batch.item_count() * tokens * width; i += device::blocks() * device::threads()) {
      const std::uint32_t channel = i % width, token = i / width % tokens,
                          item = i / width / tokens;
      if (token >= batch.tokens(item, tokens) || !cache.blocks.exists(layer, item)) continue;
      f(cache.blocks.at(layer, item) + place.offset_bytes + token * place.token_stride_bytes +
            channel / head_dim * place.head_stride_bytes +
            channel % head_dim * (magnitude_bits == 7 ? 1 : 2),
        channel, seen + (std::size_t{item} * tokens + token) * width);
    }
  }
};

struct expect_kernel : recurrence_kernel {
  SKV_DEVICE void operator()() const {
    each_number([&](std::byte* at, std::uint32_t channel, const std::int32_t* of_token) {
      const std::uint32_t mean =
          unordered(expected(weights, of_token, channel, heads * head_dim), magnitude_bits);
      if (magnitude_bits == 7)
        *reinterpret_cast<std::uint8_t*>(at) = static_cast<std::uint8_t>(mean);
      else
        *reinterpret_cast<std::uint16_t*>(at) = static_cast<std::uint16_t>(mean);
    });
  }
};

struct see_kernel : recurrence_kernel {
  SKV_DEVICE void operator()() const {
    each_number([&](const std::byte* at, std::uint32_t channel, std::int32_t* of_token) {
      const std::uint32_t number = magnitude_bits == 7
                                       ? *reinterpret_cast<const std::uint8_t*>(at)
                                       : *reinterpret_cast<const std::uint16_t*>(at);
      of_token[channel] = after(of_token[channel], ordered(number, magnitude_bits));
    });
  }
};

}  // namespace skv::gpu
