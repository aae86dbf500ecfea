// Prefill and greedy decoding.
#pragma once

#include <cstdint>
#include <skv/base/status.hpp>
#include <span>
#include <vector>

#include "engine/forward.hpp"

namespace engine {

/// Tokens that go through the layers together. Changes no result.
inline constexpr std::uint32_t kChunkTokens = 256;

/// Can a model run over these tokens at the positions from `first` on? Fails with invalid_argument
/// (none, or an id that the vocabulary lacks) or unsupported (positions beyond 2^20, or beyond
/// those that dynamic rotary scaling leaves as they are).
skv::result<skv::done> check_tokens(const model_config& config,
                                    std::span<const std::int32_t> tokens, std::uint32_t first = 0);

/// Runs `tokens` at the positions behind those that the cache holds, and puts their K and V into
/// it. The logits of the last one are then at hand: pass.logits(pass.tokens() - 1, ...). Fails, and
/// changes nothing, as check_tokens or with does_not_fit (the pool has too few pages).
skv::result<skv::done> prefill(forward_pass& pass, kv_cache& cache,
                               std::span<const std::int32_t> tokens);

/// The token with the largest logit at the last row of the pass; the first of equals.
std::int32_t greedy_token(forward_pass& pass);

/// Appends `count` tokens to `tokens`, greedily, or fewer if one of the model's end tokens is among
/// them, which is then the last. `cache` holds all of `tokens` but at least the last one. Fails as
/// prefill does; tokens found until then are appended.
skv::result<skv::done> decode(forward_pass& pass, kv_cache& cache,
                              std::vector<std::int32_t>& tokens, std::uint32_t count);

}  // namespace engine
