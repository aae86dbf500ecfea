#include <fmt/format.h>

#include <cstdio>

#include "engine/commands.hpp"
#include "io/unfinished.hpp"

int main(int argc, char** argv) {
  skv::io::remove_unfinished_on_signals();
  CLI::App app("Runs language models, and keeps their KV caches compressed by skv.");
  app.require_subcommand(1);
  skv::result<skv::done> outcome = skv::done{};
  engine::add_generate(app, outcome);
  engine::add_prefill(app, outcome);
  engine::add_evaluate(app, outcome);
  engine::add_demo(app, outcome);
  CLI11_PARSE(app, argc, argv);
  if (outcome) return 0;
  fmt::print(stderr, "skv_engine: {} ({})\n", outcome.failure().message,
             to_string(outcome.failure().code));
  return 1;
}
