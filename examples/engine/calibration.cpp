#include "engine/calibration.hpp"

#include <cmath>
#include <numbers>
#include <skv/calibrate/calibrate.hpp>

#include "engine/rotary.hpp"

namespace engine {
namespace {

using skv::done;
using skv::result;

// How K turns.
skv::rotary linear_rotary(const model_config& config) {
  skv::rotary r;
  r.is_interleaved = config.rope_interleaved;
  const rotary turning(config);
  for (const float radians : turning.frequencies())
    r.frequencies.push_back(static_cast<std::uint64_t>(
        std::ldexp(static_cast<double>(radians) / (2 * std::numbers::pi), 64)));
  return r;
}

// Shows a fit every text as often as it wants: `add` is how it takes one.
template <class Fit, class Add>
result<done> run_passes(Fit& fit, std::span<const text_tensors> texts, const Add& add) {
  do
    for (const text_tensors& text : texts)
      if (auto ok = add(text); !ok) return ok;
  while (fit.next_pass());
  return done{};
}

}  // namespace

result<fitted_scales> fit_scales(skv::format_id target, skv::mean_source source,
                                 std::span<const text_tensors> texts) {
  skv::calibrator fit(target, source, skv::format_id::bf16);
  const auto ok = run_passes(fit, texts, [&](const text_tensors& text) -> result<done> {
    for (const skv::calibration_tensor& t : text)
      if (auto added = fit.add(t.id, t.tokens, t.heads, t.head_dim, t.numbers, t.bases); !added)
        return added;
    return done{};
  });
  if (!ok) return ok.failure();
  const auto bits = fit.bits();
  auto p = fit.finish();
  if (!p) return p.failure();
  fitted_scales fitted{*std::move(p)};
  for (const auto& [id, tensor_bits] : bits)
    fitted.bits += tensor_bits / static_cast<double>(bits.size());
  return fitted;
}

result<skv::profile_ptr> fit_propagation(skv::format_id target, skv::mean_source base,
                                         const model_config& config,
                                         std::span<const text_tensors> texts) {
  skv::linear_fit_options options;
  options.rope = linear_rotary(config);
  skv::linear_fitter fit(target, base, skv::format_id::bf16, options);
  const auto ok = run_passes(fit, texts, [&](const text_tensors& text) { return fit.add(text); });
  if (!ok) return ok.failure();
  return fit.finish();
}

}  // namespace engine
