// A model run over tokens, and all that it leaves.
#pragma once

#include <gtest/gtest.h>

#include "engine/generate.hpp"

namespace engine::test {

struct run_result {
  std::vector<std::vector<std::uint16_t>> tensors;  // K, V of layer 0, K, V of layer 1 ...
  std::vector<float> logits;                        // of the last token

  friend bool operator==(const run_result&, const run_result&) = default;
};

inline std::vector<std::vector<std::uint16_t>> numbers_of(const kv_cache& cache,
                                                          const model_config& c) {
  std::vector<std::vector<std::uint16_t>> tensors;
  for (std::uint32_t l = 0; l < c.layers; ++l)
    for (const auto kind : {skv::tensor_kind::k, skv::tensor_kind::v})
      cache.read(l, kind, 0, tensors.emplace_back(std::size_t{cache.tokens()} * c.kv_width()));
  return tensors;
}

/// In chunks of these sizes, which add up to the tokens.
inline run_result run(const model& m, workers& team, const std::vector<std::int32_t>& tokens,
                      const std::vector<std::uint32_t>& chunks = {}) {
  page_pool pool(m.config, static_cast<std::uint32_t>(tokens.size() / kPageTokens + 1));
  kv_cache cache(pool);
  forward_pass pass(m, team);
  std::size_t at = 0;
  for (const std::uint32_t n :
       chunks.empty() ? std::vector{static_cast<std::uint32_t>(tokens.size())} : chunks) {
    const auto ok = prefill(pass, cache, std::span(tokens).subspan(at, n));
    EXPECT_TRUE(ok) << ok.failure().message;
    at += n;
  }
  EXPECT_EQ(at, tokens.size());
  run_result r{numbers_of(cache, m.config), std::vector<float>(m.config.vocabulary)};
  pass.logits(pass.tokens() - 1, r.logits);
  return r;
}

}  // namespace engine::test
