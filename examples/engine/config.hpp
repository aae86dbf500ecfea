// What a model's config.json says, as far as a forward pass needs it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <skv/base/status.hpp>
#include <string>
#include <vector>

namespace engine {

/// How the rotary embedding's frequencies are stretched beyond the length that a model was trained
/// on, with the names and the formulas of Hugging Face's modeling_rope_utils.py.
struct rope_scaling {
  enum class kind : std::uint8_t { none, linear, dynamic, yarn, llama3 };

  kind type = kind::none;
  double factor = 1;
  double original_positions = 0;         ///< that the model was trained on
  double beta_fast = 32, beta_slow = 1;  ///< yarn
  bool truncate = true;                  ///< yarn
  double attention_factor = 1;           ///< yarn: cosines and sines are multiplied by it
  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< llama3
};

/// Which results within a step are rounded to bf16, besides that of every step (norm, projection,
/// rotary embedding, attention, gate), which always is.
struct rounding_points {
  bool normalised = false;      ///< of RMSNorm, before it is multiplied by the weight
  bool rotary_table = false;    ///< cosines and sines
  bool rotary_product = false;  ///< the two products that a rotated number is the sum of
  bool probability = true;      ///< the softmax, before it is multiplied by V
  bool score = false;           ///< q k, before and after it is scaled
  bool activation = false;      ///< silu(gate), before it is multiplied by up
  bool residual_sum = true;     ///< the hidden state; false only in predictors

  /// Each step is rounded once.
  static constexpr rounding_points once() { return {}; }
  /// As the bf16 modules of Hugging Face's transformers do, with eager attention.
  static constexpr rounding_points modules() { return {true, true, true, true, true, true}; }

  friend bool operator==(const rounding_points&, const rounding_points&) = default;
};

struct model_config {
  std::string architecture;  ///< "LlamaForCausalLM", for instance
  std::uint32_t layers = 0, hidden = 0, intermediate = 0, vocabulary = 0;
  std::uint32_t heads = 0, kv_heads = 0, head_dim = 0;
  double norm_epsilon = 1e-6;
  double rope_theta = 10000;
  rope_scaling scaling;
  bool rope_interleaved = false;  ///< pairs (2i, 2i + 1), not (i, i + head_dim / 2)
  bool has_qk_norm = false;       ///< Qwen3
  bool has_qkv_bias = false, has_output_bias = false;
  bool has_tied_embeddings = false;
  std::uint32_t max_positions = 0;
  std::int32_t begin_token = -1;         ///< -1: none
  std::vector<std::int32_t> end_tokens;  ///< any of them ends a text
  rounding_points rounding;

  std::uint32_t q_width() const { return heads * head_dim; }
  std::uint32_t kv_width() const { return kv_heads * head_dim; }
  /// Query heads that share a KV head.
  std::uint32_t group() const { return heads / kv_heads; }
};

/// Reads a config.json of the architectures LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM
/// and Qwen3ForCausalLM. The key `rope_interleaved` (true: neighbours are pairs) is of this
/// engine's own making. Fails with io_error, corrupt (no JSON, a key missing or of a wrong type or
/// size) or unsupported (another architecture, activation or rotary scaling, sliding windows, MLP
/// biases); the message names file and key.
skv::result<model_config> read_config(const std::filesystem::path& file);

}  // namespace engine
