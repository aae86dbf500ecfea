// Caches and tokens as files: the safetensors that skv reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <skv/base/status.hpp>
#include <span>
#include <vector>

#include "engine/kv_cache.hpp"

namespace engine {

/// Writes `layers.{l}.k` and `layers.{l}.v`, BF16 [tokens, kv_heads, head_dim], and `tokens`, I32
/// [tokens]; the cache holds as many tokens. Fails with io_error.
skv::result<skv::done> write_cache(const std::filesystem::path& path, const model_config& config,
                                   std::span<const std::int32_t> tokens, const kv_cache& cache);

/// Token ids: the tensor `tokens` (I32, one dimension) of a .safetensors file, or, of any other
/// file, decimal numbers with spaces or newlines between them. Fails with io_error, truncated or
/// corrupt.
skv::result<std::vector<std::int32_t>> read_tokens(const std::filesystem::path& path);

}  // namespace engine
