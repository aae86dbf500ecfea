#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/commands.hpp"
#include "engine/evaluation.hpp"
#include "engine/texts.hpp"

namespace engine {

using namespace skv;

namespace {

namespace fs = std::filesystem;

struct evaluate_options {
  std::vector<fs::path> models, calibration, evaluation;  // of each model
  unsigned threads = 0;
  bool rounds_as_modules = false;
  std::vector<std::string> predictors, formats;
  bool exact_kv = false, closed_loop = false, anchored = false, linear = false, all_steps = false;
  std::uint32_t tokens_per_text = 1024;
  bool costs = false, json = false;
};

constexpr weight_format kWeights[] = {weight_format::fp8, weight_format::int8, weight_format::int4};

class table {
 public:
  explicit table(bool is_json) : is_json_(is_json) {
    if (!is_json_)
      fmt::print("{:<12} {:<5} {:<36} {:>8} {:>7} {:>9} {:>7}\n", "model", "cache", "predictor",
                 "bits", "ratio", "+linear", "ratio");
  }
  /// What is added from now on is of this model.
  void begin(std::string model) { model_ = std::move(model); }
  void add(const predictor_result& r, bool pays) {
    const measurement& a = r.alone;
    const std::string format(to_string(a.format)), name = to_string(a.options);
    nlohmann::ordered_json row = {{"model", model_},
                                  {"cache", format},
                                  {"predictor", name},
                                  {"pays", pays},
                                  {"scalars", a.numbers},
                                  {"bytes", a.bytes},
                                  {"bits_per_scalar", a.bits()},
                                  {"ratio", a.ratio()},
                                  {"profile_bytes", a.profile_bytes},
                                  {"calibration_bits", r.calibration_bits}};
    for (const anchor_report& t : r.anchors)
      row["anchors"].push_back({{"tensor", to_string(t.id)},
                                {"error_before", t.error_before},
                                {"error_after", t.error_after}});
    if (r.linear)
      row["linear"] = {{"bytes", r.linear->bytes},
                       {"bits_per_scalar", r.linear->bits()},
                       {"ratio", r.linear->ratio()},
                       {"profile_bytes", r.linear->profile_bytes}};
    rows_.push_back(std::move(row));
    if (is_json_) return;
    const std::string linear =
        r.linear ? fmt::format("{:9.3f} {:6.2f}x", r.linear->bits(), r.linear->ratio())
                 : fmt::format("{:>9} {:>7}", "-", "");
    fmt::print("{:<12} {:<5} {:<36} {:8.3f} {:6.2f}x {}{}\n", model_, format, name, a.bits(),
               a.ratio(), linear, pays ? "" : "  does not pay: left off");
    std::fflush(stdout);
  }
  void add(const predictor_cost& c) {
    costs_.push_back({{"model", model_},
                      {"predictor", to_string(c.options)},
                      {"seconds", c.seconds},
                      {"prefill_seconds", c.prefill_seconds},
                      {"share_of_prefill", c.seconds / c.prefill_seconds},
                      {"weight_bytes", c.weight_bytes},
                      {"target_weight_bytes", c.target_bytes}});
    if (is_json_) return;
    if (costs_.size() == 1)
      fmt::print("\n{:<12} {:<36} {:>10} {:>10} {:>7} {:>8}\n", "model", "predictor", "seconds",
                 "prefill", "share", "weights");
    fmt::print("{:<12} {:<36} {:10.4f} {:10.4f} {:6.1f}% {:7.1f}%\n", model_, to_string(c.options),
               c.seconds, c.prefill_seconds, 100 * c.seconds / c.prefill_seconds,
               100 * static_cast<double>(c.weight_bytes) / static_cast<double>(c.target_bytes));
    std::fflush(stdout);
  }
  void finish() const {
    if (is_json_)
      fmt::print("{}\n", nlohmann::ordered_json{{"rows", rows_}, {"costs", costs_}}.dump(2));
  }

 private:
  bool is_json_;
  std::string model_;
  nlohmann::ordered_json rows_ = nlohmann::ordered_json::array(),
                         costs_ = nlohmann::ordered_json::array();
};

result<done> evaluate_format(const evaluate_options& o, const model& target, workers& team,
                             const evaluation_texts& texts, const cache_format& format,
                             table& out) {
  for (const weight_format weights : kWeights) {
    if (std::ranges::find(o.predictors, to_string(weights)) == o.predictors.end()) continue;
    if (o.all_steps) {
      const auto steps = evaluate_steps(target, team, texts, format, weights, o.linear,
                                        [&](const step_result& s) { out.add(s.result, s.pays); });
      if (!steps) return steps.failure();
      continue;
    }
    const auto r = evaluate(target, team, texts, format,
                            {weights, o.exact_kv, o.closed_loop, o.anchored}, o.linear);
    if (!r) return r.failure();
    out.add(*r, true);
  }
  return done{};
}

// Of the cheapest predictor and of the dearest of each kind of weights.
result<done> measure_costs(const evaluate_options& o, const model& target, workers& team,
                           const evaluation_texts& texts, table& out) {
  const cache_format format = make_format(format_id::bf16, texts.calibration);
  for (const weight_format weights : kWeights) {
    if (std::ranges::find(o.predictors, to_string(weights)) == o.predictors.end()) continue;
    for (const predictor_options& options :
         {predictor_options{weights}, predictor_options{weights, true, true, false},
          predictor_options{weights, true, true, true}}) {
      const auto f =
          fit_predictor(predictor_model(target, options), team, texts.calibration, format, false);
      if (!f) return f.failure();
      const auto cost = measure_cost(target, team, *f->predictor, texts.evaluation, format);
      if (!cost) return cost.failure();
      out.add(*cost);
    }
  }
  return done{};
}

// A model with what is measured on it.
struct subject {
  std::string name;
  loaded m;
  evaluation_texts texts;
};

result<subject> load_subject(const evaluate_options& o, std::size_t i, workers& team) {
  model_options options;
  options.folder = o.models[i];
  options.rounds_as_modules = o.rounds_as_modules;
  auto m = load(options);
  if (!m) return m.failure();
  const fs::path folder = o.models[i].has_filename() ? o.models[i] : o.models[i].parent_path();
  subject s{folder.filename().string(), *std::move(m), {}};
  for (const auto& [from, to] : {std::pair{&o.calibration[i], &s.texts.calibration},
                                 std::pair{&o.evaluation[i], &s.texts.evaluation}}) {
    auto recordings = record_all(*from, s.m, team, o.tokens_per_text);
    if (!recordings) return recordings.failure();
    *to = *std::move(recordings);
  }
  return s;
}

result<done> run(const evaluate_options& o) {
  if (o.calibration.size() != o.models.size() || o.evaluation.size() != o.models.size())
    return fail(status::invalid_argument,
                "every --model needs one --calibration and one --evaluation");
  workers team(o.threads);
  std::vector<subject> subjects;
  for (std::size_t i = 0; i < o.models.size(); ++i) {
    auto s = load_subject(o, i, team);
    if (!s) return s.failure();
    subjects.push_back(*std::move(s));
  }
  table out(o.json);
  for (const subject& s : subjects) {
    out.begin(s.name);
    for (const format_id id : {format_id::bf16, format_id::e4m3}) {
      if (std::ranges::find(o.formats, to_string(id)) == o.formats.end()) continue;
      const cache_format format = make_format(id, s.texts.calibration);
      if (auto ok = evaluate_format(o, s.m.used, team, s.texts, format, out); !ok) return ok;
    }
  }
  for (const subject& s : subjects) {
    if (!o.costs) break;
    out.begin(s.name);
    if (auto ok = measure_costs(o, s.m.used, team, s.texts, out); !ok) return ok;
  }
  out.finish();
  return done{};
}

}  // namespace

void add_evaluate(CLI::App& app, result<done>& outcome) {
  const auto o = std::make_shared<evaluate_options>();
  auto* const command = app.add_subcommand(
      "evaluate", "Measure what predictors save on a model, in bits of real files");
  command
      ->add_option("--model", o->models, "A Hugging Face folder; again for each that is measured")
      ->required();
  command
      ->add_option(
          "--calibration", o->calibration,
          "To fit to, of each model: a text, a .safetensors file with `tokens`, or a folder of "
          "such")
      ->required();
  command->add_option("--evaluation", o->evaluation, "To measure on: likewise")->required();
  command->add_option("--predictor", o->predictors, "fp8, int8, int4, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember({"fp8", "int8", "int4"}))
      ->default_str("all");
  command->add_option("--format", o->formats, "Of the cache: bf16, e4m3, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember({"bf16", "e4m3"}))
      ->default_str("both");
  auto* const exact = command->add_flag("--exact-kv", o->exact_kv, "K and V projections stay bf16");
  auto* const closed =
      command->add_flag("--closed-loop", o->closed_loop, "Attention over the decoded K and V");
  auto* const anchor =
      command->add_flag("--anchor", o->anchored, "Decoded K and V correct the hidden state");
  command
      ->add_flag(
          "--steps", o->all_steps,
          "All four steps, open loop, exact K and V projections, closed loop and anchors, each "
          "kept if it pays")
      ->excludes(exact)
      ->excludes(closed)
      ->excludes(anchor);
  command->add_flag("--linear", o->linear, "Also with linear propagation on top");
  command->add_flag("--costs", o->costs, "Also the predictors' time, beside the model's prefill");
  command->add_option("--tokens-per-text", o->tokens_per_text, "Longer files are cut")
      ->check(CLI::Range(2U, 1U << 20))
      ->capture_default_str();
  command->add_option("--threads", o->threads, "0: one per processor")
      ->check(CLI::Range(0u, 1024u))
      ->capture_default_str();
  command->add_flag("--module-rounding", o->rounds_as_modules,
                    "Round to bf16 wherever Hugging Face's modules do, not once a step");
  command->add_flag("--json", o->json, "Print JSON");
  command->callback([o, &outcome] {
    if (o->predictors.empty()) o->predictors = {"fp8", "int8", "int4"};
    if (o->formats.empty()) o->formats = {"bf16", "e4m3"};
    outcome = run(*o);
  });
}

}  // namespace engine
