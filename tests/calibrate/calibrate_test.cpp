// Calibration on the fixture, and on caches that are unusual.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skv/calibrate/calibrate.hpp>

#include <functional>
#include <thread>

#include "support/archives.hpp"
#include "support/cache_file.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

using test::cache_file;
using testing::HasSubstr;

struct variant {
  const char *target, *reference;  // no reference: null
  test::coding_id id;
  double most_bits;  // on the evaluation file, headers and all; measured: a little less
};
constexpr test::coding_id coding(format_id target, mean_source source, format_id mean) {
  return {target, source, mean};
}
const variant kVariants[] = {
    {"target", "reference_fp8", coding(format_id::bf16, mean_source::given, format_id::bf16), 5.6},
    {"target", "reference_fp8_exactkv",
     coding(format_id::bf16, mean_source::given, format_id::bf16), 4.25},
    {"target_e4m3", "reference_fp8_for_e4m3",
     coding(format_id::e4m3, mean_source::given, format_id::bf16), 2.0},
    {"target", nullptr, coding(format_id::bf16, mean_source::none, format_id::bf16), 10.8},
    {"target", nullptr, coding(format_id::bf16, mean_source::previous_token, format_id::bf16),
     10.7},
    {"target_e4m3", nullptr, coding(format_id::e4m3, mean_source::none, format_id::e4m3), 6.75},
};

cache_file open(const char* split, const char* variant, const char* name = "000") {
  return cache_file::tiny(std::string(split) + "/" + variant + "/" + name + ".safetensors");
}

void add_all(calibrator& c, const cache_file& target, const cache_file* reference, bool backwards) {
  auto tensors = target.tensors();
  if (backwards) std::ranges::reverse(tensors);
  for (const auto& t : tensors) {
    row_view<const std::byte> means;
    if (reference != nullptr)
      for (const auto& r : reference->tensors())
        if (r.id == t.id) means = reference->rows(r);
    const auto added = c.add(t.id, t.tokens, t.heads, t.head_dim, target.rows(t), means);
    ASSERT_TRUE(added) << added.failure().message;
  }
}

profile_ptr calibrated(const variant& v, std::vector<const char*> names, bool backwards = false) {
  calibrator c(v.id.target, v.id.source, v.id.mean);
  do
    for (const char* name : names) {
      const cache_file target = open("calibration", v.target, name);
      if (v.reference == nullptr) {
        add_all(c, target, nullptr, backwards);
      } else {
        const cache_file reference = open("calibration", v.reference, name);
        add_all(c, target, &reference, backwards);
      }
    }
  while (c.next_pass());
  const auto p = c.finish();
  EXPECT_TRUE(p);
  return *p;
}

double bits_of_evaluation(const variant& v, const profile_ptr& p) {
  const cache_file target = open("evaluation", v.target);
  const cpu::codec coder(p);
  container box = target.box(*p);
  std::uint64_t numbers = 0;
  for (const stream& s : box.streams)
    if (s.is_tensor) numbers += s.numbers();
  const auto code = [&](const cpu::mean_lookup& means) {
    const auto file = test::pack(box, coder, target.bytes(), means);
    EXPECT_TRUE(file) << file.failure().message;
    EXPECT_TRUE(std::ranges::equal(*test::unpack(*file, coder, means), target.bytes()));
    return 8.0 * static_cast<double>(file->size()) / static_cast<double>(numbers);
  };
  if (v.reference == nullptr) return code({});
  const cache_file reference = open("evaluation", v.reference);
  return code(reference.as_means());
}

TEST(calibrator, beats_the_default_profile_on_a_sequence_it_never_saw) {
  for (const variant& v : kVariants) {
    SCOPED_TRACE(test::name_of(v.id));
    const double fitted = bits_of_evaluation(v, calibrated(v, {"000", "001"}));
    const double by_default = bits_of_evaluation(v, test::default_profile_of(v.id));
    std::printf("%-32s %-24s %.3f bits, default profile %.3f\n", test::name_of(v.id).c_str(),
                v.reference == nullptr ? "" : v.reference, fitted, by_default);
    EXPECT_LT(fitted, v.most_bits);
    EXPECT_LT(fitted, by_default);
    EXPECT_LT(by_default, test::format_of(v.id.target).bits() + 0.2) << "raw, at worst";
  }
}

TEST(calibrator, does_not_mind_the_order_of_caches_and_tensors) {
  for (const variant& v : {kVariants[0], kVariants[2], kVariants[4]}) {
    const auto p = calibrated(v, {"000", "001"});
    EXPECT_EQ(calibrated(v, {"001", "000"})->id(), p->id()) << test::name_of(v.id);
    EXPECT_EQ(calibrated(v, {"000", "001"}, true)->id(), p->id());
    EXPECT_NE(calibrated(v, {"000"})->id(), p->id());
  }
}

TEST(calibrator, takes_different_tensors_from_several_threads) {
  const variant& v = kVariants[4];
  const cache_file cache = open("calibration", v.target);
  calibrator c(v.id.target, v.id.source, v.id.mean);
  do {
    std::vector<std::jthread> threads;
    for (const auto& t : cache.tensors())
      threads.emplace_back(
          [&] { EXPECT_TRUE(c.add(t.id, t.tokens, t.heads, t.head_dim, cache.rows(t), {})); });
  } while (c.next_pass());
  EXPECT_EQ((*c.finish())->id(), calibrated(v, {"000"})->id());
}

TEST(calibrator, refuses_shapes_that_change_and_missing_means) {
  const test::coding_id id = kVariants[0].id;
  const auto data = test::synthetic(id, 1024);
  const row_view<const std::byte> numbers{data.numbers.data(), 64}, means{data.means.data(), 64};
  calibrator c(id.target, id.source, id.mean);
  EXPECT_EQ(calibrator(id.target, id.source, id.mean).finish().code(), status::invalid_argument);
  ASSERT_TRUE(c.add({0, tensor_kind::k}, 32, 4, 8, numbers, means));
  ASSERT_TRUE(c.add({0, tensor_kind::k}, 1, 4, 8, numbers, means)) << "tokens may differ";
  ASSERT_TRUE(c.add({0, tensor_kind::v}, 32, 2, 16, numbers, means)) << "another tensor";
  const auto other = c.add({0, tensor_kind::k}, 32, 8, 4, numbers, means);
  EXPECT_EQ(other.code(), status::invalid_argument);
  EXPECT_THAT(other.failure().message, HasSubstr("layers.0.k"));
  EXPECT_EQ(c.add({0, tensor_kind::k}, 32, 4, 8, numbers, {}).code(), status::invalid_argument);
  EXPECT_EQ(c.add({1, tensor_kind::k}, 32, 0, 8, numbers, means).code(), status::invalid_argument);
  EXPECT_EQ(c.add({1, tensor_kind::k}, 0, 1u << 16, 1u << 16, numbers, means).code(),
            status::invalid_argument);
}

// Whatever the numbers, there is a profile in the end, and it restores them.
TEST(calibrator, takes_any_numbers) {
  const std::uint32_t tokens = 40, heads = 2, head_dim = 20;
  const std::size_t count = tokens * heads * head_dim;
  for (const auto id : test::all_codings())
    for (int kind = 0; kind < 4; ++kind) {
      test::random_source random(1);
      test::number_set data;
      for (std::size_t i = 0; i < count; ++i) {
        const number_format target = test::format_of(id.target), mean = test::format_of(id.mean);
        const std::uint32_t nan = (1u << target.magnitude_bits()) - 1;
        test::append_pattern(data.numbers, target,
                             kind == 0   ? random.bits() >> (32 - target.bits())
                             : kind == 1 ? nan
                             : kind == 2 ? 0
                                         : test::unusual_pattern(target, random));
        test::append_pattern(data.means, mean, kind == 2 ? 0 : test::unusual_pattern(mean, random));
      }
      const row_view<const std::byte> numbers{data.numbers.data(), data.numbers.size() / tokens};
      const row_view<const std::byte> means{data.means.data(), data.means.size() / tokens};
      calibrator c(id.target, id.source, id.mean);
      do ASSERT_TRUE(c.add({0, tensor_kind::k}, tokens, heads, head_dim, numbers, means));
      while (c.next_pass());
      const auto p = c.finish();
      ASSERT_TRUE(p) << test::name_of(id) << ": " << p.failure().message;

      const cpu::codec coder(*p);
      const cpu::tile_slice tile{{0, tensor_kind::k}, heads, head_dim, 0, heads, tokens};
      std::vector<std::byte> image(data.numbers.size()), out(data.numbers.size());
      const auto record = coder.encode(tile, numbers, means, image);
      ASSERT_TRUE(record);
      ASSERT_TRUE(
          coder.decode(tile, *record, image, means, {out.data(), numbers.token_stride_bytes}));
      ASSERT_TRUE(out == data.numbers) << test::name_of(id);
    }
}

TEST(calibrator, without_tokens_still_makes_a_profile) {
  calibrator c(format_id::bf16, mean_source::none, format_id::bf16);
  do ASSERT_TRUE(c.add({0, tensor_kind::v}, 0, 2, 4, {}, {}));
  while (c.next_pass());
  const auto p = c.finish();
  ASSERT_TRUE(p);
  EXPECT_TRUE((*p)->codes({0, tensor_kind::v}, 2, 4));
}

}  // namespace
}  // namespace skv
