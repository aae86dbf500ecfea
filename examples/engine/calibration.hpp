// What is fitted to caches, whatever predicts them: scales and tables, and linear propagation.
#pragma once

#include <skv/calibrate/linear.hpp>
#include <skv/profile/profile.hpp>

#include "engine/config.hpp"

namespace engine {

/// The tensors of a text's cache in the order of coding, with bf16 means if given. Borrows them.
using text_tensors = std::vector<skv::calibration_tensor>;

struct fitted_scales {
  skv::profile_ptr profile;
  double bits = 0;  ///< per number of the texts
};

/// Fails with invalid_argument if there are no texts.
skv::result<fitted_scales> fit_scales(skv::format_id target, skv::mean_source source,
                                      std::span<const text_tensors> texts);

/// `base`: none, or given. Null if linear propagation does not pay. Fails with invalid_argument if
/// there are no texts.
skv::result<skv::profile_ptr> fit_propagation(skv::format_id target, skv::mean_source base,
                                              const model_config& config,
                                              std::span<const text_tensors> texts);

}  // namespace engine
