// What predictors save on a model: bits of real files, of texts that nothing was fitted to.
#pragma once

#include <functional>
#include <optional>

#include "engine/compressed_cache.hpp"
#include "engine/fit.hpp"

namespace engine {

/// The texts of an evaluation, as the model sees them.
struct evaluation_texts {
  std::vector<recording> calibration, evaluation;
};

/// A predictor's files of all evaluation texts. Every one was restored and compared.
struct measurement {
  predictor_options options;
  bool is_linear = false;
  skv::format_id format = skv::format_id::bf16;
  std::uint64_t numbers = 0, bytes = 0;  ///< bytes: all of the files but tokens and scales
  std::size_t profile_bytes = 0;

  double bits() const { return 8 * static_cast<double>(bytes) / static_cast<double>(numbers); }
  double ratio() const { return (format == skv::format_id::bf16 ? 16 : 8) / bits(); }
};

/// A predictor alone, and, if asked for and if it pays, under linear propagation.
struct predictor_result {
  measurement alone;
  std::optional<measurement> linear;
  double calibration_bits = 0;
  std::vector<anchor_report> anchors;
};

/// Fits to the calibration texts, then compresses and restores the others. Fails as these do, or
/// with corrupt if a cache does not come back.
skv::result<predictor_result> evaluate(const model& target, workers& team,
                                       const evaluation_texts& texts, const cache_format& format,
                                       predictor_options options, bool with_linear);

/// A step from the open loop to anchors: what it adds, and whether calibration says that it pays.
struct step_result {
  predictor_result result;
  bool pays = true;
};

/// Open loop, exact K and V projections, closed loop, anchors: each on top of those before it that
/// pay, that is that take fewer bits of the calibration texts.
skv::result<std::vector<step_result>> evaluate_steps(
    const model& target, workers& team, const evaluation_texts& texts, const cache_format& format,
    weight_format weights, bool with_linear, const std::function<void(const step_result&)>& report);

/// What predicting costs beside the target's own prefill.
struct predictor_cost {
  predictor_options options;
  double seconds = 0,
         prefill_seconds = 0;  ///< of processors, all evaluation texts, the least of some runs
  std::size_t weight_bytes = 0, target_bytes = 0;  ///< of the layers' matrices
};

skv::result<predictor_cost> measure_cost(const model& target, workers& team,
                                         const predictor_model& m, std::span<const recording> texts,
                                         const cache_format& format);

}  // namespace engine
