// Files written and read tensor by tensor, by a predictor that needs the exact numbers of one
// tensor for the means of the next.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <skv/cpu/layered_archive.hpp>

#include <map>

#include "support/archives.hpp"
#include "support/codecs.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::kGiven;
using test::tensor_stream;
using testing::HasSubstr;

constexpr std::uint32_t kLayerTokens = 37, kLayerHeads = 3, kLayerHeadDim = 16,
                        kLayerRowBytes = kLayerHeads * kLayerHeadDim * 2;

// Predicts every tensor by the one before.
struct by_the_last {
  static constexpr mean_source kSource = mean_source::given;
  byte_string last = byte_string(kLayerTokens * kLayerRowBytes);
  std::vector<tensor_id> asked;

  row_view<const std::byte> predict(const tensor_shape& t) {
    asked.push_back(t.id);
    return {last.data(), kLayerRowBytes};
  }
  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    for (std::uint32_t i = 0; i < t.tokens; ++i)
      std::copy_n(exact.at(i, 0), kLayerRowBytes, last.begin() + i * kLayerRowBytes);
  }
};
static_assert(predictor<by_the_last>);

const predictor_identity kIdentity{"by the last", {std::byte{7}}};

struct layers {
  cpu::codec coder{test::default_profile_of(kGiven)};
  byte_string note = test::random_bytes(3000000, 1);
  std::map<tensor_id, byte_string> numbers;
  container box;

  layers() {
    std::vector<stream> streams = {test::opaque_stream(note.size())};
    const byte_string base =
        test::synthetic(kGiven, kLayerTokens * kLayerHeads * kLayerHeadDim).numbers;
    for (std::uint32_t layer = 0; layer < 12; ++layer)
      for (const auto kind : {tensor_kind::k, tensor_kind::v}) {
        const tensor_id id{layer, kind};
        numbers[id] = base;
        numbers[id][layer] ^= std::byte{0x11};
        streams.push_back(
            tensor_stream(id, format_id::bf16, kLayerTokens, kLayerHeads, kLayerHeadDim, 10, 2));
      }
    box = test::box_of(coder.used_profile(), streams);
    box.predictor = kIdentity;
  }

  byte_string file(unsigned threads = 1) const {
    byte_string tiles;
    by_the_last p;
    auto w = cpu::archive_writer::begin(
        box, coder,
        [&](std::span<const std::byte> b) -> result<done> {
          append(tiles, b);
          return done{};
        },
        threads);
    EXPECT_TRUE(w);
    EXPECT_TRUE(w->write_opaque(note));
    while (w->next() != nullptr)
      EXPECT_TRUE(w->write(p, {numbers.at(w->shape().id).data(), kLayerRowBytes}));
    byte_string all = *w->finish();
    append(all, tiles);
    return all;
  }
};

TEST(layered_archive, comes_back_with_any_number_of_threads) {
  const layers l;
  const byte_string file = l.file();
  EXPECT_LT(file.size(), l.note.size() + 24 * kLayerTokens * kLayerRowBytes / 2)
      << "predictions were of use";
  for (unsigned threads = 1; threads <= 3; ++threads) {
    EXPECT_TRUE(l.file(threads) == file);
    by_the_last p;
    auto r = cpu::archive_reader::begin(*parse_container(file), l.coder, file, kIdentity, threads);
    ASSERT_TRUE(r) << r.failure().message;
    EXPECT_TRUE(*r->read_opaque() == l.note);
    while (r->next() != nullptr) {
      const tensor_id id = r->shape().id;
      byte_string out(kLayerTokens * kLayerRowBytes);
      const auto ok = r->read(p, {out.data(), kLayerRowBytes});
      ASSERT_TRUE(ok) << ok.failure().message;
      ASSERT_TRUE(out == l.numbers.at(id)) << to_string(id);
    }
  }
}

TEST(layered_archive, is_an_archive_like_others) {
  const layers l;
  const byte_string file = l.file();
  const auto means = [&](const stream& s) -> result<row_view<const std::byte>> {
    static const byte_string zeros(kLayerTokens * kLayerRowBytes);
    const auto at = l.numbers.find(s.id);
    const auto* before = at == l.numbers.begin() ? &zeros : &std::prev(at)->second;
    return row_view<const std::byte>{before->data(), kLayerRowBytes};
  };
  byte_string source = l.note;
  for (const auto& [id, numbers] : l.numbers) append(source, numbers);
  EXPECT_TRUE(*test::unpack(file, l.coder, means) == source);
}

TEST(layered_archive, refuses_another_predictor_before_it_is_asked) {
  const layers l;
  const byte_string file = l.file();
  const auto refused = cpu::archive_reader::begin(*parse_container(file), l.coder, file,
                                                  {"another", {std::byte{8}}});
  EXPECT_EQ(refused.code(), status::wrong_prediction);
  EXPECT_THAT(refused.failure().message,
              AllOf(HasSubstr("by the last (07"), HasSubstr("another (08")));
}

TEST(layered_archive, refuses_another_profile) {
  const layers l;
  const byte_string file = l.file();
  profile_content content = l.coder.used_profile().content();
  content.default_code = static_cast<scale_code>(content.default_code + 1);
  const cpu::codec other(*profile::make(content));
  EXPECT_EQ(cpu::archive_reader::begin(*parse_container(file), other, file, kIdentity).code(),
            status::wrong_profile);
}

TEST(layered_archive, refuses_tensors_that_do_not_ascend) {
  layers l;
  std::swap(l.box.streams[3], l.box.streams[4]);
  const auto nowhere = [](std::span<const std::byte>) -> result<done> { return done{}; };
  EXPECT_EQ(cpu::archive_writer::begin(l.box, l.coder, nowhere).code(), status::unsupported);
}

TEST(layered_archive, refuses_what_is_not_next) {
  const layers l;
  const auto nowhere = [](std::span<const std::byte>) -> result<done> { return done{}; };
  by_the_last p;
  auto w = *cpu::archive_writer::begin(l.box, l.coder, nowhere);
  const row_view<const std::byte> numbers{l.numbers.begin()->second.data(), kLayerRowBytes};
  EXPECT_EQ(w.write(p, numbers).code(), status::invalid_argument);
  EXPECT_TRUE(p.asked.empty());
  EXPECT_EQ(w.write_opaque(std::span(l.note).first(10)).code(), status::invalid_argument);
  EXPECT_TRUE(w.write_opaque(l.note));
  EXPECT_EQ(w.write_opaque(l.note).code(), status::invalid_argument);
  EXPECT_TRUE(w.write(p, numbers));
  EXPECT_EQ(w.finish().code(), status::invalid_argument);
}

TEST(layered_archive, names_the_tensor_that_is_damaged) {
  const layers l;
  byte_string file = l.file();
  file.back() ^= std::byte{1};  // of the last K: its V is as predicted, and takes no bytes
  by_the_last p;
  auto r = *cpu::archive_reader::begin(*parse_container(file), l.coder, file, kIdentity);
  ASSERT_TRUE(r.read_opaque());
  byte_string out(kLayerTokens * kLayerRowBytes);
  result<done> last = done{};
  while (r.next() != nullptr && last) last = r.read(p, {out.data(), kLayerRowBytes});
  EXPECT_EQ(last.code(), status::corrupt);
  EXPECT_THAT(last.failure().message, HasSubstr("layers.11.k"));
}

}  // namespace
}  // namespace skv
