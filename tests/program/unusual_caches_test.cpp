// Caches of other shapes, types and company than the fixture's.
#include "program/workbench.hpp"
#include "support/archives.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;

using test::made_up_tensor;
using testing::HasSubstr;

class unusual : public test::workbench {
 protected:
  static made_up_tensor tensor(const std::string& name, format_id format,
                               std::vector<std::uint64_t> shape, bool mean = false) {
    const char* const dtypes[] = {"", "BF16", "F16", "F8_E4M3", "F8_E5M2"};
    std::uint64_t count = 1;
    for (const auto n : shape) count *= n;
    auto data = test::synthetic({format, mean_source::given, format}, count);
    return {name, dtypes[static_cast<int>(format)], std::move(shape),
            mean ? data.means : data.numbers};
  }
};

TEST_F(unusual, k_and_v_of_different_widths_and_any_format) {
  for (const format_id f : {format_id::bf16, format_id::fp16, format_id::e4m3, format_id::e5m2}) {
    const auto tensors = [&](bool mean) {
      return std::vector{tensor("layers.0.k", f, {33, 3, 24}, mean),
                         tensor("layers.0.v", f, {33, 3, 7}, mean),
                         tensor("layers.10.k", f, {33, 1, 5}, mean)};
    };
    const std::string cache = make_cache("t.safetensors", tensors(false));
    const std::string reference = make_cache("r.safetensors", tensors(true));
    const auto alone = round_trip(cache, {"--default-profile", "--predictor", "none"}, {});
    const auto predicted = round_trip(cache, {"--default-profile", "--reference", reference},
                                      {"--reference", reference});
    EXPECT_LT(predicted, alone) << to_string(f);
    round_trip(cache, {}, {});
    EXPECT_THAT(succeed({"inspect", path("x.skv")}).out, HasSubstr("layers.10.k"));
  }
}

TEST_F(unusual, mla_latent) {
  const std::string cache =
      make_cache("t.safetensors", {tensor("layers.0.latent", format_id::bf16, {40, 576}),
                                   tensor("layers.1.latent", format_id::bf16, {40, 576})});
  const std::string reference =
      make_cache("r.safetensors", {tensor("layers.0.latent", format_id::bf16, {40, 576}, true),
                                   tensor("layers.1.latent", format_id::bf16, {40, 576}, true)});
  round_trip(cache, {}, {});
  succeed({"calibrate", "--target", cache, "--reference", reference, "-o", path("l.skvp")});
  const auto size = round_trip(cache, {"--reference", reference, "--profile", path("l.skvp")},
                               {"--reference", reference, "--profile", path("l.skvp")});
  EXPECT_LT(8.0 * static_cast<double>(size), 7.0 * 2 * 40 * 576);
  EXPECT_THAT(succeed({"inspect", path("x.skv")}).out, HasSubstr("[40, 1, 576]"));
}

TEST_F(unusual, other_tensors_metadata_and_gaps) {
  const std::string cache =
      make_cache("t.safetensors",
                 {{"a.first", "F32", {3}, test::random_bytes(12, 1)},
                  tensor("layers.0.k", format_id::bf16, {33, 2, 8}),
                  {"layers.0.k.scale", "F32", {1}, test::random_bytes(4, 2)},
                  {"layers.0.note", "BF16", {2, 2, 2}, test::random_bytes(16, 3)},
                  {"layers.x.k", "BF16", {2, 2, 2}, test::random_bytes(16, 4)},
                  {"layers.00.k", "BF16", {2, 2, 2}, test::random_bytes(16, 5)},
                  {"layers.1.k", "I16", {2, 2, 2}, test::random_bytes(16, 6)},
                  {"layers.2.k", "BF16", {4, 2}, test::random_bytes(16, 7)},
                  tensor("layers.0.v", format_id::bf16, {33, 2, 8}),
                  {"large", "U8", {3000000}, test::random_bytes(3000000, 8)},
                  {"tokens", "I64", {33}, test::byte_string(264)}},
                 13, {{"model", "made up"}, {"text", "Grüße \"quoted\"\n"}});
  const auto size = round_trip(cache, {}, {});
  EXPECT_LT(size, 3000000 + 6000);
  const auto listed = succeed({"inspect", path("x.skv")}).out;
  EXPECT_THAT(listed, HasSubstr("layers.0.v"));
  EXPECT_THAT(listed, testing::Not(HasSubstr("layers.2.k")))
      << "that has another rank: it only travels";
}

TEST_F(unusual, bytes_behind_the_last_tensor) {
  const std::string cache =
      make_cache("t.safetensors", {tensor("layers.0.k", format_id::bf16, {9, 2, 8})});
  test::byte_string longer = bytes("t.safetensors");
  longer.resize(longer.size() + 77, std::byte{9});
  test::write_bytes(cache, longer);
  round_trip(cache, {}, {});
}

TEST_F(unusual, tensors_without_tokens) {
  const std::string cache =
      make_cache("t.safetensors", {tensor("layers.0.k", format_id::bf16, {0, 2, 8}),
                                   tensor("layers.1.k", format_id::bf16, {5, 2, 8}),
                                   tensor("layers.1.v", format_id::bf16, {0, 2, 8})});
  round_trip(cache, {}, {});
  const std::string empty =
      make_cache("e.safetensors", {tensor("layers.0.k", format_id::bf16, {0, 2, 8})});
  expect_failure({"compress", empty, "-o", path("z.skv")}, "no K or V");
}

TEST_F(unusual, two_formats_in_one_cache) {
  const std::string cache =
      make_cache("t.safetensors", {tensor("layers.0.k", format_id::bf16, {33, 2, 8}),
                                   tensor("layers.0.v", format_id::e4m3, {33, 2, 8})});
  round_trip(cache, {}, {});
}

TEST_F(unusual, constant_and_random_numbers) {
  const std::string zeros = make_cache(
      "z.safetensors", {{"layers.0.k", "BF16", {5000, 2, 64}, test::byte_string(1280000)}});
  EXPECT_LT(round_trip(zeros, {"--default-profile"}, {}), 1000u);
  for (const char* dtype : {"BF16", "F16", "F8_E4M3", "F8_E5M2"}) {
    const std::uint64_t bytes = dtype[1] == '8' ? 1 : 2;
    const std::string random =
        make_cache("r.safetensors",
                   {{"layers.0.k", dtype, {500, 2, 64}, test::random_bytes(64000 * bytes, 1)}});
    const auto size = fs::file_size(random);
    EXPECT_LE(round_trip(random, {}, {}), size + size / 100 + 4096) << dtype;
    EXPECT_LE(round_trip(random, {"--default-profile"}, {}), size + size / 100 + 4096) << dtype;
  }
}

// A scale for every channel would be half as large as the one token itself.
TEST_F(unusual, a_single_token) {
  const std::string random = make_cache(
      "one.safetensors", {{"layers.0.k", "BF16", {1, 64, 512}, test::random_bytes(65536, 1)},
                          {"layers.0.v", "BF16", {1, 64, 512}, test::random_bytes(65536, 2)}});
  const auto size = fs::file_size(random);
  EXPECT_LE(round_trip(random, {}, {}), size + size / 100 + 4096);
  EXPECT_LE(round_trip(random, {"--reference", random}, {"--reference", random}), 2000u);
}

TEST_F(unusual, a_perfect_prediction) {
  const std::string cache = test::evaluation("target");
  EXPECT_LT(round_trip(cache, {"--reference", cache, "--default-profile"}, {"--reference", cache}),
            2000u);
}

}  // namespace
}  // namespace skv
