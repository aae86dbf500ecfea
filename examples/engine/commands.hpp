// The commands of the program skv_engine. Each adds itself to the command line; when it is chosen,
// it runs and leaves its outcome.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <skv/base/status.hpp>
#include <string>
#include <vector>

#include "engine/loaded_model.hpp"

namespace engine {

void add_generate(CLI::App& app, skv::result<skv::done>& outcome);
void add_prefill(CLI::App& app, skv::result<skv::done>& outcome);
void add_evaluate(CLI::App& app, skv::result<skv::done>& outcome);
void add_demo(CLI::App& app, skv::result<skv::done>& outcome);

/// What most commands ask for: a model, text or tokens to run it on, threads.
struct model_options {
  std::filesystem::path folder;
  std::string prompt;
  std::filesystem::path prompt_file, tokens_file;
  unsigned threads = 0;
  bool rounds_as_modules = false;

  void add_to(CLI::App& command);
};

/// The model that a command was given.
skv::result<loaded> load(const model_options& options);

/// The tokens that a command was given, as text or as ids.
skv::result<std::vector<std::int32_t>> prompt_of(const model_options& options, const loaded& m);

}  // namespace engine
