// Everything that is fitted for a predictor: anchors, scales and tables, linear propagation on top.
#pragma once

#include <optional>
#include <skv/profile/profile.hpp>

#include "engine/predictor.hpp"
#include "engine/recording.hpp"

namespace engine {

/// What a tensor told of the hidden state, mean squares of held-out errors in units of its root
/// mean square.
struct anchor_report {
  skv::tensor_id id;
  double error_before = 0, error_after = 0;
};

struct fitted_predictor {
  std::shared_ptr<const predictor_model> predictor;
  skv::profile_ptr profile;  ///< with the anchors attached, if there are any
  skv::profile_ptr
      linear;  ///< the same with linear propagation; null if not asked for, or if it does not pay
  double bits = 0;  ///< per number of the calibration texts, without linear propagation
  std::vector<anchor_report> anchors;
};

/// Fits a predictor to what its target made of calibration texts. Texts fall into four folds (of
/// fewer than four, quarters of each do); the predictor runs on each with anchors fitted to the
/// other three, so that all that is fitted behind it sees what a new text will show. Fails with
/// invalid_argument if there are no recordings.
skv::result<fitted_predictor> fit_predictor(const predictor_model& m, workers& team,
                                            std::span<const recording> recordings,
                                            const cache_format& format, bool with_linear);

/// The predictor that a profile was fitted for: the anchors are those that are attached.
skv::result<predictor_model> with_anchors_of(const predictor_model& m, const skv::profile& p);

}  // namespace engine
