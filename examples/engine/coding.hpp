// A way to code a cache: what predicts it, and the profile that was fitted to that.
#pragma once

#include "engine/fit.hpp"
#include "engine/offload.hpp"

namespace engine {

struct coding {
  std::string name;
  skv::profile_ptr profile;
  /// A copy of the model that predicts; null for what needs none.
  std::shared_ptr<const predictor_model> predictor;
};

/// What the library has without a model: "none", "previous token" and, if it pays, "linear
/// propagation". Fails with invalid_argument if there are no recordings.
skv::result<std::vector<coding>> fit_without_model(std::span<const recording> recordings,
                                                   const model_config& config);

/// A copy of the model that predicts, alone and, if asked for and if it pays, under linear
/// propagation. Fails as fit_predictor.
skv::result<std::vector<coding>> fit_with_model(const model& target, workers& team,
                                                std::span<const recording> recordings,
                                                predictor_options options, bool with_linear);

/// Compresses a cache of these tokens, from position 0 on. Fails as offload, or as
/// model_predictor::start.
skv::result<offloaded_cache> offload(const coding& by, workers& team,
                                     std::span<const std::int32_t> tokens, const kv_cache& cache,
                                     const model_config& config);
/// And back: `cache` has room for them. Fails as offload.hpp's reload, or as
/// model_predictor::start; with wrong_prediction, and leaves the cache alone, if another model
/// predicted, or the same with other options.
skv::result<skv::done> reload(const coding& by, workers& team, std::span<const std::int32_t> tokens,
                              const offloaded_cache& from, kv_cache& cache,
                              const model_config& config);

}  // namespace engine
