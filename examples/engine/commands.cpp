#include "engine/commands.hpp"

#include <fmt/format.h>

#include "engine/cache_file.hpp"
#include "engine/generate.hpp"

namespace engine {

using namespace skv;

void model_options::add_to(CLI::App& command) {
  command.add_option("--model", folder, "A Hugging Face folder")->required();
  auto* const input = command.add_option_group("input");
  input->add_option("--prompt", prompt, "Text to run the model on");
  input->add_option("--prompt-file", prompt_file, "A file with such text");
  input->add_option("--tokens", tokens_file,
                    "Token ids: a .safetensors file with a tensor `tokens`, or a file of numbers");
  input->require_option(1);
  command.add_option("--threads", threads, "0: one per processor")
      ->check(CLI::Range(0u, 1024u))
      ->capture_default_str();
  command.add_flag("--module-rounding", rounds_as_modules,
                   "Round to bf16 wherever Hugging Face's modules do, not once a step");
}

result<loaded> load(const model_options& options) {
  return load(options.folder,
              options.rounds_as_modules ? rounding_points::modules() : rounding_points::once());
}

result<std::vector<std::int32_t>> prompt_of(const model_options& options, const loaded& m) {
  if (!options.tokens_file.empty()) return read_tokens(options.tokens_file);
  if (options.prompt_file.empty()) return m.tokens_of(options.prompt);
  const auto words = read_text(options.prompt_file);
  if (!words) return words.failure();
  return m.tokens_of(*words);
}

namespace {

struct generate_options {
  model_options model;
  std::uint32_t max_new = 64;
  bool shows_tokens = false;
};

result<done> generate(const generate_options& options) {
  const auto m = load(options.model);
  if (!m) return m.failure();
  auto tokens = prompt_of(options.model, *m);
  if (!tokens) return tokens.failure();
  const std::size_t given = tokens->size();
  page_pool pool(m->used.config, pages_for(given + options.max_new));
  kv_cache cache(pool);
  workers team(options.model.threads);
  forward_pass pass(m->used, team);
  if (auto ok = decode(pass, cache, *tokens, options.max_new); !ok) return ok;
  const auto made = std::span(*tokens).subspan(given);
  if (options.shows_tokens)
    fmt::print("{}\n", fmt::join(made, " "));
  else
    fmt::print("{}\n", m->text_of(made));
  return done{};
}

struct prefill_options {
  model_options model;
  std::filesystem::path output;
};

result<done> prefill_to_file(const prefill_options& options) {
  const auto m = load(options.model);
  if (!m) return m.failure();
  const auto tokens = prompt_of(options.model, *m);
  if (!tokens) return tokens.failure();
  page_pool pool(m->used.config, pages_for(tokens->size()));
  kv_cache cache(pool);
  workers team(options.model.threads);
  forward_pass pass(m->used, team);
  if (auto ok = prefill(pass, cache, *tokens); !ok) return ok;
  return write_cache(options.output, m->used.config, *tokens, cache);
}

}  // namespace

void add_generate(CLI::App& app, result<done>& outcome) {
  const auto options = std::make_shared<generate_options>();
  auto* const command = app.add_subcommand("generate", "Continue a text or tokens, greedily");
  options->model.add_to(*command);
  command->add_option("--max-new", options->max_new, "Tokens to generate at most")
      ->capture_default_str();
  command->add_flag("--show-tokens", options->shows_tokens, "Print ids, not text");
  command->callback([&outcome, options] { outcome = generate(*options); });
}

void add_prefill(CLI::App& app, result<done>& outcome) {
  const auto options = std::make_shared<prefill_options>();
  auto* const command =
      app.add_subcommand("prefill", "Write the KV cache of a text or tokens, a file for skv");
  options->model.add_to(*command);
  command->add_option("-o,--output", options->output, "The .safetensors file to write")->required();
  command->callback([&outcome, options] { outcome = prefill_to_file(*options); });
}

}  // namespace engine
