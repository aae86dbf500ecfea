#include "engine/forward.hpp"

#include <algorithm>
#include <cmath>

#include "engine/bf16.hpp"
#include "engine/kernels.hpp"

namespace engine {
namespace {

static_assert(kPageTokens == kLanes);

void round_all(std::span<float> x) {
  for (float& f : x) f = rounded(f);
}

// out = x / rms(x) * weight, rounded. The sum has 16 partial ones, of every 16th square each.
void rms_norm(std::span<const float> x, std::span<const float> weight, double epsilon,
              const rounding_points& r, float* out) {
  float sums[kLanes] = {};
  for (std::size_t i = 0; i < x.size(); ++i) sums[i % kLanes] += x[i] * x[i];
  for (std::uint32_t half = kLanes / 2; half > 0; half /= 2)
    for (std::uint32_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  const float mean = sums[0] / static_cast<float>(x.size());
  const float scale = 1 / std::sqrt(mean + static_cast<float>(epsilon));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float normalised = r.normalised ? rounded(x[i] * scale) : x[i] * scale;
    out[i] = rounded(normalised * weight[i]);
  }
}

void to_bits(std::span<const float> x, std::vector<std::uint16_t>& bits) {
  bits.resize(x.size());
  std::ranges::transform(x, bits.begin(), to_bf16);
}

}  // namespace

forward_pass::forward_pass(const model& m, workers& team)
    : model_(&m), team_(&team), rotary_(m.config) {}

void forward_pass::begin(std::span<const std::int32_t> tokens, std::uint32_t first_position) {
  const model_config& c = model_->config;
  tokens_ = static_cast<std::uint32_t>(tokens.size());
  first_ = first_position;
  const std::size_t half = c.head_dim / 2, n = tokens_;
  hidden_.resize(n * c.hidden);
  normed_.resize(n * c.hidden);
  sum_.resize(n * c.hidden);
  q_.resize(n * c.q_width());
  mixed_.resize(n * c.q_width());
  kv_.resize(n * c.kv_width());
  gate_.resize(n * c.intermediate);
  up_.resize(n * c.intermediate);
  cosines_.resize(n * half);
  sines_.resize(n * half);
  team_->for_each(n, [&](std::size_t i) {
    model_->embedding->row(static_cast<std::uint32_t>(tokens[i]), &hidden_[i * c.hidden]);
    rotary_.angles(first_ + static_cast<std::uint32_t>(i), &cosines_[i * half], &sines_[i * half]);
  });
  if (c.rounding.rotary_table) {
    round_all(cosines_);
    round_all(sines_);
  }
}

// The normalised hidden state.
void forward_pass::normalise(std::span<const float> weight) {
  const model_config& c = model_->config;
  team_->for_each(tokens_, [&](std::size_t i) {
    rms_norm(std::span(hidden_).subspan(i * c.hidden, c.hidden), weight, c.norm_epsilon, c.rounding,
             &normed_[i * c.hidden]);
  });
}

// Queries or keys: the norm of each head, if there is one, and the rotary embedding.
void forward_pass::turn(std::span<float> x, std::uint32_t heads, std::span<const float> norm) {
  const model_config& c = model_->config;
  team_->for_each(tokens_, [&](std::size_t i) {
    const auto row = x.subspan(i * heads * c.head_dim, std::size_t{heads} * c.head_dim);
    if (!norm.empty())
      for (std::uint32_t h = 0; h < heads; ++h) {
        const auto head = row.subspan(std::size_t{h} * c.head_dim, c.head_dim);
        rms_norm(head, norm, c.norm_epsilon, c.rounding, head.data());
      }
    const std::size_t half = c.head_dim / 2;
    rotary_.turn(&cosines_[i * half], &sines_[i * half], heads, row.data());
    round_all(row);
  });
}

keys_values forward_pass::project(std::uint32_t layer) {
  const model_config& c = model_->config;
  const layer_weights& w = model_->layers[layer];
  normalise(w.attention_norm);
  multiply_rounded(*team_, *w.k, w.k_bias, normed_, tokens_, kv_);
  turn(kv_, c.kv_heads, w.k_norm);
  to_bits(kv_, k_bits_);
  multiply_rounded(*team_, *w.v, w.v_bias, normed_, tokens_, kv_);
  to_bits(kv_, v_bits_);
  return {k_bits_, v_bits_};
}

void forward_pass::attend(std::uint32_t layer, const kv_cache& cache) {
  const layer_weights& w = model_->layers[layer];
  const bool rounds = model_->config.rounding.residual_sum;
  const auto add_to_hidden = [&] {
    for (std::size_t i = 0; i < hidden_.size(); ++i)
      hidden_[i] = rounds ? rounded(hidden_[i] + sum_[i]) : hidden_[i] + sum_[i];
  };
  normalise(w.attention_norm);
  multiply_rounded(*team_, *w.q, w.q_bias, normed_, tokens_, q_);
  turn(q_, model_->config.heads, w.q_norm);
  attention(layer, cache);
  multiply_rounded(*team_, *w.o, w.o_bias, mixed_, tokens_, sum_);
  add_to_hidden();

  normalise(w.mlp_norm);
  multiply_rounded(*team_, *w.gate, {}, normed_, tokens_, gate_);
  multiply_rounded(*team_, *w.up, {}, normed_, tokens_, up_);
  const std::size_t width = model_->config.intermediate;
  team_->for_each(tokens_, [&](std::size_t i) {
    const auto row = std::span(gate_).subspan(i * width, width);
    team_->kernels().silu(row.data(), width);
    if (model_->config.rounding.activation) round_all(row);
    for (std::size_t k = 0; k < width; ++k) row[k] = rounded(row[k] * up_[i * width + k]);
  });
  multiply_rounded(*team_, *w.down, {}, gate_, tokens_, sum_);
  add_to_hidden();
}

void forward_pass::logits(std::uint32_t row, std::span<float> out) {
  const model_config& c = model_->config;
  rms_norm(std::span(hidden_).subspan(std::size_t{row} * c.hidden, c.hidden), model_->final_norm,
           c.norm_epsilon, c.rounding, normed_.data());
  multiply(*team_, *model_->head, std::span(normed_).first(c.hidden), 1, out);
}

}  // namespace engine
