// A sequence's cache out of its pages and back: compressed tensor by tensor.
#pragma once

#include <optional>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/predict/identity.hpp>

#include "engine/kv_cache.hpp"

namespace engine {

/// A cache while it takes no pages.
struct offloaded_cache {
  std::uint32_t tokens = 0;
  std::vector<skv::cpu::encoded_tensor> tensors;  ///< K and V of layer 0, of layer 1 ...
  /// The model that predicted them, if one did.
  std::optional<skv::predictor_identity> predictor;

  /// With the records of the tiles, which must be kept beside their bytes; not with the predictor's
  /// identity, of which an engine has one for all caches.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& t : tensors)
      sum += t.bytes.size() + t.records.size() * sizeof(skv::tile_record);
    return sum;
  }
};

namespace detail {
// Calls f(shape) for K and V of every layer, in the order of coding, until one call fails.
template <class F>
skv::result<skv::done> for_each_tensor(const model_config& c, std::uint32_t tokens, F&& f) {
  for (std::uint32_t layer = 0; layer < c.layers; ++layer)
    for (const auto kind : {skv::tensor_kind::k, skv::tensor_kind::v})
      if (auto ok = f(skv::tensor_shape{{layer, kind}, tokens, c.kv_heads, c.head_dim}); !ok)
        return ok;
  return skv::done{};
}
}  // namespace detail

/// Compresses the whole cache; its pages stay as they are. `predictor` is fresh, one that the
/// profile was fitted for. Fails as skv::cpu::encode_tensor.
template <skv::predictor Predictor>
skv::result<offloaded_cache> offload(const skv::cpu::codec& coder, Predictor& predictor,
                                     const kv_cache& cache, const model_config& config) {
  offloaded_cache out{cache.tokens(), {}, {}};
  std::vector<std::uint16_t> rows(std::size_t{cache.tokens()} * config.kv_width());
  const auto ok = detail::for_each_tensor(
      config, cache.tokens(), [&](const skv::tensor_shape& t) -> skv::result<skv::done> {
        cache.read(t.id.layer, t.id.kind, 0, rows);
        auto encoded = skv::cpu::encode_tensor(
            coder, predictor, t, {std::as_bytes(std::span(rows)).data(), 2 * t.width()});
        if (!encoded) return encoded.failure();
        out.tensors.push_back(*std::move(encoded));
        return skv::done{};
      });
  if (!ok) return ok.failure();
  return out;
}

/// The mirror, with a predictor that is as fresh: `cache` has room for the tokens. Fails as
/// skv::cpu::decode_tensor; the cache then holds no particular numbers.
template <skv::predictor Predictor>
skv::result<skv::done> reload(const skv::cpu::codec& coder, Predictor& predictor,
                              const offloaded_cache& from, kv_cache& cache,
                              const model_config& config) {
  std::vector<std::uint16_t> rows(std::size_t{from.tokens} * config.kv_width());
  auto next = from.tensors.begin();
  return detail::for_each_tensor(
      config, from.tokens, [&](const skv::tensor_shape& t) -> skv::result<skv::done> {
        if (next == from.tensors.end())
          return skv::fail(skv::status::truncated, to_string(t.id) + " is missing");
        const auto out = std::as_writable_bytes(std::span(rows));
        if (auto ok =
                skv::cpu::decode_tensor(coder, predictor, t, *next++, {out.data(), 2 * t.width()});
            !ok)
          return ok;
        cache.write(t.id.layer, t.id.kind, 0, rows);
        return skv::done{};
      });
}

}  // namespace engine
