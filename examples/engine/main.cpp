#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "engine/commands.hpp"
#include "io/unfinished.hpp"

namespace {
constexpr int kFailure = 1, kUsage = 2;

// In one line, as src/program has it.
std::string usage_failure(const CLI::App* app, const CLI::Error& e) {
  const auto commands = app->get_subcommands();
  if (commands.empty() && app->remaining().empty()) return app->help();
  return fmt::format("skv_engine: {}; see skv_engine {}--help\n", e.what(),
                     commands.empty() ? "" : commands.front()->get_name() + " ");
}
}  // namespace

int main(int argc, char** argv) {
  skv::io::remove_unfinished_on_signals();
  CLI::App app("Runs language models, and keeps their KV caches compressed by skv.");
  app.require_subcommand(1);
  app.failure_message(usage_failure);
  skv::result<skv::done> outcome = skv::done{};
  engine::add_generate(app, outcome);
  engine::add_prefill(app, outcome);
  engine::add_evaluate(app, outcome);
  engine::add_demo(app, outcome);
  try {
    app.parse(argc, argv);
    if (outcome) return 0;
    fmt::print(stderr, "skv_engine: {} ({})\n", outcome.failure().message,
               to_string(outcome.failure().code));
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "skv_engine: not enough memory\n");
  } catch (const std::exception& e) {
    fmt::print(stderr, "skv_engine: {}\n", e.what());
  }
  return kFailure;
}
