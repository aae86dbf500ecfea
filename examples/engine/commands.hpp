// The commands of the program skv_engine. Each adds itself to the command line; when it is chosen, it
// runs and leaves its outcome.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <skv/base/status.hpp>
#include <string>
#include <vector>

#include "engine/model.hpp"
#include "engine/tokenizer.hpp"

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

/// A loaded model, and its tokenizer if it has one.
struct loaded {
  model used;
  std::optional<tokenizer> text;
  skv::error why_no_text{};  ///< if there is none

  /// The tokens of a text, behind the model's begin token if it has one. Fails with unsupported if there
  /// is no tokenizer.
  skv::result<std::vector<std::int32_t>> tokens_of(const std::string& words) const;
  /// Text if there is a tokenizer, else ids with spaces between them.
  std::string text_of(std::span<const std::int32_t> tokens) const;
};

skv::result<loaded> load(const model_options& options);

/// The tokens that a command was given, as text or as ids.
skv::result<std::vector<std::int32_t>> prompt_of(const model_options& options, const loaded& m);

/// A file's bytes as text. Fails with io_error.
skv::result<std::string> read_text(const std::filesystem::path& path);

/// Pages that a sequence of so many tokens takes.
std::uint32_t pages_for(std::size_t tokens);

}  // namespace engine
