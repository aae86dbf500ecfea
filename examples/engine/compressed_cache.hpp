// A sequence's cache as a .skv file that a model predicts: it restores to a safetensors file with
// `tokens`, `layers.{l}.k` and `.v`, and, of an fp8 cache, `layers.{l}.k.scale` and `.v.scale`.
#pragma once

#include <skv/format/container.hpp>
#include <skv/profile/profile.hpp>

#include "engine/predictor.hpp"
#include "engine/recording.hpp"

namespace engine {

/// A cache in memory.
struct sequence_cache {
  std::vector<std::int32_t> tokens;
  cache_format format;
  std::vector<std::vector<std::byte>>
      tensors;  ///< in the order of tensors_of: [tokens][kv_heads * head_dim]

  friend bool operator==(const sequence_cache&, const sequence_cache&) = default;
};

/// What a recording's K and V are in a cache of some format.
sequence_cache cache_of(const recording& r, const cache_format& format);

/// The .skv file of a cache. `p` is what fit_predictor gave for `m`, with linear propagation or
/// without. Fails as model_predictor::start, or as skv::cpu::archive_writer.
skv::result<std::vector<std::byte>> compress(const predictor_model& m, workers& team,
                                             const skv::profile_ptr& p,
                                             const sequence_cache& cache);

/// The cache again. Any bytes are safe. Fails with wrong_prediction for a file of another
/// predictor, with corrupt for a file that is no such cache of a model of this shape, and as
/// skv::parse_container and skv::cpu::archive_reader do.
skv::result<sequence_cache> restore(const predictor_model& m, workers& team,
                                    const skv::profile_ptr& p, std::span<const std::byte> file);

/// Bytes of a file that are the cache's: all but its tokens and scales.
std::uint64_t cache_bytes(const skv::container& c, std::uint64_t file_bytes);

}  // namespace engine
