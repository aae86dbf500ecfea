#include "engine/coding.hpp"

#include <numeric>
#include <skv/calibrate/calibrate.hpp>
#include <skv/calibrate/linear.hpp>

namespace engine {

using namespace skv;

namespace {

row_view<const std::byte> rows_of(const recording& r, tensor_id id, const model_config& c) {
  return {std::as_bytes(std::span(r.of(id))).data(), 2 * std::size_t{c.kv_width()}};
}

result<profile_ptr> fit_scales(mean_source source, std::span<const recording> recordings,
                               const model_config& c) {
  calibrator fit(format_id::bf16, source, format_id::bf16);
  do
    for (const recording& r : recordings)
      for (const tensor_id id : tensors_of(c))
        if (auto ok = fit.add(id, static_cast<std::uint32_t>(r.tokens.size()), c.kv_heads,
                              c.head_dim, rows_of(r, id, c), {});
            !ok)
          return ok.failure();
  while (fit.next_pass());
  return fit.finish();
}

result<profile_ptr> fit_propagation(std::span<const recording> recordings, const model_config& c) {
  linear_fit_options options;
  options.rope = linear_rotary(c);
  linear_fitter fit(format_id::bf16, mean_source::none, format_id::bf16, options);
  do
    for (const recording& r : recordings) {
      std::vector<calibration_tensor> cache;
      for (const tensor_id id : tensors_of(c))
        cache.push_back({id,
                         static_cast<std::uint32_t>(r.tokens.size()),
                         c.kv_heads,
                         c.head_dim,
                         rows_of(r, id, c),
                         {}});
      if (auto ok = fit.add(cache); !ok) return ok.failure();
    }
  while (fit.next_pass());
  return fit.finish();
}

std::vector<std::uint32_t> positions(std::size_t count) {
  std::vector<std::uint32_t> p(count);
  std::iota(p.begin(), p.end(), 0);
  return p;
}

// Calls f with a fresh predictor of its own type: the codec asks it without a virtual call.
template <class F>
result<done> with_predictor(const coding& by, workers& team, std::span<const std::int32_t> tokens,
                            const F& f) {
  const profile_content& p = by.profile->content();
  const auto propagated = [&](auto base) {
    cpu::linear on_top(by.profile, std::move(base), positions(tokens.size()));
    return f(on_top);
  };
  if (by.predictor == nullptr) {
    if (p.linear) return propagated(none());
    none nothing;
    previous_token before;
    return p.source == mean_source::none ? f(nothing) : f(before);
  }
  auto base = model_predictor::start(*by.predictor, team, tokens, {});
  if (!base) return base.failure();
  return p.linear ? propagated(predictor_ref(**base)) : f(**base);
}

}  // namespace

result<std::vector<coding>> fit_without_model(std::span<const recording> recordings,
                                              const model_config& config) {
  std::vector<coding> codings;
  for (const auto source : {mean_source::none, mean_source::previous_token}) {
    auto p = fit_scales(source, recordings, config);
    if (!p) return p.failure();
    codings.push_back(
        {source == mean_source::none ? "none" : "previous token", *std::move(p), nullptr});
  }
  auto p = fit_propagation(recordings, config);
  if (!p) return p.failure();
  if (*p != nullptr) codings.push_back({"linear propagation", *std::move(p), nullptr});
  return codings;
}

result<std::vector<coding>> fit_with_model(const model& target, workers& team,
                                           std::span<const recording> recordings,
                                           predictor_options options, bool with_linear) {
  const auto fitted =
      fit_predictor(predictor_model(target, options), team, recordings, {}, with_linear);
  if (!fitted) return fitted.failure();
  const std::string name = to_string(options);
  std::vector<coding> codings = {{name, fitted->profile, fitted->predictor}};
  if (fitted->linear != nullptr)
    codings.push_back({name + " + linear", fitted->linear, fitted->predictor});
  return codings;
}

result<offloaded_cache> offload(const coding& by, workers& team,
                                std::span<const std::int32_t> tokens, const kv_cache& cache,
                                const model_config& config) {
  const cpu::codec coder(by.profile);
  offloaded_cache out;
  const auto ok = with_predictor(by, team, tokens, [&](auto& predictor) -> result<done> {
    auto made = offload(coder, predictor, cache, config);
    if (!made) return made.failure();
    out = *std::move(made);
    return done{};
  });
  if (!ok) return ok.failure();
  return out;
}

result<done> reload(const coding& by, workers& team, std::span<const std::int32_t> tokens,
                    const offloaded_cache& from, kv_cache& cache, const model_config& config) {
  const cpu::codec coder(by.profile);
  return with_predictor(by, team, tokens, [&](auto& predictor) {
    return reload(coder, predictor, from, cache, config);
  });
}

}  // namespace engine
