// A decoder-only transformer: its configuration and its weights.
#pragma once

#include <filesystem>
#include <skv/base/status.hpp>
#include <vector>

#include "engine/config.hpp"
#include "engine/matrix.hpp"

namespace engine {

/// Vectors are floats with bf16 values; those that a model lacks are empty.
struct layer_weights {
  std::vector<float> attention_norm, mlp_norm;  ///< [hidden]
  std::vector<float> q_norm, k_norm;            ///< [head_dim]
  matrix_ptr q, k, v, o;                        ///< o: [hidden, heads * head_dim]
  std::vector<float> q_bias, k_bias, v_bias, o_bias;
  matrix_ptr gate, up, down;  ///< down: [hidden, intermediate]
};

/// A copy shares its matrices with the original: replace some of them for a quantised model.
struct model {
  model_config config;
  std::shared_ptr<const bf16_matrix> embedding;  ///< [vocabulary, hidden]
  std::vector<layer_weights> layers;
  std::vector<float> final_norm;  ///< [hidden]
  matrix_ptr head;                ///< [vocabulary, hidden]; the embedding itself if tied
};

/// Loads a Hugging Face folder: config.json and model.safetensors, or the shards that
/// model.safetensors.index.json names. Weights in BF16, F16 or F32, rounded to bf16. Fails with
/// io_error, corrupt, truncated or unsupported; the message names file and tensor: one that is
/// missing, has another shape or type, or holds an infinity or a NaN.
skv::result<model> load_model(const std::filesystem::path& folder);

}  // namespace engine
