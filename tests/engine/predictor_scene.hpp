// The embedded model, what it makes of the fixture's token sequences, and predictors fitted to that.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "engine/cache_file.hpp"
#include "engine/compressed_cache.hpp"
#include "engine/fit.hpp"

namespace engine::test {

template <class T>
T must(skv::result<T> r) {
  if (!r) throw std::runtime_error(r.failure().message);
  return *std::move(r);
}

/// Every step from the open loop to anchors.
inline std::vector<predictor_options> all_options() {
  std::vector<predictor_options> all;
  for (const auto weights : {weight_format::fp8, weight_format::int8, weight_format::int4})
    for (int steps = 0; steps < 4; ++steps)
      all.push_back({weights, steps >= 1, steps >= 2, steps >= 3});
  return all;
}

struct predictor_scene {
  model target = must(load_model(SKV_ENGINE_MODEL));
  workers team{2};
  std::vector<recording> calibration = recordings("calibration");
  recording evaluation = recordings("evaluation").front();

  std::vector<recording> recordings(const char* part) {
    namespace fs = std::filesystem;
    std::vector<recording> r;
    for (int i = 0;; ++i) {
      const fs::path file = fs::path(SKV_TEST_DATA) / "tiny" / part / "target" /
                            ("00" + std::to_string(i) + ".safetensors");
      if (!fs::exists(file)) return r;
      r.push_back(must(record(target, team, must(read_tokens(file)))));
    }
  }
  fitted_predictor fit(predictor_options options, skv::format_id id = skv::format_id::bf16,
                       bool with_linear = false) {
    return must(fit_predictor(predictor_model(target, options), team, calibration,
                              make_format(id, calibration), with_linear));
  }
};

}  // namespace engine::test
