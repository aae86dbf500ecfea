// A cheap copy of a model as the predictor of its cache, layer by layer: a skv predictor
// (skv/predict/predictor.hpp). docs/engine.md has the idea and what each step is worth.
#pragma once

#include <memory>
#include <skv/predict/identity.hpp>
#include <skv/predict/predictor.hpp>
#include <string>

#include "engine/anchors.hpp"
#include "engine/cache_format.hpp"
#include "engine/forward.hpp"

namespace engine {

struct predictor_options {
  weight_format weights = weight_format::fp8;  ///< of all seven matrices of a layer
  bool exact_kv = false;                       ///< those of K and V stay bf16
  bool closed_loop = false;  ///< attention over the decoded K and V, not over the predictor's own
  bool anchored = false;     ///< decoded K and V correct the hidden state; needs the closed loop

  friend bool operator==(const predictor_options&, const predictor_options&) = default;
};

/// "fp8+exact_kv+closed_loop+anchored".
std::string to_string(const predictor_options& o);
/// Fails with unsupported for what is no such name.
skv::result<predictor_options> parse_predictor_options(const std::string& name);

/// The model that predicts: weights, options and anchors, under a fingerprint of all of them, of
/// the configuration and of the arithmetic's version. Immutable: any number of threads may use one
/// at once.
class predictor_model {
 public:
  /// Quantises a copy of `target`. Without `maps` nothing is corrected, anchored or not.
  predictor_model(const model& target, predictor_options options, anchors maps = {});
  /// The same with other anchors.
  predictor_model with(anchors maps) const;

  const model& weights() const { return weights_; }
  const predictor_options& options() const { return options_; }
  const anchors& maps() const { return maps_; }
  /// The name is to_string(options()).
  const skv::predictor_identity& identity() const { return identity_; }

 private:
  model weights_;
  predictor_options options_;
  anchors maps_;
  std::array<std::byte, 16> weights_hash_{};
  skv::predictor_identity identity_;
};

/// The predictor of one sequence. Goes through the layers as the cache is coded: `predict` K,
/// `update` K, `predict` V, `update` V, and on to the next layer, in bf16 means. Attention and MLP
/// of a layer run when the next one is asked for, so those of the last layer never do. Borrows
/// model and workers.
class model_predictor {
 public:
  static constexpr skv::mean_source kSource = skv::mean_source::given;

  /// Of tokens at positions 0, 1, ... Fails as check_tokens.
  static skv::result<std::unique_ptr<model_predictor>> start(const predictor_model& m,
                                                             workers& team,
                                                             std::span<const std::int32_t> tokens,
                                                             cache_format format);

  /// Null unless `t` is the tensor whose turn it is, of all tokens.
  skv::row_view<const std::byte> predict(const skv::tensor_shape& t);
  void update(const skv::tensor_shape& t, skv::row_view<const std::byte> exact) {
    observe(t, exact);
    if (const auto* map = next_map(); map != nullptr) correct(*map, 0, pass_.tokens());
    turn_over();
  }

  // The parts of `update`, for those who fit the maps.

  /// Takes the exact numbers: afterwards `residuals` are those of this layer so far.
  void observe(const skv::tensor_shape& t, skv::row_view<const std::byte> exact);
  /// [tokens][kv], of K turned back to position 0, behind V [tokens][2 kv], of K and of V.
  std::span<const float> residuals() const { return residuals_; }
  /// The hidden state that the layer begins with, as corrected so far: [tokens][hidden].
  std::span<const float> hidden() { return pass_.hidden(); }
  /// Corrects some rows of it.
  void correct(const matrix& map, std::uint32_t first, std::uint32_t rows);
  /// The tensor is done.
  void turn_over();

 private:
  model_predictor(const predictor_model& m, workers& team, std::span<const std::int32_t> tokens,
                  cache_format format);
  const matrix* next_map() const;
  void finish_layer();

  const predictor_model* m_;
  workers* team_;
  cache_format format_;
  forward_pass pass_;
  page_pool pool_;
  kv_cache cache_;
  std::vector<std::int32_t> tokens_;
  skv::tensor_id turn_{0, skv::tensor_kind::k};
  bool is_corrected_ = false;                     // since K and V were projected
  std::vector<std::uint16_t> own_k_, own_v_;      // as predicted, [tokens][kv]
  std::vector<std::uint16_t> exact_k_, exact_v_;  // as decoded, or the nearest that the cache tells
  std::vector<float> k_residuals_, residuals_;
  std::vector<std::uint16_t> means_;
};

/// Borrows a model_predictor where a predictor is held by value, such as under skv::cpu::linear.
class predictor_ref {
 public:
  static constexpr skv::mean_source kSource = skv::mean_source::given;

  explicit predictor_ref(model_predictor& p) : p_(&p) {}
  skv::row_view<const std::byte> predict(const skv::tensor_shape& t) { return p_->predict(t); }
  void update(const skv::tensor_shape& t, skv::row_view<const std::byte> exact) {
    p_->update(t, exact);
  }

 private:
  model_predictor* p_;
};
static_assert(skv::predictor<model_predictor> && skv::predictor<predictor_ref>);

}  // namespace engine
