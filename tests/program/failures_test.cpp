// What cannot be done: a status, one line that names the cause, and nothing left behind.
#include "program/workbench.hpp"
#include "support/archives.hpp"
#include "support/effort.hpp"

#include <chrono>
#include <thread>

namespace skv {
namespace {

namespace fs = std::filesystem;

using test::evaluation;
using test::run_program;
using test::tiny;
using testing::HasSubstr;

class failures : public test::workbench {
 protected:
  const std::string target_ = evaluation("target"), reference_ = evaluation("reference_fp8");

  void SetUp() override {
    profile();
    succeed({"compress", target_, "--reference", reference_, "--profile", profile(), "-o",
             path("x.skv")});
  }
  // For decompress, and for verify.
  void expect_unreadable(const std::string& file, const std::vector<std::string>& with,
                         const std::string& why) {
    std::vector<std::string> arguments = {"verify", file};
    arguments.insert(arguments.end(), with.begin(), with.end());
    expect_failure(arguments, why);
    arguments[0] = "decompress";
    arguments.insert(arguments.end(), {"-o", path("restored.safetensors")});
    expect_failure(arguments, why);
  }
};

TEST_F(failures, another_reference) {
  expect_unreadable(path("x.skv"),
                    {"--reference", evaluation("reference_fp8_exactkv"), "--profile", profile()},
                    "prediction is not the one");
  expect_unreadable(
      path("x.skv"),
      {"--reference", tiny("calibration/reference_fp8/000.safetensors"), "--profile", profile()},
      "[88, 2, 32]");
  expect_unreadable(path("x.skv"),
                    {"--reference", evaluation("target_e4m3"), "--profile", profile()},
                    "is e4m3, bf16 is wanted");
  expect_unreadable(path("x.skv"), {"--profile", profile()}, "--reference");
  const auto one_layer =
      make_cache("r.safetensors", {{"layers.0.k", "BF16", {96, 2, 32}, test::byte_string(12288)}});
  expect_unreadable(path("x.skv"), {"--reference", one_layer, "--profile", profile()},
                    "not in the reference");
  expect_failure(
      {"compress", target_, "--reference", one_layer, "--profile", profile(), "-o", path("z.skv")},
      "not in the reference");
  expect_failure(
      {"compress", target_, "--reference", evaluation("target_e4m3"), "-o", path("z.skv")},
      "cannot predict");
  expect_failure(
      {"compress", target_, "--reference", tiny("calibration/reference_fp8/000.safetensors"),
       "--profile", profile(), "-o", path("z.skv")},
      "[88, 2, 32]");
}

TEST_F(failures, another_profile) {
  succeed({"calibrate", "--target", tiny("calibration/target/000.safetensors"), "--reference",
           tiny("calibration/reference_fp8"), "-o", path("other.skvp")});
  expect_unreadable(path("x.skv"), {"--reference", reference_, "--profile", path("other.skvp")},
                    "was compressed with the profile");
  expect_unreadable(path("x.skv"), {"--reference", reference_}, "needs the profile");
  expect_unreadable(path("x.skv"), {"--reference", reference_, "--profile", path("x.skv")},
                    "not a .skvp");
  expect_unreadable(path("x.skv"), {"--reference", reference_, "--profile", path("none.skvp")},
                    "No such file");
  // Made for something else.
  expect_failure({"compress", target_, "--profile", profile(), "-o", path("z.skv")}, "--reference");
  expect_failure(
      {"compress", target_, "--predictor", "none", "--profile", profile(), "-o", path("z.skv")},
      "--reference");
  expect_failure(
      {"compress", evaluation("target_e4m3"), "--reference", evaluation("reference_fp8_for_e4m3"),
       "--profile", profile(), "-o", path("z.skv")},
      "made for bf16");
  const auto wider =
      make_cache("w.safetensors", {{"layers.0.k", "BF16", {96, 4, 32}, test::byte_string(24576)}});
  expect_failure(
      {"compress", wider, "--reference", wider, "--profile", profile(), "-o", path("z.skv")},
      "2 x 32 channels");
}

TEST_F(failures, truncated_and_altered_files) {
  const test::byte_string whole = bytes("x.skv"), p = bytes("p.skvp");
  const std::vector<std::string> with = {"--reference", reference_, "--profile", profile()};
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{55}, std::size_t{300},
                                 whole.size() / 2, whole.size() - 1}) {
    test::write_bytes(folder_ / "cut.skv", std::span(whole).first(size));
    expect_unreadable(path("cut.skv"), with, "truncated");
  }
  const std::size_t step = whole.size() / (test::kSlowBuild ? 7 : 40);
  for (std::size_t at = 0; at < whole.size(); at += step) {
    test::byte_string altered = whole;
    altered[at] ^= std::byte{4};
    test::write_bytes(folder_ / "altered.skv", altered);
    expect_unreadable(path("altered.skv"), with, "altered.skv: ");
  }
  test::byte_string longer = whole;
  longer.push_back(std::byte{0});
  test::write_bytes(folder_ / "longer.skv", longer);
  expect_unreadable(path("longer.skv"), with, "after its end");
  expect_failure({"inspect", path("longer.skv")}, "after its end");
  test::byte_string altered = p;
  altered[p.size() / 2] ^= std::byte{1};
  test::write_bytes(folder_ / "altered.skvp", altered);
  expect_unreadable(path("x.skv"), {"--reference", reference_, "--profile", path("altered.skvp")},
                    "checksum");
}

TEST_F(failures, files_that_are_none) {
  for (const std::string& input : {path("nowhere"), folder_.path().string()}) {
    const std::string why = input == path("nowhere") ? "No such file" : "directory";
    expect_unreadable(input, {}, why);
    expect_failure({"inspect", input}, why);
    expect_failure({"compress", input, "-o", path("z.skv")}, why);
    expect_failure({"compress", target_, "--reference", input, "-o", path("z.skv")}, why);
    expect_failure({"compress", target_, "--profile", input, "-o", path("z.skv")}, why);
  }
  expect_failure({"calibrate", "--target", path("nowhere"), "-o", path("z.skvp")}, "No such file");
  expect_failure({"calibrate", "--target", folder_.path().string(), "-o", path("z.skvp")},
                 "no .safetensors");
  expect_failure({"calibrate", "--target", tiny("calibration/target"), "--reference",
                  folder_.path().string(), "-o", path("z.skvp")},
                 "No such file");
  expect_failure({"evaluate", "--target", path("nowhere")}, "No such file");
  expect_failure({"compress", path("x.skv"), "-o", path("z.skv")}, "not a safetensors file");
  expect_failure({"inspect", target_}, "not a .skv file");
  const auto no_cache =
      make_cache("n.safetensors", {{"weights", "BF16", {2, 2}, test::byte_string(8)}});
  expect_failure({"compress", no_cache, "-o", path("z.skv")}, "no K or V");
}

TEST_F(failures, outputs_that_cannot_be_written) {
  const std::vector<std::string> with = {"--reference", reference_, "--profile", profile(), "-o"};
  fs::create_directory(folder_ / "folder");
  fs::create_symlink("elsewhere", folder_ / "link");
  const std::pair<std::string, std::string> outputs[] = {
      {path("nowhere/z"), "No such file"}, {path("folder"), "directory"},
      {path("folder/"), "no file"},        {path("x.skv/z"), "Not a directory"},
      {path("link"), "symbolic link"},     {"/dev/null", "not a regular file"}};
  for (const auto& [output, why] : outputs) {
    std::vector<std::string> compress = {"compress", target_},
                             decompress = {"decompress", path("x.skv")};
    for (auto* a : {&compress, &decompress}) {
      a->insert(a->end(), with.begin(), with.end());
      a->push_back(output);
      expect_failure(*a, why);
    }
    expect_failure({"calibrate", "--target", tiny("calibration/target"), "-o", output}, why);
  }
}

TEST_F(failures, an_input_as_output) {
  fs::copy_file(target_, folder_ / "t.safetensors");
  fs::copy_file(reference_, folder_ / "r.safetensors");
  fs::create_hard_link(folder_ / "t.safetensors", folder_ / "same.safetensors");
  for (const char* output : {"t.safetensors", "r.safetensors", "p.skvp", "same.safetensors"})
    expect_failure({"compress", path("t.safetensors"), "--reference", path("r.safetensors"),
                    "--profile", profile(), "-o", path(output)},
                   "is an input");
  for (const char* output : {"x.skv", "r.safetensors", "p.skvp"})
    expect_failure({"decompress", path("x.skv"), "--reference", path("r.safetensors"), "--profile",
                    profile(), path(output)},
                   "is an input");
  expect_failure({"calibrate", "--target", path("t.safetensors"), "-o", path("t.safetensors")},
                 "is an input");
}

TEST_F(failures, wrong_usage_has_a_status_of_its_own) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"frobnicate"},
      {"compress"},
      {"compress", target_},
      {"compress", target_, "-o"},
      {"compress", target_, "-o", path("z.skv"), "--unknown"},
      {"compress", target_, "-o", path("z.skv"), "--threads", "-1"},
      {"compress", target_, "-o", path("z.skv"), "--threads", "many"},
      {"compress", target_, "-o", path("z.skv"), "--tile-elements", "0"},
      {"compress", target_, "-o", path("z.skv"), "--tile-elements", "4194305"},
      {"compress", target_, "-o", path("z.skv"), "--predictor", "oracle"},
      {"compress", target_, "-o", path("z.skv"), "--predictor", "none", "--reference", reference_},
      {"compress", target_, "-o", path("z.skv"), "--default-profile", "--profile", profile()},
      {"decompress", path("x.skv")},
      {"calibrate", "-o", path("z.skvp")},
      {"calibrate", "--target", target_},
      {"evaluate"},
      {"inspect"},
      {"verify"},
      {"inspect", path("x.skv"), "too many"},
  };
  const auto before = contents();
  for (const auto& arguments : wrong) {
    const auto o = run_program(arguments);
    EXPECT_EQ(o.status, 2) << testing::PrintToString(arguments);
    EXPECT_NE(o.err, "") << testing::PrintToString(arguments);
    EXPECT_EQ(o.out, "");
  }
  EXPECT_EQ(run_program({"frobnicate"}).err,
            "skv: there is no command 'frobnicate'; see skv --help\n");
  EXPECT_EQ(run_program({"compress", target_}).err,
            "skv: --output is required; see skv compress --help\n");
  EXPECT_TRUE(contents() == before);
}

// Killed while it writes: neither the output nor its temporary file stays.
TEST_F(failures, terminated_in_the_middle) {
  fs::remove(folder_ / "x.skv");
  // A cache of a gigabyte of zeros that takes no room on disk, and some time to compress.
  const std::string header =
      io::make_header({{"layers.0.k", "BF16", {1u << 22, 2, 64}, 0, 1u << 30}});
  test::write_bytes(folder_ / "large", std::as_bytes(std::span(header)));
  fs::resize_file(folder_ / "large", header.size() + (std::uintmax_t{1} << 30));
  const auto files = [&] { return folder_.entries(); };
  const auto before = files();
  for (const int signal : {SIGTERM, SIGINT}) {
    test::process p(
        {"compress", path("large"), "--default-profile", "--threads", "1", "-o", path("z.skv")});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (files() == before && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(files(), before + 1) << "a temporary file, by now";
    EXPECT_FALSE(exists("z.skv"));
    p.send(signal);
    const auto o = p.wait();
    EXPECT_EQ(o.signal, signal) << "status " << o.status;
    EXPECT_EQ(files(), before);
  }
}

}  // namespace
}  // namespace skv
