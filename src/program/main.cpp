#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>
#include <skv/skv.hpp>

#include "io/unfinished.hpp"
#include "program/commands.hpp"

namespace {

using namespace skv;
using namespace skv::program;

constexpr int kFailure = 1, kUsage = 2;

std::string version_text() {
  std::string formats;
  for (const number_format& f : kFormats) formats += fmt::format(" {}", to_string(f.id));
  return fmt::format(
      "skv {}, reads and writes .skv version {} and .skvp version {}\n"
      "number formats:{}\ninstruction set: {}",
      kVersion, kContainerVersion, kProfileVersion, formats, cpu::to_string(cpu::best_isa()));
}

// A command ends the program with its status; what went wrong is said in one line.
int finish(const result<done>& outcome) {
  if (outcome) return 0;
  fmt::print(stderr, "skv: {} ({})\n", outcome.failure().message,
             to_string(outcome.failure().code));
  return kFailure;
}

// What is wrong with the command line, in one line; the program's help if there is no command.
std::string usage_failure(const CLI::App* app, const CLI::Error& e) {
  const auto commands = app->get_subcommands();
  if (!commands.empty())
    return fmt::format("skv: {}; see skv {} --help\n", e.what(), commands.front()->get_name());
  const auto unknown = app->remaining();
  if (unknown.empty()) return app->help();
  return fmt::format("skv: there is no command '{}'; see skv --help\n", unknown.front());
}

}  // namespace

int main(int argc, char** argv) {
  io::remove_unfinished_on_signals();
  CLI::App app("Lossless compression of the KV caches of language models.");
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  app.failure_message(usage_failure);
  const auto predictors = CLI::IsMember({"none", "previous_token"});
  result<done> outcome = done{};

  calibrate_options cal;
  auto* sub = app.add_subcommand("calibrate", "Fit a profile to caches");
  sub->footer(
      "Example:\n  skv calibrate --target caches/target --reference caches/reference -o P.skvp");
  sub->add_option("--target", cal.target, "A .safetensors cache, or a folder of them")->required();
  auto* reference = sub->add_option("--reference", cal.reference,
                                    "Predictions of the targets, under the same file names");
  sub->add_option("--predictor", cal.predictor,
                  "Without a reference: none (default) or previous_token")
      ->check(predictors)
      ->excludes(reference);
  sub->add_option("-o,--output", cal.output, "The profile to write")->required();
  auto* linear = sub->add_flag("--linear", cal.linear,
                               "Also predict each layer from the one below (linear propagation)");
  auto* rope = sub->add_option("--rope", cal.rope,
                               "How K turns with its position: half:THETA or interleaved:THETA, "
                               "with :CHANNELS and :FIRST where not all of a head turns")
                   ->needs(linear);
  sub->add_option("--model-config", cal.model_config, "The same from the model's config.json")
      ->needs(linear)
      ->excludes(rope);
  sub->add_option(
         "--embedding", cal.embedding,
         "FILE:TENSOR of the model's embeddings, for layers with none below; the tensor is "
         "model.embed_tokens.weight if none is named")
      ->needs(linear);
  auto* draft = sub->add_option("--draft", cal.draft,
                                "Caches of a smaller model on the same tokens, under the same file "
                                "names")
                    ->needs(linear);
  auto* draft_rope =
      sub->add_option("--draft-rope", cal.draft_rope, "--rope of the draft; the same by default")
          ->needs(draft);
  sub->add_option("--draft-model-config", cal.draft_model_config, "--model-config of the draft")
      ->needs(draft)
      ->excludes(draft_rope);
  sub->add_option("--rank", cal.rank, "Rank of the matrices; 0: full")
      ->needs(linear)
      ->check(CLI::Range(0u, 65536u));
  sub->add_option("--shards", cal.shards, "Head ranges that must not depend on each other")
      ->needs(linear)
      ->check(CLI::Range(1u, 65536u));
  sub->add_option("--restart-every", cal.restart_every,
                  "Layers after which a chain starts anew; 0: never")
      ->needs(linear);
  sub->add_option("--threads", cal.threads, "0: one per processor")->capture_default_str();
  sub->add_flag("--json", cal.json, "JSON instead of a line");
  sub->callback([&] { outcome = calibrate(cal); });

  const auto outside = [](CLI::App* s, auto& options) {
    s->add_option("--embedding", options.embedding,
                  "FILE:TENSOR of the embeddings that the profile was fitted with");
    s->add_option("--draft", options.draft, "The cache of a smaller model on the same tokens");
  };
  compress_options com;
  sub = app.add_subcommand("compress", "Compress a cache");
  sub->footer(
      "Example:\n  skv compress T.safetensors --reference R.safetensors --profile P.skvp -o X.skv");
  sub->add_option("input", com.input, "A .safetensors cache")->required();
  sub->add_option("output_file,-o,--output", com.output, "The .skv file to write")->required();
  reference = sub->add_option("--reference", com.reference, "A prediction of the cache");
  auto* profile = sub->add_option(
      "--profile", com.profile, "A profile; without one, one is fitted to the cache and embedded");
  sub->add_option("--predictor", com.predictor,
                  "Without a reference: none or previous_token; the better one by default")
      ->check(predictors)
      ->excludes(reference);
  outside(sub, com);
  sub->add_flag("--embed-profile", com.embed_profile, "Store the profile in the file");
  sub->add_flag("--default-profile", com.default_profile, "Embed the built-in profile: no fitting")
      ->excludes(profile);
  sub->add_option("--tile-elements", com.tile_elements, "Numbers per tile")
      ->check(CLI::Range(1u, kMaxTileElements))
      ->capture_default_str();
  sub->add_option("--first-position", com.first_position,
                  "Position of the first token, for profiles with linear propagation")
      ->capture_default_str();
  sub->add_option("--threads", com.threads, "0: one per processor")->capture_default_str();
  sub->callback([&] { outcome = compress(com); });

  decompress_options dec;
  const auto decoding = [&](CLI::App* s) {
    s->add_option("input", dec.input, "A .skv file")->required();
    s->add_option("--reference", dec.reference, "The prediction that it was compressed with");
    s->add_option("--profile", dec.profile, "The profile that it was compressed with");
    outside(s, dec);
    s->add_option("--threads", dec.threads, "0: one per processor")->capture_default_str();
  };
  sub = app.add_subcommand("decompress", "Restore the file that was compressed, byte for byte");
  sub->footer(
      "Example:\n  skv decompress X.skv --reference R.safetensors --profile P.skvp -o "
      "Y.safetensors");
  decoding(sub);
  sub->add_option("output_file,-o,--output", dec.output, "The file to write")->required();
  sub->callback([&] { outcome = decompress(dec); });

  sub = app.add_subcommand("verify", "Restore everything and compare it with its hashes");
  sub->footer("Example:\n  skv verify X.skv --reference R.safetensors --profile P.skvp");
  decoding(sub);
  sub->callback([&] { outcome = verify(dec); });

  evaluate_options eva;
  sub = app.add_subcommand("evaluate", "Bits per scalar and ratio, by layer, K and V");
  sub->footer(
      "Example:\n  skv evaluate --target caches/target --reference caches/reference --profile "
      "P.skvp --json");
  sub->add_option("--target", eva.target, "A .safetensors cache, or a folder of them")->required();
  reference = sub->add_option("--reference", eva.reference,
                              "Predictions of the targets, under the same file names");
  sub->add_option("--profile", eva.profile, "A profile; without one, one is fitted to each cache");
  sub->add_option("--predictor", eva.predictor,
                  "Without a reference: none or previous_token; the better one by default")
      ->check(predictors)
      ->excludes(reference);
  outside(sub, eva);
  sub->add_option("--tile-elements", eva.tile_elements, "Numbers per tile")
      ->check(CLI::Range(1u, kMaxTileElements))
      ->capture_default_str();
  sub->add_option("--threads", eva.threads, "0: one per processor")->capture_default_str();
  sub->add_flag("--json", eva.json, "JSON instead of a table");
  sub->callback([&] { outcome = evaluate(eva); });

  inspect_options ins;
  sub = app.add_subcommand("inspect", "What a .skv file holds");
  sub->footer("Example:\n  skv inspect X.skv --json");
  sub->add_option("input", ins.input, "A .skv file")->required();
  sub->add_flag("--json", ins.json, "JSON instead of a table");
  sub->callback([&] { outcome = inspect(ins); });

  try {
    app.parse(argc, argv);
    return finish(outcome);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "skv: not enough memory\n");
  } catch (const std::exception& e) {
    fmt::print(stderr, "skv: {}\n", e.what());
  }
  return kFailure;
}
