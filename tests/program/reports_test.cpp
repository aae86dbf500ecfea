// What the program prints: figures that agree with the files, help, versions.
#include <nlohmann/json.hpp>
#include <skv/skv.hpp>

#include "program/workbench.hpp"
#include "support/archives.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;

using nlohmann::json;
using test::evaluation;
using test::tiny;
using testing::HasSubstr;

class reports : public test::workbench {};

// The sum of whole files, less what the tensors take in them that only travel: here the tokens.
TEST_F(reports, evaluate_agrees_with_the_files) {
  succeed({"compress", evaluation("target"), "--reference", evaluation("reference_fp8"),
           "--profile", profile(), "-o", path("x.skv")});
  const auto inspected = json::parse(succeed({"inspect", path("x.skv"), "--json"}).out);
  std::uint64_t carried = 0;
  for (const auto& stream : inspected["streams"])
    if (stream.contains("opaque_bytes")) carried += stream["stored_bytes"].get<std::uint64_t>();
  EXPECT_GT(carried, 50u);
  EXPECT_LE(carried, 4 * 96u);
  const auto j =
      json::parse(succeed({"evaluate", "--target", tiny("evaluation/target"), "--reference",
                           tiny("evaluation/reference_fp8"), "--profile", profile(), "--json"})
                      .out);
  EXPECT_EQ(j["files"], 1);
  EXPECT_EQ(j["format"], "bf16");
  EXPECT_EQ(j["predictor"], "reference");
  EXPECT_EQ(j["scalars"], 73728);
  EXPECT_EQ(j["bytes"].get<std::uint64_t>(), fs::file_size(path("x.skv")) - carried);
  const double bits = 8.0 * j["bytes"].get<double>() / 73728;
  EXPECT_NEAR(j["bits_per_scalar"].get<double>(), bits, 1e-9);
  EXPECT_NEAR(j["ratio"].get<double>(), 16 / bits, 1e-9);

  std::uint64_t tensor_bytes = 0, scalars = 0;
  ASSERT_EQ(j["tensors"].size(), 12u);
  for (const auto& t : j["tensors"]) {
    scalars += t["scalars"].get<std::uint64_t>();
    tensor_bytes += t["bytes"].get<std::uint64_t>();
    EXPECT_NEAR(t["bits_per_scalar"].get<double>(),
                8.0 * t["bytes"].get<double>() / t["scalars"].get<double>(), 1e-9);
    const std::string name =
        "layers." + std::to_string(t["layer"].get<int>()) + "." + t["kind"].get<std::string>();
    bool found = false;
    for (const auto& s : inspected["streams"])
      if (s.value("tensor", "") == name) {
        found = true;
        std::uint64_t tiles = 0;
        for (const auto& [mode, count] : s["tiles"].items()) tiles += count.get<std::uint64_t>();
        EXPECT_EQ(t["bytes"].get<std::uint64_t>(),
                  s["stored_bytes"].get<std::uint64_t>() + 12 * tiles);
      }
    EXPECT_TRUE(found) << name;
  }
  EXPECT_EQ(scalars, 73728u);
  EXPECT_LT(tensor_bytes, fs::file_size(path("x.skv")));
}

TEST_F(reports, evaluate_adds_up_folders) {
  const std::vector<std::string> arguments = {"evaluate",    "--target", tiny("calibration/target"),
                                              "--predictor", "none",     "--json"};
  const auto both = json::parse(succeed(arguments).out);
  EXPECT_EQ(both["files"], 2);
  std::uint64_t bytes = 0, scalars = 0;
  for (const char* name : {"000", "001"}) {
    auto one = arguments;
    one[2] = tiny(std::string("calibration/target/") + name + ".safetensors");
    const auto j = json::parse(succeed(one).out);
    bytes += j["bytes"].get<std::uint64_t>();
    scalars += j["scalars"].get<std::uint64_t>();
  }
  EXPECT_EQ(both["bytes"], bytes);
  EXPECT_EQ(both["scalars"], scalars);
}

// Tensors that only travel are no part of the bits per scalar, however well or badly they compress.
TEST_F(reports, evaluate_leaves_out_what_only_travels) {
  const auto numbers = test::random_bytes(33 * 2 * 64 * 2, 1);
  const auto bits = [&](std::size_t other, bool random) {
    const auto data = random ? test::random_bytes(other, 2) : test::byte_string(other);
    const auto cache = make_cache("t.safetensors", {{"layers.0.k", "BF16", {33, 2, 64}, numbers},
                                                    {"other", "U8", {other}, data}});
    const auto j =
        json::parse(succeed({"evaluate", "--target", cache, "--predictor", "none", "--json"}).out);
    return j["bits_per_scalar"].get<double>();
  };
  const double without = bits(1, true);
  EXPECT_GT(without, 15.0);
  EXPECT_NEAR(bits(100000, true), without, 0.2);
  EXPECT_NEAR(bits(100000, false), without, 0.2) << "zeros";
}

TEST_F(reports, inspect_says_what_a_file_holds) {
  succeed({"compress", evaluation("target_e4m3"), "--reference",
           evaluation("reference_fp8_for_e4m3"), "-o", path("x.skv")});
  const auto j = json::parse(succeed({"inspect", "--json", path("x.skv")}).out);
  EXPECT_EQ(j["version"], kContainerVersion);
  EXPECT_EQ(j["file_bytes"].get<std::uint64_t>(), fs::file_size(path("x.skv")));
  EXPECT_EQ(j["source_bytes"].get<std::uint64_t>(), fs::file_size(evaluation("target_e4m3")));
  EXPECT_EQ(j["tokens"], 96);
  EXPECT_EQ(j["scalars"], 73728);
  EXPECT_EQ(j["format"], "e4m3");
  EXPECT_EQ(j["mean_format"], "bf16");
  EXPECT_EQ(j["predictor"], "reference");
  EXPECT_EQ(j["profile"].get<std::string>().size(), 32u);
  EXPECT_EQ(j["profile_embedded"], true);
  EXPECT_EQ(j["carried_bytes"], 4 * 96 + 12 * 4);
  EXPECT_NEAR(j["ratio"].get<double>(),
              j["source_bytes"].get<double>() / j["file_bytes"].get<double>(), 1e-9);
  std::size_t tensors = 0;
  for (const auto& s : j["streams"]) {
    if (!s.contains("tensor")) continue;
    ++tensors;
    EXPECT_EQ(s["format"], "e4m3");
    EXPECT_EQ(s["shape"], json({96, 2, 32}));
    EXPECT_EQ(s["tile"], json({96, 2, 32}));
  }
  EXPECT_EQ(tensors, 12u);
}

TEST_F(reports, help_has_an_example_of_every_command) {
  for (const std::string command :
       {"calibrate", "compress", "decompress", "evaluate", "inspect", "verify"}) {
    const auto help = succeed({command, "--help"}).out;
    EXPECT_THAT(help, HasSubstr("Example:\n  skv " + command + " ")) << command;
    EXPECT_THAT(succeed({"--help"}).out, HasSubstr("\n  " + command));
  }
}

TEST_F(reports, version_names_the_formats) {
  const auto text = succeed({"--version"}).out;
  EXPECT_THAT(text, HasSubstr(std::string("skv ") + kVersion));
  EXPECT_THAT(text, HasSubstr(".skv version " + std::to_string(kContainerVersion)));
  EXPECT_THAT(text, HasSubstr(".skvp version " + std::to_string(kProfileVersion)));
  for (const auto& f : kFormats) EXPECT_THAT(text, HasSubstr(std::string(to_string(f.id))));
}

}  // namespace
}  // namespace skv
