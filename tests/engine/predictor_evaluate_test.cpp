// The command evaluate: the numbers that it prints, and its errors.
#if defined(SKV_PROGRAM)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "predictor_scene.hpp"
#include "support/run_program.hpp"

namespace engine {
namespace {

using skv::test::run_program;
using testing::HasSubstr;

std::vector<std::string> command(std::vector<std::string> more) {
  const std::string data = SKV_TEST_DATA "/tiny/";
  std::vector<std::string> all = {"evaluate",
                                  "--model",
                                  SKV_ENGINE_MODEL,
                                  "--calibration",
                                  data + "calibration/target",
                                  "--evaluation",
                                  data + "evaluation/target"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(evaluate, prints_the_size_of_real_files) {
  const auto made =
      run_program(command({"--predictor", "fp8", "--format", "bf16", "--steps", "--json"}));
  ASSERT_EQ(made.status, 0) << made.err;
  const auto rows = nlohmann::json::parse(made.out)["rows"];
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[3]["predictor"], "fp8+exact_kv+closed_loop+anchored");
  EXPECT_EQ(rows[3]["anchors"].size(), 11u) << "every tensor but the last V";
  test::predictor_scene scene;
  const sequence_cache cache = cache_of(scene.evaluation, {});
  for (std::size_t i = 0; i < 4; ++i) {
    const fitted_predictor f = scene.fit(test::all_options()[i]);
    const auto file = test::must(compress(*f.predictor, scene.team, f.profile, cache));
    EXPECT_EQ(rows[i]["predictor"], f.predictor->identity().name);
    EXPECT_EQ(rows[i]["bytes"], cache_bytes(*skv::parse_container(file), file.size()));
    EXPECT_EQ(rows[i]["scalars"], 96 * 64 * 12);
    EXPECT_EQ(rows[i]["pays"], true);
  }
}

TEST(evaluate, one_predictor_is_chosen_by_its_steps) {
  const auto made =
      run_program(command({"--predictor", "int8", "--format", "e4m3", "--exact-kv", "--closed-loop",
                           "--linear", "--costs", "--tokens-per-text", "40", "--json"}));
  ASSERT_EQ(made.status, 0) << made.err;
  const auto j = nlohmann::json::parse(made.out);
  ASSERT_EQ(j["rows"].size(), 1u);
  EXPECT_EQ(j["rows"][0]["predictor"], "int8+exact_kv+closed_loop");
  EXPECT_EQ(j["rows"][0]["scalars"], 2 * 40 * 64 * 12) << "96 tokens are two pieces of 40";
  ASSERT_EQ(j["costs"].size(), 3u);
  for (const auto& cost : j["costs"]) {
    EXPECT_GT(cost["seconds"], 0);
    EXPECT_LT(cost["weight_bytes"], cost["target_weight_bytes"]);
  }
}

TEST(evaluate, says_what_is_wrong_in_one_line) {
  const auto expect = [](const std::vector<std::string>& arguments, const std::string& why) {
    const auto o = run_program(arguments);
    EXPECT_EQ(o.status, 1) << why;
    EXPECT_THAT(o.err, HasSubstr(why));
    EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
  };
  expect(command({"--model", SKV_ENGINE_MODEL}), "every --model needs one --calibration");
  expect({"evaluate", "--model", SKV_ENGINE_MODEL, "--calibration", "/nowhere", "--evaluation",
          "/nowhere"},
         "/nowhere");
  expect(
      {"evaluate", "--model", "/nowhere", "--calibration", "/nowhere", "--evaluation", "/nowhere"},
      "/nowhere");
}

}  // namespace
}  // namespace engine
#endif
