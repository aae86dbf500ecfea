// The embedded model, what it makes of the fixture's token sequences, and predictors fitted to
// that.
#pragma once

#include <gtest/gtest.h>

#include "engine/bf16.hpp"
#include "engine/cache_file.hpp"
#include "engine/compressed_cache.hpp"
#include "engine/fit.hpp"
#include "models.hpp"

namespace engine::test {

/// Every step from the open loop to anchors.
inline std::vector<predictor_options> all_options() {
  std::vector<predictor_options> all;
  for (const auto weights : {weight_format::fp8, weight_format::int8, weight_format::int4})
    for (int steps = 0; steps < 4; ++steps)
      all.push_back({weights, steps >= 1, steps >= 2, steps >= 3});
  return all;
}

/// A copy whose weight (output, input) of a matrix is the next bf16 number.
inline matrix_ptr changed(const matrix& w, std::uint32_t output, std::uint32_t input) {
  std::vector<std::uint16_t> bits(std::size_t{w.outputs()} * w.inputs());
  std::vector<float> panel(std::size_t{w.inputs()} * kPanel);
  for (std::uint32_t p = 0; p < w.panels(); ++p) {
    w.expand(p, 0, w.inputs(), panel.data());
    for (std::uint32_t o = p * kPanel; o < std::min((p + 1) * kPanel, w.outputs()); ++o)
      for (std::uint32_t i = 0; i < w.inputs(); ++i)
        bits[std::size_t{o} * w.inputs() + i] =
            to_bf16(panel[std::size_t{i} * kPanel + o % kPanel]);
  }
  bits[std::size_t{output} * w.inputs() + input] ^= 1;
  return std::make_shared<bf16_matrix>(w.outputs(), w.inputs(), bits);
}

struct predictor_scene {
  model target = must(load_model(tiny_folder()));
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
