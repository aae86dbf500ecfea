#include "engine/generate.hpp"

#include <algorithm>

namespace engine {

using namespace skv;

result<done> check_tokens(const model_config& config, std::span<const std::int32_t> tokens,
                          std::uint32_t first) {
  constexpr std::size_t kMaxPositions = 1u << 20;  // as far as elementary.hpp knows sines
  if (tokens.empty()) return fail(status::invalid_argument, "there is no token to run");
  for (const std::int32_t t : tokens)
    if (t < 0 || static_cast<std::uint32_t>(t) >= config.vocabulary)
      return fail(status::invalid_argument, "token " + std::to_string(t) +
                                                ": the model's vocabulary has " +
                                                std::to_string(config.vocabulary) + " tokens");
  if (first + tokens.size() > kMaxPositions)
    return fail(status::unsupported,
                "sequences of more than " + std::to_string(kMaxPositions) + " tokens");
  if (config.scaling.type == rope_scaling::kind::dynamic &&
      first + tokens.size() > config.max_positions)
    return fail(status::unsupported, "dynamic rotary scaling beyond " +
                                         std::to_string(config.max_positions) +
                                         " positions: earlier keys would have to turn anew");
  return done{};
}

result<done> prefill(forward_pass& pass, kv_cache& cache, std::span<const std::int32_t> tokens) {
  if (auto ok = check_tokens(pass.used_model().config, tokens, cache.tokens()); !ok) return ok;
  std::uint32_t first = cache.tokens();
  if (!cache.resize(first + static_cast<std::uint32_t>(tokens.size())))
    return fail(status::does_not_fit,
                "the pool has no pages for " + std::to_string(tokens.size()) + " tokens more");
  while (!tokens.empty()) {
    const auto chunk = tokens.first(std::min<std::size_t>(tokens.size(), kChunkTokens));
    pass.begin(chunk, first);
    for (std::uint32_t layer = 0; layer < pass.used_model().config.layers; ++layer) {
      const auto [k, v] = pass.project(layer);
      cache.write(layer, tensor_kind::k, first, k);
      cache.write(layer, tensor_kind::v, first, v);
      pass.attend(layer, cache);
    }
    first += pass.tokens();
    tokens = tokens.subspan(chunk.size());
  }
  return done{};
}

std::int32_t greedy_token(forward_pass& pass) {
  std::vector<float> logits(pass.used_model().config.vocabulary);
  pass.logits(pass.tokens() - 1, logits);
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

result<done> decode(forward_pass& pass, kv_cache& cache, std::vector<std::int32_t>& tokens,
                    std::uint32_t count) {
  const auto& ends = pass.used_model().config.end_tokens;
  for (; count > 0; --count) {
    if (auto ok = prefill(pass, cache, std::span(tokens).subspan(cache.tokens())); !ok) return ok;
    tokens.push_back(greedy_token(pass));
    if (std::ranges::find(ends, tokens.back()) != ends.end()) break;
  }
  return done{};
}

}  // namespace engine
