#include "engine/evaluation.hpp"

#include <algorithm>
#include <ctime>
#include <limits>

#include "engine/generate.hpp"

namespace engine {
namespace {

using skv::fail;
using skv::result;
using skv::status;

result<measurement> measure(const fitted_predictor& f, bool is_linear, workers& team,
                            std::span<const recording> texts, const cache_format& format) {
  const skv::profile_ptr& p = is_linear ? f.linear : f.profile;
  measurement m{f.predictor->options(), is_linear, format.id, 0, 0, p->bytes().size()};
  for (const recording& r : texts) {
    const sequence_cache cache = cache_of(r, format);
    const auto file = compress(*f.predictor, team, p, cache);
    if (!file) return file.failure();
    const auto back = restore(*f.predictor, team, p, *file);
    if (!back) return back.failure();
    if (*back != cache) return fail(status::corrupt, "a cache was restored to other numbers");
    m.bytes += cache_bytes(*skv::parse_container(*file), file->size());
    for (const auto& tensor : cache.tensors) m.numbers += tensor.size() / format.number_bytes();
  }
  return m;
}

// Of this process, all threads together: what else the machine does counts less than in real time.
template <class F>
double processor_seconds_of(F&& f) {
  const std::clock_t begin = std::clock();
  f();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

constexpr int kCostRuns = 8;

std::size_t matrix_bytes(const model& m) {
  std::size_t bytes = 0;
  for (const layer_weights& l : m.layers)
    for (const auto& w : {l.q, l.k, l.v, l.o, l.gate, l.up, l.down}) bytes += w->bytes();
  return bytes;
}

}  // namespace

result<predictor_result> evaluate(const model& target, workers& team, const evaluation_texts& texts,
                                  const cache_format& format, predictor_options options,
                                  bool with_linear) {
  const auto f =
      fit_predictor(predictor_model(target, options), team, texts.calibration, format, with_linear);
  if (!f) return f.failure();
  auto alone = measure(*f, false, team, texts.evaluation, format);
  if (!alone) return alone.failure();
  predictor_result r{*alone, std::nullopt, f->bits, f->anchors};
  if (f->linear == nullptr) return r;
  auto linear = measure(*f, true, team, texts.evaluation, format);
  if (!linear) return linear.failure();
  r.linear = *linear;
  return r;
}

result<std::vector<step_result>> evaluate_steps(
    const model& target, workers& team, const evaluation_texts& texts, const cache_format& format,
    weight_format weights, bool with_linear,
    const std::function<void(const step_result&)>& report) {
  predictor_options best;
  best.weights = weights;
  std::vector<step_result> steps;
  double bits = std::numeric_limits<double>::max();
  for (bool predictor_options::*const step :
       {static_cast<bool predictor_options::*>(nullptr), &predictor_options::exact_kv,
        &predictor_options::closed_loop, &predictor_options::anchored}) {
    predictor_options options = best;
    if (step != nullptr) options.*step = true;
    auto r = evaluate(target, team, texts, format, options, with_linear);
    if (!r) return r.failure();
    steps.push_back({*std::move(r), r->calibration_bits < bits});
    if (steps.back().pays) {
      best = options;
      bits = steps.back().result.calibration_bits;
    }
    if (report) report(steps.back());
  }
  return steps;
}

result<predictor_cost> measure_cost(const model& target, workers& team, const predictor_model& m,
                                    std::span<const recording> texts, const cache_format& format) {
  predictor_cost cost{m.options(), 0, 0, matrix_bytes(m.weights()), matrix_bytes(target)};
  const model_config& config = target.config;
  const std::size_t row_bytes = std::size_t{config.kv_width()} * format.number_bytes();
  for (const recording& r : texts) {
    const sequence_cache cache = cache_of(r, format);
    const auto tokens = static_cast<std::uint32_t>(r.tokens.size());
    result<skv::done> outcome = skv::done{};
    const auto run_target = [&] {
      page_pool pool(config, pages_for(tokens));
      kv_cache pages(pool);
      forward_pass pass(target, team);
      if (auto ok = prefill(pass, pages, r.tokens); !ok) outcome = ok;
    };
    const auto run_predictor = [&] {
      auto p = model_predictor::start(m, team, r.tokens, format);
      if (!p) {
        outcome = p.failure();
        return;
      }
      std::size_t i = 0;
      for (const skv::tensor_id t : tensors_of(config)) {
        const skv::tensor_shape shape{t, tokens, config.kv_heads, config.head_dim};
        (*p)->predict(shape);
        (*p)->update(shape, {cache.tensors[i++].data(), row_bytes});
      }
    };
    // In turns, so that both see the machine as it is.
    double target_seconds = std::numeric_limits<double>::max(), seconds = target_seconds;
    for (int i = 0; i < kCostRuns && outcome; ++i) {
      target_seconds = std::min(target_seconds, processor_seconds_of(run_target));
      seconds = std::min(seconds, processor_seconds_of(run_predictor));
    }
    cost.prefill_seconds += target_seconds;
    cost.seconds += seconds;
    if (!outcome) return outcome.failure();
  }
  return cost;
}

}  // namespace engine
