// Prefill and greedy decoding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/forward.hpp"

namespace engine {

/// Tokens that go through the layers together. Changes no result.
inline constexpr std::uint32_t kChunkTokens = 256;

/// Runs `tokens` at the positions behind those that the cache holds, and puts their K and V into it. The
/// logits of the last one are then at hand: pass.logits(pass.tokens() - 1, ...). False, and nothing
/// changes, if the pool has too few pages.
bool prefill(forward_pass& pass, kv_cache& cache, std::span<const std::int32_t> tokens);

/// The token with the largest logit at the last row of the pass; the first of equals.
std::int32_t greedy_token(forward_pass& pass);

/// Appends up to `count` tokens to `tokens`, greedily, until the model's end token (which is appended)
/// or until the pool has no page left. `cache` holds all of `tokens` but the last, which has no K and V yet.
void decode(forward_pass& pass, kv_cache& cache, std::vector<std::int32_t>& tokens,
            std::uint32_t count);

}  // namespace engine
