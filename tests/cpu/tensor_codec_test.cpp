// Layer by layer: every predictor there is, and one of a user's.
#include <gtest/gtest.h>
#include <skv/cpu/tensor_codec.hpp>
#include <skv/predict/none.hpp>
#include <skv/predict/previous_token.hpp>
#include <skv/predict/reference.hpp>

#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv {
namespace {

using byte_string = std::vector<std::byte>;

constexpr std::uint32_t kLayers = 3;

tensor_shape shape_of(std::uint32_t layer, std::uint32_t tokens = 600) {
  return {{layer, tensor_kind::k}, tokens, 4, 40};
}
row_view<const std::byte> layer_rows(const byte_string& b, number_format f) {
  return {b.data(), shape_of(0).width() * f.bytes()};
}

// Predicts a tensor by that of the layer before; the first one by zeros.
struct layer_before {
  static constexpr mean_source kSource = mean_source::given;
  byte_string last = byte_string(shape_of(0).tokens * shape_of(0).width() * 2);
  int predictions = 0, updates = 0;

  row_view<const std::byte> predict(const tensor_shape& t) {
    ++predictions;
    return {last.data(), t.width() * 2};
  }
  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    ++updates;
    for (std::uint32_t token = 0; token < t.tokens; ++token)
      std::copy_n(exact.at(token, 0), t.width() * 2, last.data() + token * t.width() * 2);
  }
};
static_assert(predictor<layer_before>);

// Encodes and decodes three layers; returns all bytes.
template <predictor P>
std::size_t round_trip(test::coding_id id, P encoding, P decoding, const test::number_set& data) {
  const cpu::codec coder(test::default_profile_of(id));
  std::size_t bytes = 0;
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const auto e = cpu::encode_tensor(coder, encoding, shape_of(layer),
                                      layer_rows(data.numbers, coder.target()));
    EXPECT_TRUE(e);
    if (!e) return 0;
    EXPECT_EQ(e->records.size(), 2u) << "600 tokens of 160 numbers";
    byte_string out(data.numbers.size());
    const auto d = cpu::decode_tensor(coder, decoding, shape_of(layer), *e,
                                      {out.data(), shape_of(0).width() * coder.target().bytes()});
    EXPECT_TRUE(d) << d.failure().message;
    EXPECT_TRUE(out == data.numbers);
    bytes += e->bytes.size();
  }
  return bytes;
}

TEST(tensor_codec, codes_with_every_predictor) {
  for (const auto id : test::all_codings()) {
    SCOPED_TRACE(test::name_of(id));
    const auto data = test::synthetic(id, shape_of(0).tokens * shape_of(0).width());
    const auto lookup = [&](const tensor_shape&) {
      return layer_rows(data.means, test::format_of(id.mean));
    };
    std::size_t bytes = 0;
    switch (id.source) {
      case mean_source::none: bytes = round_trip(id, none{}, none{}, data); break;
      case mean_source::previous_token:
        bytes = round_trip(id, previous_token{}, previous_token{}, data);
        break;
      case mean_source::given:
        bytes = round_trip(id, reference(lookup), reference(lookup), data);
        break;
    }
    EXPECT_GT(bytes, 0u);
    EXPECT_LT(bytes, kLayers * data.numbers.size());
  }
}

TEST(tensor_codec, shows_a_predictor_of_a_user_all_that_was_coded) {
  constexpr test::coding_id id = test::kGiven;
  const auto data = test::synthetic(id, shape_of(0).tokens * shape_of(0).width());
  // Every layer holds the same numbers: from the second on, all is as predicted.
  const cpu::codec coder(test::default_profile_of(id));
  layer_before p;
  std::size_t sizes[kLayers];
  for (std::uint32_t layer = 0; layer < kLayers; ++layer)
    sizes[layer] =
        cpu::encode_tensor(coder, p, shape_of(layer), layer_rows(data.numbers, bf16))->bytes.size();
  EXPECT_GT(sizes[0], 0u);
  EXPECT_EQ(sizes[1], 0u);
  EXPECT_EQ(sizes[2], 0u);
  EXPECT_EQ(p.predictions, 3);
  EXPECT_EQ(p.updates, 3);
  round_trip(id, layer_before{}, layer_before{}, data);
}

TEST(tensor_codec, notices_predictors_that_disagree) {
  constexpr test::coding_id id = test::kGiven;
  const auto data = test::synthetic(id, shape_of(0).tokens * shape_of(0).width());
  const cpu::codec coder(test::default_profile_of(id));
  layer_before encoding, decoding;
  byte_string out(data.numbers.size());
  const row_view<std::byte> to{out.data(), shape_of(0).width() * 2};
  const auto first =
      cpu::encode_tensor(coder, encoding, shape_of(0), layer_rows(data.numbers, bf16));
  ASSERT_TRUE(first);
  ASSERT_TRUE(cpu::decode_tensor(coder, decoding, shape_of(0), *first, to));
  const auto e = cpu::encode_tensor(coder, encoding, shape_of(1), layer_rows(data.numbers, bf16));
  ASSERT_TRUE(e);
  decoding.last[77] ^= std::byte{1};
  EXPECT_EQ(cpu::decode_tensor(coder, decoding, shape_of(1), *e, to).code(),
            status::wrong_prediction);
  EXPECT_EQ(decoding.updates, 1) << "never shown what is not exact";

  none other;
  EXPECT_EQ(cpu::encode_tensor(coder, other, shape_of(0), layer_rows(data.numbers, bf16)).code(),
            status::invalid_argument);
  EXPECT_EQ(cpu::decode_tensor(coder, other, shape_of(0), *e, to).code(), status::invalid_argument);
}

TEST(tensor_codec, refuses_what_is_missing_or_left_over) {
  constexpr test::coding_id id{format_id::e4m3, mean_source::none, format_id::e4m3};
  const auto data = test::synthetic(id, shape_of(0).tokens * shape_of(0).width());
  const cpu::codec coder(test::default_profile_of(id));
  none p;
  const auto good = cpu::encode_tensor(coder, p, shape_of(0), layer_rows(data.numbers, e4m3));
  ASSERT_TRUE(good);
  byte_string out(data.numbers.size());
  const auto code_of = [&](const cpu::encoded_tensor& e) {
    return cpu::decode_tensor(coder, p, shape_of(0), e, {out.data(), shape_of(0).width()}).code();
  };
  EXPECT_EQ(code_of(*good), status::ok);
  auto e = *good;
  e.records.pop_back();
  EXPECT_EQ(code_of(e), status::truncated);
  e = *good;
  e.records.push_back(e.records.back());
  EXPECT_EQ(code_of(e), status::corrupt);
  e = *good;
  e.bytes.pop_back();
  EXPECT_EQ(code_of(e), status::truncated);
  e = *good;
  e.bytes.push_back(std::byte{0});
  EXPECT_EQ(code_of(e), status::corrupt);
  EXPECT_EQ(code_of({}), status::truncated);
}

TEST(tensor_codec, of_a_tensor_without_tokens_is_nothing) {
  constexpr test::coding_id id = test::kAlone;
  const cpu::codec coder(test::default_profile_of(id));
  none p;
  const auto e = cpu::encode_tensor(coder, p, shape_of(0, 0), {});
  ASSERT_TRUE(e);
  EXPECT_TRUE(e->records.empty() && e->bytes.empty());
  EXPECT_TRUE(cpu::decode_tensor(coder, p, shape_of(0, 0), *e, {}));
}

}  // namespace
}  // namespace skv
