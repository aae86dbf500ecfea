// The forward pass, layer by layer, so that others can stand between the layers: an engine that
// compresses a layer as soon as it is there, or a predictor that goes on with a layer's exact K and
// V in place of its own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/kv_cache.hpp"
#include "engine/model.hpp"
#include "engine/rotary.hpp"

namespace engine {

/// K (turned) and V of some tokens in one layer: bf16 patterns [tokens][kv_heads * head_dim].
struct keys_values {
  std::span<const std::uint16_t> k, v;
};

/// Runs a model over a chunk of consecutive tokens:
///
///     pass.begin(tokens, first);
///     for (layer ...) {
///       auto [k, v] = pass.project(layer);   // from the hidden state
///       cache.write(layer, ...);             // these, or others
///       pass.attend(layer, cache);           // the hidden state becomes the next layer's
///     }
///     pass.logits(row, out);
///
/// Activations are floats with bf16 values. Every number is a function of the tokens before it
/// alone, to the last bit: neither how a sequence is cut into chunks, nor threads, nor the
/// instruction set changes one. Borrows model and workers. One thread at a time.
class forward_pass {
 public:
  forward_pass(const model& m, workers& team);

  const model& used_model() const { return *model_; }
  const rotary& used_rotary() const { return rotary_; }

  /// The hidden state becomes the embeddings of tokens at positions first, first + 1, ... Ids must
  /// lie in [0, vocabulary).
  void begin(std::span<const std::int32_t> tokens, std::uint32_t first_position);
  std::uint32_t tokens() const { return tokens_; }
  std::uint32_t first_position() const { return first_; }

  /// The input of the layer that comes next: [tokens][hidden]. May be changed before
  /// `project` or between `project` and `attend`: `attend` reads it anew.
  std::span<float> hidden() { return hidden_; }

  /// A layer's K and V of this chunk, from the hidden state. Valid until the next call.
  keys_values project(std::uint32_t layer);

  /// Queries from the hidden state, attention over the K and V that `cache` has for this layer at
  /// positions 0 to first + tokens - 1, residual sum, MLP.
  void attend(std::uint32_t layer, const kv_cache& cache);

  /// out[vocabulary]: fp32 logits of a row of this chunk, after the last layer.
  void logits(std::uint32_t row, std::span<float> out);

 private:
  void normalise(std::span<const float> weight);
  void turn(std::span<float> x, std::uint32_t heads, std::span<const float> norm);
  void attention(std::uint32_t layer, const kv_cache& cache);

  const model* model_;
  workers* team_;
  rotary rotary_;
  std::uint32_t tokens_ = 0, first_ = 0;
  std::vector<float> cosines_, sines_;  // [tokens][head_dim / 2]
  std::vector<float> hidden_, normed_, q_, kv_, mixed_, gate_, up_, sum_;
  std::vector<std::uint16_t> k_bits_, v_bits_;
};

}  // namespace engine
