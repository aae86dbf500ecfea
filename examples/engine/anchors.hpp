// What a decoded tensor tells about the predictor's hidden state: linear maps, fitted offline.
// docs/engine.md has the idea.
#pragma once

#include <memory>
#include <optional>
#include <skv/base/status.hpp>
#include <span>
#include <vector>

#include "engine/config.hpp"
#include "engine/quantised.hpp"

namespace engine {

/// Maps of a layer from residuals (decoded number less the predictor's, K turned back to position
/// 0) to corrections of the hidden state that the layer begins with, in units of its root mean
/// square.
struct layer_anchors {
  std::shared_ptr<const quantised_matrix> after_k;  ///< [hidden, kv]; null: no correction
  std::shared_ptr<const quantised_matrix>
      after_v;  ///< [hidden, 2 kv], residuals of K, then of V; null: none
};

/// All layers' maps, int8 with a scale per output.
struct anchors {
  std::vector<layer_anchors> layers;  ///< the last layer has none that matters after V

  /// Bytes that `parse` reads: the attachment `kAnchorsName` of a profile.
  std::vector<std::byte> serialise(const model_config& config) const;
  /// Fails with corrupt, truncated or unsupported; with wrong_profile if the maps are for a model
  /// of another shape.
  static skv::result<anchors> parse(std::span<const std::byte> bytes, const model_config& config);
};

inline constexpr const char* kAnchorsName = "engine.anchors";

/// hidden += map residuals * rms(hidden), row by row, not rounded to bf16: an estimate is nearest
/// to what it is of between the numbers that that may be. `residuals`: [rows][map.inputs()];
/// `hidden`: [rows][map.outputs()]. A row whose correction is no finite number stays as it is.
void correct(workers& team, const matrix& map, std::span<const float> residuals,
             std::span<float> hidden);

/// The root mean square of a row, as `correct` takes it.
float root_mean_square(std::span<const float> row);

}  // namespace engine
