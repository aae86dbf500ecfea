// Compresses the cache of a prompt, drops it, restores it and goes on, once for every coding.
#include <fmt/format.h>

#include <skv/cpu/codec.hpp>

#include "engine/coding.hpp"
#include "engine/commands.hpp"
#include "engine/generate.hpp"
#include "engine/texts.hpp"

namespace engine {

using namespace skv;

namespace {

struct demo_options {
  model_options model;
  std::vector<std::filesystem::path> calibration;
  std::uint32_t prompt_tokens = 384, calibration_tokens = 512, max_new = 64;
};

std::vector<std::vector<std::uint16_t>> numbers_of(const kv_cache& cache, const model_config& c) {
  std::vector<std::vector<std::uint16_t>> tensors;
  for (const tensor_id t : tensors_of(c))
    cache.read(t.layer, t.kind, 0,
               tensors.emplace_back(std::size_t{cache.tokens()} * c.kv_width()));
  return tensors;
}

// The run that never compressed anything, and the same from where its cache was taken away.
class demonstration {
 public:
  demonstration(const loaded& m, workers& team, std::vector<std::int32_t> prompt,
                std::uint32_t max_new)
      : m_(m),
        team_(team),
        prompt_(std::move(prompt)),
        max_new_(max_new),
        pool_(m.used.config, pages_for(prompt_.size() + max_new)),
        cache_(pool_),
        pass_(m.used, team) {}

  // The last token of the prompt is what decoding begins with: the cache has those before it.
  std::span<const std::int32_t> cached() const {
    return std::span(prompt_).first(prompt_.size() - 1);
  }
  std::span<const std::int32_t> continuation() const {
    return std::span(expected_).subspan(prompt_.size());
  }

  result<done> run() {
    if (auto ok = prefill(pass_, cache_, cached()); !ok) return ok;
    exact_ = numbers_of(cache_, m_.used.config);
    return decode_on(expected_);
  }

  // The cache's bytes, compressed; fails unless every bit and every token is the same.
  result<std::size_t> run_with(const coding& by) {
    const model_config& c = m_.used.config;
    const auto tokens = static_cast<std::uint32_t>(cached().size());
    const auto compressed = offload(by, team_, cached(), cache_, c);
    if (!compressed) return compressed.failure();
    cache_.resize(0);  // the pool overwrites the pages
    cache_.resize(tokens);
    if (auto ok = reload(by, team_, cached(), *compressed, cache_, c); !ok) return ok.failure();
    if (numbers_of(cache_, c) != exact_)
      return fail(status::corrupt, by.name + ": the restored cache differs");
    std::vector<std::int32_t> made;
    if (auto ok = decode_on(made); !ok) return ok.failure();
    if (made != expected_) return fail(status::corrupt, by.name + ": the continuation differs");
    return compressed->bytes();
  }

  std::size_t number_count() const {
    return 2 * cached().size() * m_.used.config.layers * m_.used.config.kv_width();
  }

 private:
  // Continues the prompt, and leaves the cache as it was.
  result<done> decode_on(std::vector<std::int32_t>& tokens) {
    tokens = prompt_;
    auto ok = decode(pass_, cache_, tokens, max_new_);
    cache_.resize(static_cast<std::uint32_t>(cached().size()));
    return ok;
  }

  const loaded& m_;
  workers& team_;
  std::vector<std::int32_t> prompt_, expected_;
  std::uint32_t max_new_;
  page_pool pool_;
  kv_cache cache_;
  forward_pass pass_;
  std::vector<std::vector<std::uint16_t>> exact_;
};

// Each step with fp8 weights, all of them with others.
constexpr predictor_options kPredictors[] = {
    {weight_format::fp8, false, false, false}, {weight_format::fp8, true, false, false},
    {weight_format::fp8, true, true, false},   {weight_format::fp8, true, true, true},
    {weight_format::int8, true, true, true},   {weight_format::int4, true, true, true}};

result<done> demo(const demo_options& o) {
  const auto m = load(o.model);
  if (!m) return m.failure();
  auto prompt = prompt_of(o.model, *m);
  if (!prompt) return prompt.failure();
  if (prompt->size() > o.prompt_tokens) prompt->resize(o.prompt_tokens);
  if (prompt->size() < 2)
    return fail(status::invalid_argument, "the prompt has fewer than two tokens");
  workers team(o.model.threads);
  std::vector<recording> recordings;
  for (const auto& path : o.calibration) {
    auto more = record_all(path, *m, team, o.calibration_tokens);
    if (!more) return more.failure();
    std::ranges::move(*more, std::back_inserter(recordings));
  }

  demonstration d(*m, team, *std::move(prompt), o.max_new);
  if (auto ok = d.run(); !ok) return ok;
  std::size_t calibration_tokens = 0;
  for (const recording& r : recordings) calibration_tokens += r.tokens.size();
  fmt::print(
      "prompt: {} tokens in the cache, {} bytes; profiles fitted to {} tokens of other texts\n",
      d.cached().size(), 2 * d.number_count(), calibration_tokens);
  fmt::print("continued by {} tokens: {:.60}\n\n", d.continuation().size(),
             fmt::format("{:?}", m->text_of(d.continuation())));
  fmt::print("{:<44} {:>8} {:>8} {:>7}  {}\n", "prediction", "bytes", "bits", "ratio",
             "cache and continuation");

  const auto run_all = [&](const result<std::vector<coding>>& codings) -> result<done> {
    if (!codings) return codings.failure();
    for (const coding& by : *codings) {
      const auto bytes = d.run_with(by);
      if (!bytes) return bytes.failure();
      const double bits = 8 * static_cast<double>(*bytes) / static_cast<double>(d.number_count());
      fmt::print("{:<44} {:8} {:8.3f} {:6.2f}x  identical\n", by.name, *bytes, bits, 16 / bits);
      std::fflush(stdout);
    }
    return done{};
  };
  if (auto ok = run_all(fit_without_model(recordings, m->used.config)); !ok) return ok;
  for (const predictor_options& options : kPredictors)
    if (auto ok = run_all(fit_with_model(m->used, team, recordings, options, options.anchored));
        !ok)
      return ok;
  fmt::print("restored: identical ({} tokens)\n", d.cached().size());
  return done{};
}

}  // namespace

void add_demo(CLI::App& app, result<done>& outcome) {
  const auto options = std::make_shared<demo_options>();
  auto* const command = app.add_subcommand(
      "demo", "Compress a prompt's cache, drop it, restore it and continue, in every way there is");
  options->model.add_to(*command);
  command
      ->add_option(
          "--calibration", options->calibration,
          "To fit profiles to: texts, .safetensors files with `tokens`, or folders of them")
      ->required();
  command->add_option("--prompt-tokens", options->prompt_tokens, "Longer prompts are cut")
      ->check(CLI::Range(2U, 1U << 20))
      ->capture_default_str();
  command->add_option("--calibration-tokens", options->calibration_tokens, "Longer texts are cut")
      ->check(CLI::Range(2U, 1U << 20))
      ->capture_default_str();
  command->add_option("--max-new", options->max_new, "Tokens to generate")->capture_default_str();
  command->callback([&outcome, options] { outcome = demo(*options); });
}

}  // namespace engine
