#include "engine/coding.hpp"

#include <skv/predict/none.hpp>
#include <skv/predict/previous_token.hpp>

#include "engine/calibration.hpp"
#include "engine/propagation.hpp"

namespace engine {

using namespace skv;

namespace {

text_tensors tensors_of_text(const recording& r, const model_config& c) {
  text_tensors tensors;
  for (const tensor_id id : tensors_of(c))
    tensors.push_back({id,
                       static_cast<std::uint32_t>(r.tokens.size()),
                       c.kv_heads,
                       c.head_dim,
                       {std::as_bytes(std::span(r.of(id))).data(), 2 * std::size_t{c.kv_width()}},
                       {}});
  return tensors;
}

// Calls f with a fresh predictor of its own type.
template <class F>
result<done> with_predictor(const coding& by, workers& team, std::span<const std::int32_t> tokens,
                            const F& f) {
  if (by.predictor != nullptr) {
    const auto started = model_predictor::start(*by.predictor, team, tokens, {});
    if (!started) return started.failure();
    return with_propagation(by.profile, predictor_ref(**started), tokens.size(), f);
  }
  if (by.profile->content().source != mean_source::previous_token)
    return with_propagation(by.profile, none(), tokens.size(), f);
  previous_token before;
  return f(before);
}

}  // namespace

result<std::vector<coding>> fit_without_model(std::span<const recording> recordings,
                                              const model_config& config) {
  std::vector<text_tensors> texts;
  for (const recording& r : recordings) texts.push_back(tensors_of_text(r, config));
  std::vector<coding> codings;
  for (const auto source : {mean_source::none, mean_source::previous_token}) {
    auto scales = fit_scales(format_id::bf16, source, texts);
    if (!scales) return scales.failure();
    codings.push_back(
        {source == mean_source::none ? "none" : "previous token", scales->profile, nullptr});
  }
  auto p = fit_propagation(format_id::bf16, mean_source::none, config, texts);
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
  if (by.predictor != nullptr) out.predictor = by.predictor->identity();
  return out;
}

result<done> reload(const coding& by, workers& team, std::span<const std::int32_t> tokens,
                    const offloaded_cache& from, kv_cache& cache, const model_config& config) {
  if (by.predictor != nullptr) {
    if (auto ok = require_predictor(from.predictor, by.predictor->identity()); !ok) return ok;
  } else if (from.predictor) {
    return fail(status::wrong_prediction, "was compressed with the predictor " +
                                              describe(*from.predictor) + ", none is given");
  }
  const cpu::codec coder(by.profile);
  return with_predictor(by, team, tokens, [&](auto& predictor) {
    return reload(coder, predictor, from, cache, config);
  });
}

}  // namespace engine
