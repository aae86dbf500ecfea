// The program on the fixture: everything comes back, byte for byte.
#include "program/workbench.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;

using test::evaluation;
using test::tiny;
using testing::HasSubstr;

class restore : public test::workbench {};

// The six commands as the README and the help have them.
TEST_F(restore, by_the_commands_of_the_manual) {
  const std::string target = evaluation("target"), reference = evaluation("reference_fp8");
  const auto calibrated =
      succeed({"calibrate", "--target", tiny("calibration/target"), "--reference",
               tiny("calibration/reference_fp8"), "-o", path("P.skvp")});
  EXPECT_THAT(calibrated.out, HasSubstr("12 tensors of bf16, predictor reference, from 2 caches"));
  EXPECT_THAT(succeed({"compress", target, "--reference", reference, "--profile", path("P.skvp"),
                       "-o", path("X.skv")})
                  .out,
              HasSubstr("148992 ->"));
  succeed({"decompress", path("X.skv"), "--reference", reference, "--profile", path("P.skvp"), "-o",
           path("Y.safetensors")});
  EXPECT_EQ(bytes("Y.safetensors"), test::read_bytes(target));
  EXPECT_THAT(succeed({"evaluate", "--target", tiny("evaluation/target"), "--reference",
                       tiny("evaluation/reference_fp8"), "--profile", path("P.skvp")})
                  .out,
              HasSubstr("layers.5.v"));
  EXPECT_THAT(succeed({"inspect", path("X.skv")}).out, HasSubstr("predictor reference"));
  EXPECT_THAT(
      succeed({"verify", path("X.skv"), "--reference", reference, "--profile", path("P.skvp")}).out,
      HasSubstr("ok"));

  // The output as the second positional argument.
  succeed(
      {"compress", "--profile", path("P.skvp"), "--reference", reference, target, path("X2.skv")});
  EXPECT_EQ(bytes("X2.skv"), bytes("X.skv"));
  succeed({"decompress", "--profile", path("P.skvp"), "--reference", reference, path("X2.skv"),
           path("Y2")});
  EXPECT_EQ(bytes("Y2"), bytes("Y.safetensors"));
}

TEST_F(restore, with_references) {
  struct variant {
    const char *target, *reference;
    double most_bits;  // of 73,728 numbers, all bytes of the file counted
  };
  for (const variant v : {variant{"target", "reference_fp8", 5.6},
                          {"target", "reference_fp8_exactkv", 4.25},
                          {"target_e4m3", "reference_fp8_for_e4m3", 2.0}}) {
    SCOPED_TRACE(v.reference);
    succeed({"calibrate", "--target", tiny(std::string("calibration/") + v.target), "--reference",
             tiny(std::string("calibration/") + v.reference), "-o", path("v.skvp")});
    const std::string r = evaluation(v.reference);
    const auto size =
        round_trip(evaluation(v.target), {"--reference", r, "--profile", path("v.skvp")},
                   {"--reference", r, "--profile", path("v.skvp")});
    EXPECT_LT(8.0 * static_cast<double>(size), v.most_bits * 73728);
    // The profile inside of the file: no other is needed.
    const auto with_profile = round_trip(
        evaluation(v.target), {"--reference", r, "--profile", path("v.skvp"), "--embed-profile"},
        {"--reference", r});
    EXPECT_GT(with_profile, size);
    // No profile at all, and the built-in one: neither is needed to restore.
    round_trip(evaluation(v.target), {"--reference", r}, {"--reference", r});
    round_trip(evaluation(v.target), {"--reference", r, "--default-profile"}, {"--reference", r});
    round_trip(evaluation(v.target),
               {"--reference", r, "--profile", path("v.skvp"), "--tile-elements", "1000"},
               {"--reference", r, "--profile", path("v.skvp")});
  }
}

TEST_F(restore, without_a_reference) {
  for (const char* target : {"target", "target_e4m3", "reference_fp8"}) {
    SCOPED_TRACE(target);
    std::uintmax_t smallest = ~std::uintmax_t{0};
    for (const char* predictor : {"none", "previous_token"}) {
      const auto fitted = round_trip(evaluation(target), {"--predictor", predictor}, {});
      smallest = std::min(smallest, fitted);
      round_trip(evaluation(target), {"--predictor", predictor, "--default-profile"}, {});
      succeed({"calibrate", "--target", tiny(std::string("calibration/") + target), "--predictor",
               predictor, "-o", path("v.skvp")});
      const auto calibrated = round_trip(evaluation(target), {"--profile", path("v.skvp")},
                                         {"--profile", path("v.skvp")});
      EXPECT_LT(calibrated, fitted) << "which carries its profile along";
    }
    EXPECT_EQ(round_trip(evaluation(target), {}, {}), smallest) << "the better one";
    EXPECT_LT(smallest, fs::file_size(evaluation(target)));
  }
}

TEST_F(restore, with_any_number_of_threads_and_any_tile) {
  const std::string reference = evaluation("reference_fp8");
  std::map<std::string, test::byte_string> files;
  for (const char* elements : {"1", "64", "1000", "65536", "4194304"})
    for (const char* threads : {"1", "2", "3", "7"}) {
      round_trip(evaluation("target"),
                 {"--reference", reference, "--profile", profile(), "--tile-elements", elements,
                  "--threads", threads},
                 {"--reference", reference, "--profile", profile(), "--threads", threads});
      const auto [at, is_new] = files.emplace(elements, bytes("x.skv"));
      EXPECT_TRUE(is_new || at->second == bytes("x.skv")) << elements << ", " << threads;
    }
}

TEST_F(restore, over_an_older_file) {
  test::write_bytes(folder_ / "x.skv", test::byte_string(1 << 20));
  test::write_bytes(folder_ / "y.safetensors", test::byte_string(1 << 20));
  round_trip(evaluation("target"), {"--default-profile"}, {});
}

}  // namespace
}  // namespace skv
