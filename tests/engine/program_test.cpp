// The program: what it prints, and its errors in one line.
#if defined(SKV_PROGRAM)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/cache_file.hpp"
#include "models.hpp"
#include "run.hpp"
#include "support/run_program.hpp"

namespace engine::test {
namespace {

using skv::test::run_program;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(program, generates_the_same_with_any_number_of_threads) {
  model_folder f;
  f.fill(5);
  f.write();
  skv::io::fill_file(f.folder / "ids", "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8 4");
  const auto run_with = [&](const std::string& threads) {
    return run_program({"generate", "--model", f.folder.path().string(), "--tokens",
                        (f.folder / "ids").string(), "--max-new", "12", "--threads", threads});
  };
  const auto one = run_with("1"), two = run_with("2");
  EXPECT_EQ(one.status, 0) << one.err;
  EXPECT_EQ(std::ranges::count(one.out, ' '), 11) << one.out;
  EXPECT_EQ(one.out, two.out);
}

TEST(program, writes_the_cache_that_a_prefill_makes) {
  model_folder f;
  f.fill(6);
  f.write();
  const auto out = f.folder / "cache.safetensors";
  skv::io::fill_file(f.folder / "ids", "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8 4");
  const auto made = run_program({"prefill", "--model", f.folder.path().string(), "--tokens",
                                 (f.folder / "ids").string(), "-o", out.string()});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_EQ(*read_tokens(out), *read_tokens(f.folder / "ids"));
  const std::string whole = skv::io::text_of(out);
  const model m = must(load_model(f.folder.path()));
  workers team(1);
  const auto last = run(m, team, *read_tokens(out)).tensors.back();
  const std::string bytes(reinterpret_cast<const char*>(last.data()), 2 * last.size());
  EXPECT_NE(whole.find(bytes), whole.npos);
}

TEST(program, asks_for_no_more_than_there_is) {
  model_folder f;
  f.fill(7);
  f.write();
  const std::string folder = f.folder.path().string(), ids = (f.folder / "ids").string();
  skv::io::fill_file(ids, "3 1 4");
  const auto threads =
      run_program({"generate", "--model", folder, "--tokens", ids, "--threads", "4000000"});
  EXPECT_EQ(threads.status, 2);
  EXPECT_THAT(threads.err, AllOf(StartsWith("skv_engine: "), HasSubstr("--threads")));
  EXPECT_EQ(std::ranges::count(threads.err, '\n'), 1) << threads.err;
  EXPECT_EQ(run_program({"no-such-command"}).status, 2);
}

TEST(program, says_what_is_wrong_in_one_line) {
  model_folder f;
  f.fill(7);
  f.write();
  const std::string folder = f.folder.path().string(), ids = (f.folder / "ids").string();
  skv::io::fill_file(ids, "3 1 90");
  const auto expect = [&](std::vector<std::string> arguments, const std::string& why) {
    const auto o = run_program(arguments);
    EXPECT_EQ(o.status, 1);
    EXPECT_EQ(o.out, "");
    EXPECT_THAT(o.err, AllOf(StartsWith("skv_engine: "), HasSubstr(why)));
    EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
  };
  expect({"generate", "--model", folder + "/none", "--tokens", ids}, "none/config.json");
  expect({"generate", "--model", folder, "--tokens", ids}, "token 90");
  expect({"generate", "--model", folder, "--tokens", ids + "x"}, "idsx");
  expect({"generate", "--model", folder, "--prompt", "text"}, "give tokens");
  const std::string out = (f.folder / "cache.safetensors").string();
  expect({"prefill", "--model", folder, "--tokens", ids, "-o", out}, "token 90");
  EXPECT_FALSE(std::filesystem::exists(out));
  f.weights.tensors["model.norm.weight"].numbers[0] = 0x7fc0;
  f.write();
  expect({"generate", "--model", folder, "--tokens", ids}, "'model.norm.weight' holds");
}

}  // namespace
}  // namespace engine::test
#endif
