#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <skv/predict/list.hpp>

#include "io/progress.hpp"
#include "program/commands.hpp"
#include "program/rope.hpp"

namespace skv::program {
namespace {

struct linear_result {
  profile_ptr profile;  // null: nothing pays
  std::vector<linear_fit_report> report;
};

// How K turns: as an option says, or not at all.
result<std::optional<rotary>> rope_for(const calibrate_options& o, const cache& c) {
  const auto turning = std::ranges::find_if(
      c.tensors, [](const cache_tensor& t) { return t.id.kind != tensor_kind::v; });
  if (turning == c.tensors.end() || (o.rope.empty() && o.model_config.empty()))
    return std::optional<rotary>();
  auto r = o.rope.empty() ? rope_of_model(o.model_config, turning->head_dim)
                          : parse_rope(o.rope, turning->head_dim);
  if (!r) return r.failure();
  return std::optional(*std::move(r));
}

result<linear_result> fit_linear(const std::vector<cache_pair>& pairs, mean_source base,
                                 const calibrate_options& o) {
  std::optional<linear_fitter> fit;
  format_id target{}, mean{};
  do {
    for (const cache_pair& pair : pairs) {
      const auto opened = open({pair.target, base == mean_source::given ? pair.reference : ""});
      if (!opened) return opened.failure();
      if (!fit) {
        target = opened->target.format();
        mean = opened->means() ? opened->means()->format() : target;
        if (!is_coded(target, mean_source::given, mean))
          return fail(status::invalid_argument,
                      pair.reference.string() + ": cannot predict these numbers");
        auto rope = rope_for(o, opened->target);
        if (!rope) return rope.failure();
        fit.emplace(target, base, mean,
                    linear_fit_options{*std::move(rope), o.rank, o.shards, o.restart_every,
                                       o.threads});
      }
      const auto tensors = calibration_tensors(pair, *opened, target, mean);
      if (!tensors) return tensors.failure();
      if (auto ok = fit->add(*tensors); !ok) return in_file(pair.target, ok.failure());
    }
  } while (fit && fit->next_pass());
  if (!fit) return fail(status::invalid_argument, "nothing to calibrate on");
  auto p = fit->finish();
  if (!p) return p.failure();
  return linear_result{*p, fit->report()};
}

void print_json(const calibrate_options& o, const profile& p, std::size_t caches,
                const linear_result& linear) {
  nlohmann::ordered_json j;
  j["output"] = o.output.string();
  j["profile"] = to_string(p.id());
  j["bytes"] = p.bytes().size();
  j["caches"] = caches;
  j["format"] = to_string(p.content().target);
  j["predictor"] = name_of(p.content().base());
  j["linear"] = p.content().linear.has_value();
  auto& tensors = j["tensors"] = nlohmann::ordered_json::array();
  for (const linear_fit_report& t : linear.report)
    tensors.push_back({{"layer", t.id.layer},
                       {"kind", to_string(t.id.kind)},
                       {"predicted", t.is_predicted},
                       {"sources", t.sources},
                       {"regularisation", t.regularisation},
                       {"bits_without", t.bits_without},
                       {"bits_with", t.bits_with}});
  fmt::print("{}\n", j.dump(2));
}

}  // namespace

result<done> calibrate(const calibrate_options& o) {
  const auto pairs = pair_up(o.target, o.reference);
  if (!pairs) return pairs.failure();
  const mean_source source = !o.reference.empty()
                                 ? mean_source::given
                                 : find_predictor(o.predictor).value_or(mean_source::none);
  std::vector<fs::path> inputs = {o.model_config};
  for (const cache_pair& pair : *pairs) inputs.insert(inputs.end(), {pair.target, pair.reference});
  auto out = create_output(o.output, inputs);
  if (!out) return out.failure();
  linear_result linear;
  if (o.linear) {
    auto fitted = fit_linear(*pairs, source, o);
    if (!fitted) return fitted.failure();
    linear = *std::move(fitted);
  }
  const auto p = linear.profile ? result<profile_ptr>(linear.profile)
                                : fit_profile(*pairs, source, o.threads);
  if (!p) return p.failure();
  if (auto ok = out->append((*p)->bytes()); !ok) return ok;
  if (auto ok = out->commit(); !ok) return ok;
  if (o.json) {
    print_json(o, **p, pairs->size(), linear);
    return done{};
  }
  fmt::print("{}: profile {}, {} tensors of {}, predictor {}{}, from {} caches\n",
             o.output.string(), to_string((*p)->id()), (*p)->content().scales.size(),
             to_string((*p)->content().target), name_of(source), linear.profile ? "+linear" : "",
             pairs->size());
  if (o.linear && !linear.profile)
    fmt::print("linear propagation does not pay on these caches: the profile is without it\n");
  return done{};
}

}  // namespace skv::program
