// Linear propagation through the program: what it saves, what it leaves alone, what it refuses.
#include <nlohmann/json.hpp>

#include "program/workbench.hpp"
#include "support/toy_model.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;

using nlohmann::json;
using test::byte_string;
using test::evaluation;
using test::made_up_tensor;
using test::tiny;
using test::toy_model;
using testing::HasSubstr;

class linear_propagation : public test::workbench {
 protected:
  using arguments = std::vector<std::string>;

  static arguments joined(arguments a, const arguments& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  toy_model toy_;
  static constexpr std::uint64_t kTokens = 200;

  /// calibration/{target,draft}/00N and evaluation/{target,draft}/000, and E.safetensors.
  void make_toy_caches() {
    for (const char* d :
         {"calibration/target", "calibration/draft", "evaluation/target", "evaluation/draft"})
      fs::create_directories(folder_ / d);
    for (int i = 0; i < 4; ++i) make_toy_cache("calibration", i, 100 + std::uint64_t(i));
    make_toy_cache("evaluation", 0, 200);
    byte_string table;
    for (const double x : toy_.embedding()) {
      const auto f = static_cast<float>(x);
      const auto* b = reinterpret_cast<const std::byte*>(&f);
      table.insert(table.end(), b, b + 4);
    }
    make_cache(
        "E.safetensors",
        {{"model.embed_tokens.weight", "F32", {toy_model::kVocabulary, toy_model::kState}, table},
         {"narrow", "F32", {2 * toy_model::kVocabulary, toy_model::kState / 2}, table}});
    table[5] ^= std::byte{1};
    make_cache(
        "other.safetensors",
        {{"model.embed_tokens.weight", "F32", {toy_model::kVocabulary, toy_model::kState}, table}});
  }
  void make_toy_cache(const std::string& split, int number, std::uint64_t seed) {
    const auto c = toy_.run(kTokens, seed);
    const std::string name = "/00" + std::to_string(number) + ".safetensors";
    const auto tensors_of = [](const auto& k, const auto& v, std::uint64_t heads,
                               std::uint64_t dim) {
      std::vector<made_up_tensor> tensors;
      for (std::size_t l = 0; l < k.size(); ++l)
        for (const auto* one : {&k[l], &v[l]})
          tensors.push_back({"layers." + std::to_string(l) + (one == &k[l] ? ".k" : ".v"),
                             "BF16",
                             {kTokens, heads, dim},
                             toy_model::patterns(bf16, *one)});
      return tensors;
    };
    auto tensors = tensors_of(c.k, c.v, toy_model::kHeads, toy_model::kHeadDim);
    byte_string ids(c.ids.size() * 4);
    std::memcpy(ids.data(), c.ids.data(), ids.size());
    tensors.push_back({"tokens", "I32", {kTokens}, ids});
    make_cache(split + "/target" + name, tensors);
    make_cache(split + "/draft" + name,
               tensors_of(c.draft_k, c.draft_v, toy_model::kDraftHeads, toy_model::kDraftHeadDim));
  }

  json calibrate(const std::string& profile, const arguments& more) const {
    return json::parse(succeed(joined({"calibrate", "--target", path("calibration/target"), "-o",
                                       path(profile), "--json"},
                                      more))
                           .out);
  }
  json evaluate(const std::string& profile, const arguments& more) const {
    return json::parse(succeed(joined({"evaluate", "--target", path("evaluation/target"),
                                       "--profile", path(profile), "--json"},
                                      more))
                           .out);
  }
  static double bits(const json& j, std::size_t tensor) {
    return j["tensors"][tensor]["bits_per_scalar"];
  }
  static double bits(const json& j) { return j["bits_per_scalar"]; }
};

// The fixture: a real model, with K turned; over no base, a reference, and an fp8 cache. Two short
// sequences are little to fit matrices of 64 x 128 to, so this shows that it works, not what it
// saves.
TEST_F(linear_propagation, files_of_the_fixture_come_back) {
  struct variant {
    std::string target, reference;
    arguments more;
  };
  for (const variant& v : std::vector<variant>{{"target", "", {}},
                                               {"target", "", {"--rank", "8"}},
                                               {"target", "", {"--shards", "2"}},
                                               {"target", "", {"--restart-every", "2"}},
                                               {"target", "reference_fp8", {}},
                                               {"target_e4m3", "reference_fp8_for_e4m3", {}}}) {
    SCOPED_TRACE(v.target + " " + v.reference + testing::PrintToString(v.more));
    arguments fit = {"calibrate", "--target",     tiny("calibration/" + v.target),
                     "--linear",  "--rope",       "half:10000",
                     "-o",        path("p.skvp"), "--json"},
              with = {"--profile", path("p.skvp")};
    if (!v.reference.empty()) {
      fit.insert(fit.end(), {"--reference", tiny("calibration/" + v.reference)});
      with.insert(with.end(), {"--reference", evaluation(v.reference)});
    }
    const auto j = json::parse(succeed(joined(fit, v.more)).out);
    // Per tensor: what it costs without and with it, and whether that pays.
    ASSERT_EQ(j["tensors"].size(), 12u);
    for (const auto& t : j["tensors"]) {
      if (t["predicted"].get<bool>()) {
        EXPECT_LT(t["bits_with"].get<double>(), t["bits_without"].get<double>());
      }
      EXPECT_FALSE(t["embedding"].get<bool>() || t["draft"].get<bool>());
    }
    if (v.reference.empty()) {
      EXPECT_TRUE(j["linear"].get<bool>());
      EXPECT_TRUE(j["tensors"][3]["predicted"].get<bool>());
    }
    round_trip(evaluation(v.target), with, with);
    if (j["linear"].get<bool>())
      round_trip(evaluation(v.target), joined(with, {"--first-position", "16777200"}), with);
  }
}

TEST_F(linear_propagation, saves_bits_where_layers_tell_of_each_other) {
  make_toy_caches();
  const auto plain = [&] {
    succeed({"calibrate", "--target", path("calibration/target"), "-o", path("plain.skvp")});
    return evaluate("plain.skvp", {});
  }();
  const arguments rope = {"--linear", "--rope", "half:10000"};
  const arguments embedding = {"--embedding", path("E.safetensors")};
  const arguments fit_draft = {"--draft", path("calibration/draft")},
                  draft = {"--draft", path("evaluation/draft")};

  const auto j = calibrate("l.skvp", rope);
  EXPECT_FALSE(j["tensors"][0]["predicted"].get<bool>()) << "nothing is below the first layer";
  const auto linear = evaluate("l.skvp", {});
  EXPECT_EQ(linear["predictor"], "none+linear");
  EXPECT_LT(bits(linear, 1), bits(plain, 1) - 2) << "V from K";
  EXPECT_LT(bits(linear, 4), bits(plain, 4) - 2) << "K from the layer below";

  // Without un-rotation K tells and learns little.
  calibrate("still.skvp", {"--linear"});
  EXPECT_GT(bits(evaluate("still.skvp", {})), bits(linear) + 0.5);

  const auto e = calibrate("e.skvp", joined(rope, embedding));
  EXPECT_TRUE(e["tensors"][0]["embedding"].get<bool>());
  EXPECT_FALSE(e["tensors"][2]["embedding"].get<bool>());
  const auto with_embedding = evaluate("e.skvp", embedding);
  EXPECT_LT(bits(with_embedding, 0), bits(plain, 0) - 2);
  EXPECT_LT(bits(with_embedding), bits(linear) - 0.3);

  const auto d = calibrate("d.skvp", joined(rope, fit_draft));
  EXPECT_TRUE(d["tensors"][0]["draft"].get<bool>());
  const auto with_draft = evaluate("d.skvp", draft);
  EXPECT_LT(bits(with_draft, 0), bits(plain, 0) - 2);
  EXPECT_LT(bits(with_draft), bits(linear) - 0.3);
  // A rotary of its own that is wrong makes the draft's K worthless.
  calibrate("w.skvp", joined(joined(rope, fit_draft), {"--draft-rope", "half:2"}));
  EXPECT_GT(bits(evaluate("w.skvp", draft)), bits(with_draft));

  const auto both = joined(embedding, draft);
  calibrate("b.skvp", joined(joined(rope, embedding), fit_draft));
  EXPECT_LT(bits(evaluate("b.skvp", both)), bits(with_embedding));

  // Every one of them restores the file.
  const std::string target = path("evaluation/target/000.safetensors");
  const auto restores = [&](const char* profile, const arguments& more) {
    const arguments with = joined({"--profile", path(profile)}, more);
    return round_trip(target, with, with);
  };
  const arguments draft_file = {"--draft", path("evaluation/draft/000.safetensors")};
  const auto linear_size = restores("l.skvp", {});
  EXPECT_LT(restores("e.skvp", embedding), linear_size);
  EXPECT_LT(restores("d.skvp", draft_file), linear_size);
  EXPECT_LT(restores("b.skvp", joined(embedding, draft_file)), linear_size);
}

// Layers where it does not pay are left as they are: neither rows in an order that no other tensor
// has, nor random patterns, become larger than without it.
TEST_F(linear_propagation, costs_nothing_where_it_does_not_pay) {
  make_toy_caches();
  test::random_source random(3);
  for (const bool shuffled : {true, false}) {
    SCOPED_TRACE(shuffled ? "shuffled tokens" : "random patterns");
    for (const char* split : {"calibration", "evaluation"}) {
      fs::remove_all(folder_ / split / "odd");
      fs::create_directories(folder_ / split / "odd");
      for (const auto& file : fs::directory_iterator(folder_ / split / "target")) {
        const test::cache_file from(test::read_bytes(file.path()));
        byte_string bytes(from.bytes().begin(), from.bytes().end());
        for (const auto& t : from.tensors()) {
          const std::size_t row = (t.end - t.begin) / t.tokens;
          for (std::uint32_t i = t.tokens; shuffled && i-- > 1;)
            std::swap_ranges(bytes.begin() + std::ptrdiff_t(t.begin + i * row),
                             bytes.begin() + std::ptrdiff_t(t.begin + (i + 1) * row),
                             bytes.begin() + std::ptrdiff_t(t.begin + random.below(i) * row));
          for (std::size_t i = t.begin; !shuffled && i < t.end; ++i)
            bytes[i] = static_cast<std::byte>(random.bits());
        }
        test::write_bytes(folder_ / split / "odd" / file.path().filename(), bytes);
      }
    }
    const auto size_with = [&](const char* profile, const arguments& more,
                               const arguments& outside) {
      succeed(
          joined({"calibrate", "--target", path("calibration/odd"), "-o", path(profile)}, more));
      return json::parse(succeed(joined({"evaluate", "--target", path("evaluation/odd"),
                                         "--profile", path(profile), "--json"},
                                        outside))
                             .out)["bytes"]
          .get<double>();
    };
    const double base = size_with("base.skvp", {}, {});
    const arguments embedding = {"--embedding", path("E.safetensors")};
    const arguments rope = {"--linear", "--rope", "half:10000"};
    EXPECT_LE(size_with("l.skvp", rope, {}), 1.002 * base);
    EXPECT_LE(
        size_with("e.skvp", joined(joined(rope, embedding), {"--draft", path("calibration/draft")}),
                  joined(embedding, {"--draft", path("evaluation/draft")})),
        1.002 * base);
  }
}

TEST_F(linear_propagation, refuses_outside_rows_by_name) {
  make_toy_caches();
  const arguments embedding = {"--embedding", path("E.safetensors")};
  const arguments rope = {"--linear", "--rope", "half:10000"};
  calibrate("e.skvp", joined(rope, embedding));
  calibrate("d.skvp", joined(rope, {"--draft", path("calibration/draft")}));
  const std::string target = path("evaluation/target/000.safetensors");
  const std::string draft = path("evaluation/draft/000.safetensors");
  const arguments e = {"--profile", path("e.skvp")}, d = {"--profile", path("d.skvp")};
  succeed(joined(joined({"compress", target, "-o", path("e.skv")}, e), embedding));
  succeed(joined(joined({"compress", target, "-o", path("d.skv")}, d), {"--draft", draft}));

  const auto refused = [&](const char* skv, const arguments& profile, const arguments& with,
                           const std::string& why) {
    const arguments all = joined(profile, with);
    expect_failure(joined({"compress", target, "-o", path("z.skv")}, all), why);
    expect_failure(joined({"verify", path(skv)}, all), why);
    expect_failure(joined({"decompress", path(skv), "-o", path("z.safetensors")}, all), why);
    expect_failure(joined({"evaluate", "--target", target}, all), why);
  };
  refused("e.skv", e, {}, "the token's embedding, and none is given");
  refused("e.skv", e, {"--embedding", path("none.safetensors")}, "No such file");
  refused("e.skv", e, {"--embedding", path("E.safetensors:none")},
          "E.safetensors:none: there is no such");
  refused("e.skv", e, {"--embedding", path("E.safetensors:narrow")},
          "E.safetensors:narrow is [80, 8] of f32");
  refused("e.skv", e, {"--embedding", target + ":layers.0.k"},
          "layers.0.k: an embedding [ids, width]");
  refused("e.skv", e, {"--embedding", path("other.safetensors")},
          "other.safetensors:model.embed_tokens.weight has other numbers");
  refused("d.skv", d, {}, "a draft's cache, and none is given");
  refused("d.skv", d, {"--draft", path("none.safetensors")}, "No such file");
  refused("d.skv", d, {"--draft", target}, "target/000.safetensors: layers.0.k has 2 x 8 channels");
  const auto c = toy_.run(kTokens, 200);
  const auto one_layer = make_cache(
      "one.safetensors",
      {{"layers.0.k", "BF16", {kTokens, 1, 12}, toy_model::patterns(bf16, c.draft_k[0])}});
  refused("d.skv", d, {"--draft", one_layer}, "one.safetensors: layers.0.v is missing");

  // The right shape and other numbers: known by the hash in the file.
  const std::string other = path("calibration/draft/000.safetensors");
  for (const char* command : {"verify", "decompress"}) {
    arguments a = joined(joined({command, path("d.skv")}, d), {"--draft", other});
    if (std::string(command) == "decompress") a.insert(a.end(), {"-o", path("z.safetensors")});
    expect_failure(
        a, "calibration/draft/000.safetensors is not the draft that it was compressed with");
  }
  // A cache without token ids.
  const auto no_ids =
      make_cache("no_ids.safetensors",
                 {{"layers.0.k", "BF16", {kTokens, 2, 8}, toy_model::patterns(bf16, c.k[0])}});
  expect_failure(joined(joined({"compress", no_ids, "-o", path("z.skv")}, e), embedding),
                 "no token ids for the embedding");
  expect_failure(
      joined({"calibrate", "--target", no_ids, "-o", path("z.skvp")}, joined(rope, embedding)),
      "no token ids for the embedding");
  expect_failure({"calibrate", "--target", path("calibration/target"), "-o", path("z.skvp"),
                  "--linear", "--draft", path("evaluation/draft")},
                 "No such file");
}

TEST_F(linear_propagation, refuses_what_it_cannot_fit) {
  make_toy_caches();
  const auto refuses = [&](const arguments& more, const std::string& why) {
    expect_failure(joined({"calibrate", "--target", path("calibration/target"), "--linear", "-o",
                           path("z.skvp")},
                          more),
                   why);
  };
  refuses({"--rope", "half"}, "half:THETA or interleaved:THETA");
  refuses({"--rope", "half:0.5"}, "half:THETA or interleaved:THETA");
  refuses({"--rope", "half:10000:10"}, "half:THETA or interleaved:THETA");
  refuses({"--shards", "3"}, "2 heads cannot be divided among 3 shards");
  refuses({"--predictor", "previous_token"}, "previous_token");
  refuses({"--model-config", path("none.json")}, "No such file");
  refuses({"--model-config", path("E.safetensors")}, "not a model's configuration");
  refuses({"--draft", path("calibration/draft"), "--draft-rope", "half:10000:4:100"},
          "half:THETA or interleaved:THETA");
}

// A chain that starts anew makes layers independent of those below, at a cost.
TEST_F(linear_propagation, restarts_cost_what_the_layer_below_would_have_told) {
  make_toy_caches();
  const arguments rope = {"--linear", "--rope", "half:10000"};
  calibrate("l.skvp", rope);
  const auto j = calibrate("r.skvp", joined(rope, {"--restart-every", "2"}));
  EXPECT_EQ(j["tensors"][4]["sources"], 0) << "layer 2 starts a chain";
  EXPECT_EQ(j["tensors"][2]["sources"], 2);
  const auto whole = evaluate("l.skvp", {}), restarted = evaluate("r.skvp", {});
  EXPECT_GT(bits(restarted, 4), bits(whole, 4) + 1);
  EXPECT_NEAR(bits(restarted, 2), bits(whole, 2), 0.05);
  // An embedding helps a chain that starts.
  const arguments embedding = {"--embedding", path("E.safetensors")};
  calibrate("re.skvp", joined(joined(rope, embedding), {"--restart-every", "2"}));
  EXPECT_LT(bits(evaluate("re.skvp", embedding), 4), bits(restarted, 4));
}

}  // namespace
}  // namespace skv
