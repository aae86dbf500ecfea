#include "engine/recording.hpp"

#include <algorithm>
#include <cmath>

#include "engine/bf16.hpp"
#include "engine/generate.hpp"

namespace engine {

std::vector<std::byte> recording::kept(skv::tensor_id t, const cache_format& format) const {
  const auto& numbers = of(t);
  std::vector<std::byte> out(numbers.size() * format.number_bytes());
  format.keep(t, numbers, out.data());
  return out;
}

skv::result<recording> record(const model& m, workers& team, std::span<const std::int32_t> tokens) {
  if (auto ok = check_tokens(m.config, tokens); !ok) return ok.failure();
  recording r;
  r.tokens.assign(tokens.begin(), tokens.end());
  r.layers.resize(m.config.layers);
  page_pool pool(m.config, pages_for(tokens.size()));
  kv_cache cache(pool);
  cache.resize(static_cast<std::uint32_t>(tokens.size()));
  forward_pass pass(m, team);
  for (std::size_t first = 0; first < tokens.size(); first += kChunkTokens) {
    const auto chunk =
        tokens.subspan(first, std::min<std::size_t>(kChunkTokens, tokens.size() - first));
    const auto at = static_cast<std::uint32_t>(first);
    pass.begin(chunk, at);
    for (std::uint32_t l = 0; l < m.config.layers; ++l) {
      recording::layer& layer = r.layers[l];
      for (const float x : pass.hidden()) layer.hidden.push_back(to_bf16(x));
      const keys_values kv = pass.project(l);
      layer.k.insert(layer.k.end(), kv.k.begin(), kv.k.end());
      layer.v.insert(layer.v.end(), kv.v.begin(), kv.v.end());
      if (l + 1 == m.config.layers) break;
      cache.write(l, skv::tensor_kind::k, at, kv.k);
      cache.write(l, skv::tensor_kind::v, at, kv.v);
      pass.attend(l, cache);
    }
  }
  return r;
}

cache_format make_format(skv::format_id id, std::span<const recording> recordings) {
  cache_format format{id, {}};
  if (id == skv::format_id::bf16 || recordings.empty()) return format;
  for (std::uint32_t l = 0; l < recordings.front().layers.size(); ++l)
    for (const auto kind : {skv::tensor_kind::k, skv::tensor_kind::v}) {
      float largest = 0;
      for (const recording& r : recordings)
        for (const std::uint16_t bits : r.of({l, kind}))
          if (const float size = std::fabs(from_bf16(bits)); std::isfinite(size))
            largest = std::max(largest, size);
      format.scales.push_back(largest == 0 ? 1 : largest / 448);
    }
  return format;
}

std::vector<skv::tensor_id> tensors_of(const model_config& config) {
  std::vector<skv::tensor_id> tensors;
  for (std::uint32_t l = 0; l < config.layers; ++l)
    for (const auto kind : {skv::tensor_kind::k, skv::tensor_kind::v}) tensors.push_back({l, kind});
  return tensors;
}

}  // namespace engine
