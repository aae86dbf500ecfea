// Caches of a toy with the structure that linear propagation looks for: layers that are linear maps
// of a state which changes a little from layer to layer, K turned by its position, and a smaller
// toy that knows part of the state.
#pragma once

#include <cmath>
#include <numbers>
#include <vector>

#include "support/patterns.hpp"

namespace skv::test {

class toy_model {
 public:
  static constexpr std::uint32_t kVocabulary = 40, kState = 16, kLayers = 3, kHeads = 2,
                                 kHeadDim = 8;
  static constexpr std::uint32_t kDraftLayers = 2, kDraftHeads = 1, kDraftHeadDim = 12;
  static constexpr double kTheta = 10000;

  toy_model() : random_(11) {
    embedding_ = matrix(kVocabulary, kState);
    for (std::uint32_t l = 0; l < kLayers; ++l) {
      k_.push_back(matrix(kHeads * kHeadDim, kState));
      v_.push_back(matrix(kHeads * kHeadDim, kState));
      step_.push_back(matrix(kState, kState));
    }
    for (std::uint32_t l = 0; l < kDraftLayers; ++l) {
      draft_k_.push_back(matrix(kDraftHeads * kDraftHeadDim, kState));
      draft_v_.push_back(matrix(kDraftHeads * kDraftHeadDim, kState));
    }
  }

  struct cache {
    std::vector<std::int32_t> ids;
    std::vector<std::vector<double>> k, v, draft_k,
        draft_v;  // per layer, [tokens][heads * head_dim]
  };
  /// A cache of `tokens` tokens; with `shuffled` rows of every tensor in an order of their own.
  cache run(std::uint32_t tokens, std::uint64_t seed) const {
    random_source random(seed);
    cache c;
    c.k.resize(kLayers);
    c.v.resize(kLayers);
    c.draft_k.resize(kDraftLayers);
    c.draft_v.resize(kDraftLayers);
    std::vector<double> context(kState);
    for (std::uint32_t t = 0; t < tokens; ++t) {
      c.ids.push_back(static_cast<std::int32_t>(random.below(kVocabulary)));
      std::vector<double> h = row(embedding_, static_cast<std::uint32_t>(c.ids.back()));
      normalise(h);
      for (double& x : context) x = 0.7 * x + random.gaussian();
      for (std::uint32_t l = 0; l < kLayers; ++l) {
        append(c.k[l], product(k_[l], h), kHeads, kHeadDim, t, true);
        append(c.v[l], product(v_[l], h), kHeads, kHeadDim, t, false);
        if (l < kDraftLayers) {
          std::vector<double> rough = h;
          for (double& x : rough) x += 0.05 * random.gaussian();
          append(c.draft_k[l], product(draft_k_[l], rough), kDraftHeads, kDraftHeadDim, t, true);
          append(c.draft_v[l], product(draft_v_[l], rough), kDraftHeads, kDraftHeadDim, t, false);
        }
        const std::vector<double> change = product(step_[l], h);
        for (std::uint32_t i = 0; i < kState; ++i)
          h[i] +=
              0.3 * std::tanh(change[i]) + (l == 0 ? 0.5 * context[i] : 0.05 * random.gaussian());
      }
    }
    return c;
  }
  const std::vector<double>& embedding() const { return embedding_; }

  static std::vector<std::byte> patterns(number_format f, const std::vector<double>& values) {
    std::vector<std::byte> bytes;
    for (const double x : values) append_pattern(bytes, f, to_pattern(f, x));
    return bytes;
  }

 private:
  std::vector<double> matrix(std::uint32_t rows, std::uint32_t columns) {
    std::vector<double> m(std::size_t{rows} * columns);
    for (double& x : m) x = random_.gaussian() / std::sqrt(columns);
    return m;
  }
  static std::vector<double> row(const std::vector<double>& m, std::uint32_t r) {
    return {m.begin() + r * kState, m.begin() + (r + 1) * kState};
  }
  static void normalise(std::vector<double>& h) {
    double squares = 0;
    for (const double x : h) squares += x * x;
    for (double& x : h) x /= std::sqrt(squares / kState);
  }
  static std::vector<double> product(const std::vector<double>& m, const std::vector<double>& h) {
    std::vector<double> y(m.size() / kState);
    for (std::size_t o = 0; o < y.size(); ++o)
      for (std::size_t i = 0; i < kState; ++i) y[o] += m[o * kState + i] * h[i];
    return y;
  }
  static void append(std::vector<double>& to, std::vector<double> row, std::uint32_t heads,
                     std::uint32_t head_dim, std::uint32_t position, bool turns) {
    const std::uint32_t pairs = head_dim / 2;
    for (std::uint32_t h = 0; turns && h < heads; ++h)
      for (std::uint32_t p = 0; p < pairs; ++p) {
        const double angle = position * std::pow(kTheta, -2.0 * p / head_dim);
        double &x = row[h * head_dim + p], &y = row[h * head_dim + p + pairs];
        const double turned = x * std::cos(angle) - y * std::sin(angle);
        y = y * std::cos(angle) + x * std::sin(angle);
        x = turned;
      }
    to.insert(to.end(), row.begin(), row.end());
  }

  random_source random_;
  std::vector<double> embedding_;
  std::vector<std::vector<double>> k_, v_, step_, draft_k_, draft_v_;
};

}  // namespace skv::test
