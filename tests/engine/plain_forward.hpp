// The forward pass once more: loops over doubles, the C library's functions, whole sequences,
// weights straight from the file. Only the rounding to bf16 is the engine's.
#pragma once

#include <cmath>

#include "engine/model.hpp"
#include "models.hpp"

namespace engine::test {

class plain_forward {
 public:
  using row = std::vector<double>;
  using rows = std::vector<row>;

  plain_forward(const model_config& c, const tensor_file& weights) : c_(c), weights_(weights) {}

  /// K, V of layer 0, K, V of layer 1 ..., each [tokens][kv_width], as bf16 patterns.
  std::vector<std::vector<std::uint16_t>> run(const std::vector<std::int32_t>& tokens) {
    rows h;
    for (const auto t : tokens) {
      const row all = weight("model.embed_tokens.weight");
      h.emplace_back(all.begin() + t * c_.hidden, all.begin() + (t + 1) * c_.hidden);
    }
    std::vector<std::vector<std::uint16_t>> out;
    for (std::uint32_t l = 0; l < c_.layers; ++l) {
      const std::string p = "model.layers." + std::to_string(l) + ".";
      rows x = norm(h, p + "input_layernorm");
      rows q = heads(linear(x, p + "self_attn.q_proj"), p + "self_attn.q_norm");
      rows k = heads(linear(x, p + "self_attn.k_proj"), p + "self_attn.k_norm");
      rows v = linear(x, p + "self_attn.v_proj");
      for (const rows* r : {&k, &v}) {
        auto& tensor = out.emplace_back();
        for (const row& one : *r)
          for (const double f : one) tensor.push_back(to_bf16(static_cast<float>(f)));
      }
      add(h, linear(attention(q, k, v), p + "self_attn.o_proj"));
      x = norm(h, p + "post_attention_layernorm");
      rows gate = linear(x, p + "mlp.gate_proj");
      const rows up = linear(x, p + "mlp.up_proj");
      for (std::size_t t = 0; t < gate.size(); ++t)
        for (std::size_t i = 0; i < gate[t].size(); ++i) {
          const double silu = gate[t][i] / (1 + std::exp(-gate[t][i]));
          gate[t][i] = b((c_.rounding.activation ? b(silu) : silu) * up[t][i]);
        }
      add(h, linear(gate, p + "mlp.down_proj"));
    }
    return out;
  }

 private:
  static double b(double x) { return rounded(static_cast<float>(x)); }
  static void add(rows& h, const rows& x) {
    for (std::size_t t = 0; t < h.size(); ++t)
      for (std::size_t i = 0; i < h[t].size(); ++i) h[t][i] = b(h[t][i] + x[t][i]);
  }
  row weight(const std::string& name) const {
    row w;
    const auto at = weights_.tensors.find(name);
    if (at != weights_.tensors.end())
      for (const std::uint16_t x : at->second.numbers) w.push_back(from_bf16(x));
    return w;
  }
  row norm(const double* x, std::size_t count, const row& w) const {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += x[i] * x[i];
    const double scale = 1 / std::sqrt(sum / static_cast<double>(count) + c_.norm_epsilon);
    row y;
    for (std::size_t i = 0; i < count; ++i)
      y.push_back(b((c_.rounding.normalised ? b(x[i] * scale) : x[i] * scale) * w[i]));
    return y;
  }
  rows norm(const rows& x, const std::string& name) const {
    rows y;
    for (const row& one : x) y.push_back(norm(one.data(), one.size(), weight(name + ".weight")));
    return y;
  }
  rows linear(const rows& x, const std::string& name) const {
    const row w = weight(name + ".weight"), bias = weight(name + ".bias");
    rows y;
    for (const row& one : x) {
      row& to = y.emplace_back();
      for (std::size_t o = 0; o < w.size() / one.size(); ++o) {
        double sum = bias.empty() ? 0 : bias[o];
        for (std::size_t i = 0; i < one.size(); ++i) sum += one[i] * w[o * one.size() + i];
        to.push_back(b(sum));
      }
    }
    return y;
  }
  // Norm of each head, if there is one, and rotary embedding.
  rows heads(rows x, const std::string& norm_name) const {
    const row w = weight(norm_name + ".weight");
    const std::size_t dim = c_.head_dim, half = dim / 2;
    const auto& r = c_.rounding;
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t at = 0; at < x[t].size(); at += dim) {
        row head(&x[t][at], &x[t][at] + dim);
        if (!w.empty()) head = norm(head.data(), dim, w);
        for (std::size_t i = 0; i < half; ++i) {
          const double angle =
              static_cast<double>(t) *
              std::pow(c_.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
          const auto table = [&](double f) { return r.rotary_table ? b(f) : f; };
          const auto part = [&](double f) { return r.rotary_product ? b(f) : f; };
          const double c = table(std::cos(angle)), s = table(std::sin(angle));
          const std::size_t one = c_.rope_interleaved ? 2 * i : i;
          const std::size_t two = c_.rope_interleaved ? 2 * i + 1 : i + half;
          x[t][at + one] = b(part(head[one] * c) - part(head[two] * s));
          x[t][at + two] = b(part(head[two] * c) + part(head[one] * s));
        }
      }
    return x;
  }
  rows attention(const rows& q, const rows& k, const rows& v) const {
    const std::size_t dim = c_.head_dim;
    const auto& r = c_.rounding;
    rows y(q.size(), row(c_.q_width()));
    for (std::size_t t = 0; t < q.size(); ++t)
      for (std::size_t h = 0; h < c_.heads; ++h) {
        const std::size_t kv = h / c_.group() * dim;
        row p;
        for (std::size_t j = 0; j <= t; ++j) {
          double s = 0;
          for (std::size_t i = 0; i < dim; ++i) s += q[t][h * dim + i] * k[j][kv + i];
          const double scale = 1 / std::sqrt(static_cast<double>(dim));
          p.push_back(r.score ? b(b(s) * scale) : s * scale);
        }
        double largest = p[0], sum = 0;
        for (const double s : p) largest = std::max(largest, s);
        for (double& s : p) sum += s = std::exp(s - largest);
        for (double& s : p) s = r.probability ? b(s / sum) : s / sum;
        for (std::size_t i = 0; i < dim; ++i) {
          double mixed = 0;
          for (std::size_t j = 0; j <= t; ++j) mixed += p[j] * v[j][kv + i];
          y[t][h * dim + i] = b(mixed);
        }
      }
    return y;
  }

  model_config c_;
  const tensor_file& weights_;
};

}  // namespace engine::test
