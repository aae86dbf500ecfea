// What a model made of some tokens: K, V and the hidden state before every layer.
#pragma once

#include "engine/cache_format.hpp"
#include "engine/forward.hpp"

namespace engine {

struct recording {
  struct layer {
    std::vector<std::uint16_t> hidden;  ///< bf16 patterns [tokens][hidden]
    std::vector<std::uint16_t> k, v;    ///< [tokens][kv_heads * head_dim]
  };
  std::vector<std::int32_t> tokens;
  std::vector<layer> layers;

  const std::vector<std::uint16_t>& of(skv::tensor_id t) const {
    return t.kind == skv::tensor_kind::k ? layers[t.layer].k : layers[t.layer].v;
  }
  /// A tensor as a cache of this format keeps it.
  std::vector<std::byte> kept(skv::tensor_id t, const cache_format& format) const;
};

/// Runs a model over tokens from position 0 on. Fails as check_tokens (generate.hpp).
skv::result<recording> record(const model& m, workers& team, std::span<const std::int32_t> tokens);

/// bf16; or e4m3 with the scales that the largest numbers of these recordings ask for: amax / 448,
/// of each layer's K and V (1 where all are zero).
cache_format make_format(skv::format_id id, std::span<const recording> recordings);

/// All tensors of a cache in the order of coding: K before V, layer after layer.
std::vector<skv::tensor_id> tensors_of(const model_config& config);

}  // namespace engine
