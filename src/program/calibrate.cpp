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
result<std::optional<rotary>> rope_for(const std::string& rope, const fs::path& model_config,
                                       const cache& c) {
  const auto turning = std::ranges::find_if(
      c.tensors, [](const cache_tensor& t) { return t.id.kind != tensor_kind::v; });
  if (turning == c.tensors.end() || (rope.empty() && model_config.empty()))
    return std::optional<rotary>();
  auto r = rope.empty() ? rope_of_model(model_config, turning->head_dim)
                        : parse_rope(rope, turning->head_dim);
  if (!r) return r.failure();
  return std::optional(*std::move(r));
}

// The draft's K turns as the cache's, unless an option says how.
result<linear_fit_options> options_for(const calibrate_options& o, const open_pair& opened) {
  linear_fit_options options;
  options.rank = o.rank;
  options.shards = o.shards;
  options.restart_every = o.restart_every;
  options.threads = o.threads;
  auto rope = rope_for(o.rope, o.model_config, opened.target);
  if (!rope) return rope.failure();
  options.rope = *std::move(rope);
  if (!opened.draft) return options;
  const bool is_own = !o.draft_rope.empty() || !o.draft_model_config.empty();
  auto draft_rope = is_own ? rope_for(o.draft_rope, o.draft_model_config, *opened.draft)
                           : rope_for(o.rope, o.model_config, *opened.draft);
  if (!draft_rope) return draft_rope.failure();
  options.draft_rope = *std::move(draft_rope);
  return options;
}

result<linear_result> fit_linear(const std::vector<cache_pair>& pairs, mean_source base,
                                 const calibrate_options& o) {
  std::optional<linear_fitter> fit;
  format_id target{}, mean{};
  const auto embedding = open_embedding(o.embedding);
  if (!embedding) return embedding.failure();
  do {
    for (const cache_pair& pair : pairs) {
      const auto opened =
          open({pair.target, base == mean_source::given ? pair.reference : "", pair.draft});
      if (!opened) return opened.failure();
      if (!fit) {
        target = opened->target.format();
        mean = opened->means() ? opened->means()->format() : target;
        if (!is_coded(target, mean_source::given, mean))
          return fail(status::invalid_argument,
                      pair.reference.string() + ": cannot predict these numbers");
        auto options = options_for(o, *opened);
        if (!options) return options.failure();
        fit.emplace(target, base, mean, *std::move(options));
      }
      const auto tensors = calibration_tensors(pair, *opened, target, mean);
      if (!tensors) return tensors.failure();
      const auto outside = material_of(*embedding ? &**embedding : nullptr, opened->target,
                                       opened->draft ? &*opened->draft : nullptr);
      if (!outside) return in_file(pair.target, outside.failure());
      if (auto ok = fit->add(*tensors, outside->inputs()); !ok)
        return in_file(pair.target, ok.failure());
    }
  } while (fit && fit->next_pass());
  if (!fit) return fail(status::invalid_argument, "nothing to calibrate on");
  auto p = fit->finish();
  if (!p) return p.failure();
  return linear_result{*p, fit->report()};
}

void print_profile_json(const calibrate_options& o, const profile& p, std::size_t caches,
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
                       {"embedding", t.uses_embedding},
                       {"draft", t.uses_draft},
                       {"regularisation", t.regularisation},
                       {"bits_without", t.bits_without},
                       {"bits_with", t.bits_with}});
  fmt::print("{}\n", j.dump(2));
}

}  // namespace

result<done> calibrate(const calibrate_options& o) {
  const auto pairs = pair_up(o.target, o.reference, o.draft);
  if (!pairs) return pairs.failure();
  const mean_source source = !o.reference.empty()
                                 ? mean_source::given
                                 : find_predictor(o.predictor).value_or(mean_source::none);
  if (o.linear && source == mean_source::previous_token)
    return fail(status::invalid_argument,
                "linear propagation is not offered over the predictor previous_token: over none it "
                "saves more");
  std::vector<fs::path> inputs = {o.model_config, o.draft_model_config};
  for (const cache_pair& pair : *pairs)
    inputs.insert(inputs.end(), {pair.target, pair.reference, pair.draft});
  auto out = create_output(o.output, inputs);
  if (!out) return out.failure();
  linear_result linear;
  if (o.linear) {
    auto fitted = fit_linear(*pairs, source, o);
    if (!fitted) return fitted.failure();
    linear = *std::move(fitted);
  }
  const auto p =
      linear.profile ? result<profile_ptr>(linear.profile) : fit_profile(*pairs, source, o.threads);
  if (!p) return p.failure();
  if (auto ok = out->append((*p)->bytes()); !ok) return ok;
  if (auto ok = out->commit(); !ok) return ok;
  if (o.json) {
    print_profile_json(o, **p, pairs->size(), linear);
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
