// Token frequencies of one context, and the tables of a tile made of them.
#pragma once

#include <skv/entropy/table.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "support/random.hpp"

namespace skv::test {

using frequencies = std::vector<std::uint16_t>;

/// Scales weights to frequencies that sum to kSlots. Weights above 0 get at least 1; so does the
/// escape, whatever its weight.
inline frequencies from_weights(std::vector<double> weights, std::uint32_t escape) {
  if (weights[escape] <= 0) weights[escape] = 1e-9;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  frequencies f(weights.size());
  int left = static_cast<int>(kSlots);
  for (std::size_t i = 0; i < f.size(); ++i) {
    if (weights[i] <= 0) continue;
    f[i] = static_cast<std::uint16_t>(std::max(1.0, std::floor(weights[i] / sum * kSlots)));
    left -= f[i];
  }
  while (left != 0) {  // the largest can spare or take what is over
    auto largest = std::max_element(f.begin(), f.end());
    const int change = left > 0 ? left : -std::min(-left, *largest / 2);
    *largest = static_cast<std::uint16_t>(*largest + change);
    left -= change;
  }
  if (f[escape] == kSlots) {  // no token has all
    f[escape] = kSlots - 1;
    f[escape == 0 ? 1 : 0] = 1;
  }
  return f;
}

inline frequencies equal_frequencies(std::uint32_t count) {
  return from_weights(std::vector<double>(count, 1.0), count - 1);
}
/// One token has almost everything, the escape the one slot that it must have (or, if it is the
/// escape, the first token).
inline frequencies single_token(std::uint32_t count, std::uint32_t token) {
  std::vector<double> weights(count, 0.0);
  weights[token] = 1;
  return from_weights(weights, count - 1);
}
/// Every second token, and weights that fall by a random factor.
inline frequencies random_frequencies(std::uint32_t count, random_source& random) {
  std::vector<double> weights(count, 0.0);
  const double fall = random.uniform();
  double weight = 1;
  for (auto& w : weights) {
    w = random.chance(0.5) ? weight : 0;
    weight *= 0.5 + fall / 2;
  }
  return from_weights(weights, count - 1);
}

/// Both forms of the tables of a coding's contexts.
struct table_pair {
  std::vector<std::uint32_t> decode, encode;
};

/// `of_context(context)` gives the frequencies of a context.
template <class Tokens, class F>
table_pair make_tables(std::uint32_t contexts, F&& of_context) {
  table_pair t;
  t.decode.resize(std::size_t{contexts} * kSlots);
  t.encode.resize(std::size_t{contexts} * kMaxTokens * encode_entry::kWords);
  for (std::uint32_t c = 0; c < contexts; ++c) {
    const frequencies f = of_context(c);
    assert(std::accumulate(f.begin(), f.end(), 0u) == kSlots && f.size() == Tokens::kCount);
    fill_decode_table<Tokens>(f, std::span(t.decode).subspan(std::size_t{c} * kSlots, kSlots));
    fill_encode_table<Tokens>(
        f, std::span(t.encode).subspan(std::size_t{c} * kMaxTokens * encode_entry::kWords,
                                       kMaxTokens * encode_entry::kWords));
  }
  return t;
}

}  // namespace skv::test
