#include "engine/predictor.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <skv/format/byte_io.hpp>

#include "engine/bf16.hpp"
#include "engine/generate.hpp"
#include "engine/recording.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace engine {
namespace {

// Counts changes of any result of the forward pass or of what this file does with it.
constexpr std::uint32_t kArithmeticVersion = 1;

constexpr const char *kExactKv = "exact_kv", *kClosedLoop = "closed_loop", *kAnchored = "anchored";

// XXH3-128 of whatever is added, in its canonical form.
class hasher {
 public:
  hasher() : state_(XXH3_createState(), XXH3_freeState) {
    if (!state_) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void add(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  template <class T>
  void add_numbers(std::span<const T> numbers) {
    add_number(numbers.size());
    add(std::as_bytes(numbers));
  }
  void add_number(std::uint64_t number) {
    std::vector<std::byte> bytes;
    skv::append(bytes, number);
    add(bytes);
  }
  void add_real(double number) { add_number(std::bit_cast<std::uint64_t>(number)); }
  // The values that products are made with, however they are stored.
  void add_matrix(const matrix& w) {
    add_number(w.outputs());
    add_number(w.inputs());
    std::vector<float> panel(std::size_t{w.inputs()} * kPanel);
    for (std::uint32_t p = 0; p < w.panels(); ++p) {
      w.expand(p, 0, w.inputs(), panel.data());
      add(std::as_bytes(std::span(panel)));
    }
  }
  std::array<std::byte, 16> digest() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
    std::array<std::byte, 16> out;
    std::memcpy(out.data(), canonical.digest, out.size());
    return out;
  }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

void add_config(hasher& h, const model_config& c) {
  for (const std::uint32_t n : {c.layers, c.hidden, c.intermediate, c.vocabulary, c.heads,
                                c.kv_heads, c.head_dim, c.max_positions})
    h.add_number(std::uint64_t{n});
  const rope_scaling& s = c.scaling;
  for (const double x :
       {c.norm_epsilon, c.rope_theta, s.factor, s.original_positions, s.beta_fast, s.beta_slow,
        s.attention_factor, s.low_frequency_factor, s.high_frequency_factor})
    h.add_real(x);
  const rounding_points& r = c.rounding;
  for (const bool b : {c.rope_interleaved, c.has_qk_norm, c.has_qkv_bias, c.has_output_bias,
                       s.truncate, r.normalised, r.rotary_table, r.rotary_product, r.probability,
                       r.score, r.activation, r.residual_sum})
    h.add_number(std::uint64_t{b});
  h.add_number(static_cast<std::uint64_t>(s.type));
}

// What a predictor uses: not the head, and of the last layer only what K and V need.
std::array<std::byte, 16> hash_of(const model& m) {
  hasher h;
  h.add_number(std::uint64_t{kArithmeticVersion});
  add_config(h, m.config);
  h.add_matrix(*m.embedding);
  for (std::size_t l = 0; l < m.layers.size(); ++l) {
    const layer_weights& w = m.layers[l];
    for (const auto* vector : {&w.attention_norm, &w.k_norm, &w.k_bias, &w.v_bias})
      h.add_numbers(std::span<const float>(*vector));
    for (const auto& weights : {w.k, w.v}) h.add_matrix(*weights);
    if (l + 1 == m.layers.size()) break;
    for (const auto* vector : {&w.mlp_norm, &w.q_norm, &w.q_bias, &w.o_bias})
      h.add_numbers(std::span<const float>(*vector));
    for (const auto& weights : {w.q, w.o, w.gate, w.up, w.down}) h.add_matrix(*weights);
  }
  return h.digest();
}

model quantised_copy(const model& target, const predictor_options& o) {
  model copy = target;
  // Corrected, the hidden state is an estimate, and rounding would only add noise to it.
  if (o.anchored) copy.config.rounding.residual_sum = false;
  for (layer_weights& l : copy.layers) {
    for (matrix_ptr* w : {&l.q, &l.o, &l.gate, &l.up, &l.down}) *w = quantise(*w, o.weights);
    if (o.exact_kv) continue;
    for (matrix_ptr* w : {&l.k, &l.v}) *w = quantise(*w, o.weights);
  }
  return copy;
}

}  // namespace

std::string to_string(const predictor_options& o) {
  std::string name(to_string(o.weights));
  if (o.exact_kv) name += std::string("+") + kExactKv;
  if (o.closed_loop) name += std::string("+") + kClosedLoop;
  if (o.anchored) name += std::string("+") + kAnchored;
  return name;
}

skv::result<predictor_options> parse_predictor_options(const std::string& name) {
  for (const auto weights :
       {weight_format::bf16, weight_format::fp8, weight_format::int8, weight_format::int4})
    for (int bits = 0; bits < 8; ++bits) {
      const predictor_options o{weights, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      if (to_string(o) == name) return o;
    }
  return skv::fail(skv::status::unsupported, "'" + name + "' is no predictor of this engine");
}

predictor_model::predictor_model(const model& target, predictor_options options, anchors maps)
    : weights_(quantised_copy(target, options)),
      options_(options),
      weights_hash_(hash_of(weights_)) {
  *this = with(std::move(maps));
}

predictor_model predictor_model::with(anchors maps) const {
  predictor_model m = *this;
  m.maps_ = std::move(maps);
  hasher h;
  h.add(weights_hash_);
  // Weights say the rest of the options.
  for (const bool b : {options_.closed_loop, options_.anchored}) h.add_number(std::uint64_t{b});
  if (!m.maps_.layers.empty()) h.add(m.maps_.serialise(weights_.config));
  m.identity_ = {to_string(options_), h.digest()};
  return m;
}

model_predictor::model_predictor(const predictor_model& m, workers& team,
                                 std::span<const std::int32_t> tokens, cache_format format)
    : m_(&m),
      team_(&team),
      format_(std::move(format)),
      pass_(m.weights(), team),
      pool_(m.weights().config, pages_for(tokens.size())),
      cache_(pool_),
      tokens_(tokens.begin(), tokens.end()) {
  pass_.begin(tokens_, 0);
  cache_.resize(pass_.tokens());
}

skv::result<std::unique_ptr<model_predictor>> model_predictor::start(
    const predictor_model& m, workers& team, std::span<const std::int32_t> tokens,
    cache_format format) {
  if (auto ok = check_tokens(m.weights().config, tokens); !ok) return ok.failure();
  return std::unique_ptr<model_predictor>(new model_predictor(m, team, tokens, std::move(format)));
}

skv::row_view<const std::byte> model_predictor::predict(const skv::tensor_shape& t) {
  const model_config& c = m_->weights().config;
  if (t.id != turn_ || t.id.layer >= c.layers || t.tokens != pass_.tokens() ||
      t.heads != c.kv_heads || t.head_dim != c.head_dim)
    return {};
  const bool is_k = t.id.kind == skv::tensor_kind::k;
  if (is_k && t.id.layer > 0) finish_layer();
  if (is_k || is_corrected_) {
    const keys_values kv = pass_.project(t.id.layer);
    if (is_k) own_k_.assign(kv.k.begin(), kv.k.end());
    own_v_.assign(kv.v.begin(), kv.v.end());
    is_corrected_ = false;
  }
  const auto& own = is_k ? own_k_ : own_v_;
  means_.resize(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) means_[i] = format_.mean(t.id, from_bf16(own[i]));
  return {reinterpret_cast<const std::byte*>(means_.data()), t.width() * sizeof(std::uint16_t)};
}

void model_predictor::observe(const skv::tensor_shape& t, skv::row_view<const std::byte> exact) {
  const bool is_k = t.id.kind == skv::tensor_kind::k;
  const auto& own = is_k ? own_k_ : own_v_;
  auto& nearest = is_k ? exact_k_ : exact_v_;
  nearest.resize(own.size());
  const std::uint32_t width = t.width();
  std::vector<float> rows(own.size());
  for (std::uint32_t row = 0; row < t.tokens; ++row)
    for (std::uint32_t i = 0; i < width; ++i) {
      const std::size_t at = std::size_t{row} * width + i;
      const float expected = from_bf16(own[at]);
      const float found =
          format_.nearest(t.id, exact.at(row, 0) + i * format_.number_bytes(), expected);
      nearest[at] = to_bf16(found);
      rows[at] = found - expected;
    }
  if (is_k) {
    const rotary& turning = pass_.used_rotary();
    std::vector<float> cosines(t.head_dim / 2), sines(t.head_dim / 2);
    for (std::uint32_t row = 0; row < t.tokens; ++row) {
      turning.angles(row, cosines.data(), sines.data());
      turning.turn(cosines.data(), sines.data(), t.heads, rows.data() + std::size_t{row} * width,
                   -1);
    }
    k_residuals_ = std::move(rows);
    residuals_ = k_residuals_;
    return;
  }
  residuals_.resize(2 * rows.size());
  for (std::uint32_t row = 0; row < t.tokens; ++row) {
    float* const to = residuals_.data() + std::size_t{row} * 2 * width;
    std::copy_n(k_residuals_.data() + std::size_t{row} * width, width, to);
    std::copy_n(rows.data() + std::size_t{row} * width, width, to + width);
  }
}

const matrix* model_predictor::next_map() const {
  if (!m_->options().anchored || turn_.layer >= m_->maps().layers.size()) return nullptr;
  const layer_anchors& l = m_->maps().layers[turn_.layer];
  return turn_.kind == skv::tensor_kind::k ? l.after_k.get() : l.after_v.get();
}

void model_predictor::correct(const matrix& map, std::uint32_t first, std::uint32_t rows) {
  const std::size_t in = map.inputs(), out = map.outputs();
  engine::correct(*team_, map, std::span<const float>(residuals_).subspan(first * in, rows * in),
                  pass_.hidden().subspan(first * out, rows * out));
  is_corrected_ = true;
}

void model_predictor::turn_over() {
  if (turn_.kind == skv::tensor_kind::k)
    turn_.kind = skv::tensor_kind::v;
  else
    turn_ = {turn_.layer + 1, skv::tensor_kind::k};
}

// Of the layer before the one whose turn it is.
void model_predictor::finish_layer() {
  const std::uint32_t layer = turn_.layer - 1;
  const bool closed = m_->options().closed_loop;
  cache_.write(layer, skv::tensor_kind::k, 0, closed ? exact_k_ : own_k_);
  cache_.write(layer, skv::tensor_kind::v, 0, closed ? exact_v_ : own_v_);
  pass_.attend(layer, cache_);
}

}  // namespace engine
