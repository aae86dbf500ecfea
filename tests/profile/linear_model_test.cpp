// Linear models in profiles: what comes back, what is refused, what can be cut out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/archives.hpp"
#include "support/effort.hpp"
#include "support/linear_models.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::linear_case;
using testing::HasSubstr;

linear_case full_case() {
  linear_case c;
  c.heads = 4;
  c.head_dim = 8;
  c.shards = 2;
  c.rank = 3;
  c.layers = 2;
  c.outside = true;
  return c;
}

TEST(linear_model, comes_back_from_its_bytes) {
  for (const std::uint32_t rank : {0u, 3u}) {
    linear_case c = full_case();
    c.rank = rank;
    const auto made = test::random_linear_profile(c);
    const auto read = profile::parse(made->bytes());
    ASSERT_TRUE(read) << read.failure().message;
    EXPECT_EQ((*read)->id(), made->id());
    const linear_model &a = *made->content().linear, &b = *(*read)->content().linear;
    EXPECT_EQ((*read)->content().base(), c.base);
    EXPECT_EQ(a.shards, b.shards);
    ASSERT_EQ(a.rotaries.size(), b.rotaries.size());
    for (std::size_t i = 0; i < a.rotaries.size(); ++i) {
      EXPECT_EQ(a.rotaries[i].is_interleaved, b.rotaries[i].is_interleaved);
      EXPECT_EQ(a.rotaries[i].first_channel, b.rotaries[i].first_channel);
      EXPECT_EQ(a.rotaries[i].frequencies, b.rotaries[i].frequencies);
    }
    ASSERT_EQ(a.outside.size(), b.outside.size());
    for (std::size_t i = 0; i < a.outside.size(); ++i) {
      EXPECT_EQ(a.outside[i].kind, b.outside[i].kind);
      EXPECT_EQ(a.outside[i].id, b.outside[i].id);
      EXPECT_EQ(a.outside[i].format, b.outside[i].format);
      EXPECT_EQ(a.outside[i].units, b.outside[i].units);
      EXPECT_EQ(a.outside[i].centres, b.outside[i].centres);
      EXPECT_EQ(a.outside[i].shifts, b.outside[i].shifts);
    }
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (std::size_t i = 0; i < a.tensors.size(); ++i) {
      const linear_tensor &x = a.tensors[i], &y = b.tensors[i];
      EXPECT_EQ(x.is_predicted, y.is_predicted);
      EXPECT_EQ(x.rotary, y.rotary);
      EXPECT_EQ(x.rank, y.rank);
      EXPECT_EQ(x.sources, y.sources);
      EXPECT_EQ(x.units, y.units);
      EXPECT_EQ(x.centres, y.centres);
      EXPECT_EQ(x.shifts, y.shifts);
      for (const auto product : {&linear_tensor::to_hidden, &linear_tensor::to_output}) {
        EXPECT_EQ((x.*product).multipliers, (y.*product).multipliers);
        EXPECT_EQ((x.*product).shifts, (y.*product).shifts);
        EXPECT_TRUE(std::ranges::equal((x.*product).weights, (y.*product).weights));
      }
    }
  }
}

// The weights of a profile with an owner lie in its bytes: a mapped file is not copied.
TEST(linear_model, weights_of_a_mapped_profile_stay_where_they_are) {
  const auto made = test::random_linear_profile(full_case());
  const auto bytes =
      std::make_shared<const byte_string>(made->bytes().begin(), made->bytes().end());
  const auto read = *profile::parse(*bytes, bytes);
  const auto weights = read->content().linear->tensors.back().to_output.weights;
  ASSERT_FALSE(weights.empty());
  const auto* const first = reinterpret_cast<const std::byte*>(weights.data());
  EXPECT_GE(first, bytes->data());
  EXPECT_LT(first, bytes->data() + bytes->size());
  const std::weak_ptr<const byte_string> alive = bytes;
  EXPECT_GT(alive.use_count(), 1);
}

TEST(linear_model, every_beginning_and_every_altered_byte_is_refused) {
  const auto p = test::random_linear_profile(full_case());
  const byte_string whole(p->bytes().begin(), p->bytes().end());
  for (std::size_t n = 0; n < whole.size(); n += test::kStride)
    ASSERT_EQ(profile::parse(std::span(whole).first(n)).code(), status::truncated) << n;
  for (std::size_t at = 0; at < whole.size(); at += test::kStride) {
    byte_string altered = whole;
    altered[at] ^= std::byte{1};
    ASSERT_FALSE(profile::parse(altered)) << at;
  }
}

// With a checksum that fits, altered bytes are refused or make another profile: never more than
// that.
TEST(linear_model, hostile_bytes_are_refused_or_are_a_profile) {
  const auto p = test::random_linear_profile(full_case());
  const byte_string whole(p->bytes().begin(), p->bytes().end());
  const std::size_t model_at = whole.size() - 8 - [&] {
    std::vector<std::byte> model;
    append(model, *p->content().linear);
    return model.size();
  }();
  test::random_source random(4);
  int accepted = 0, refused = 0;
  for (int i = 0; i < (test::kSlowBuild ? 2000 : 20000); ++i) {
    byte_string altered = whole;
    // Sizes and kinds are in the first bytes of the model, but weights are most of it.
    const std::size_t reach = random.chance(0.7) ? 400 : whole.size() - 8 - model_at;
    for (std::uint32_t n = 1 + random.below(3); n-- > 0;) {
      const std::size_t at = model_at + random.below(static_cast<std::uint32_t>(reach));
      altered[at] = static_cast<std::byte>(random.edgy());
    }
    if (random.chance(0.2)) {
      const std::size_t size = model_at + random.below(static_cast<std::uint32_t>(reach));
      altered.resize(size + 8);
      test::put(altered, 24, std::uint64_t{altered.size()});
    }
    test::reseal_profile(altered);
    const byte_string exact = altered;
    const auto read = profile::parse(exact);
    if (!read) {
      ASSERT_EQ(read.code(), status::corrupt) << read.failure().message;
      ++refused;
      continue;
    }
    ++accepted;
    const auto again = profile::make((*read)->content());
    ASSERT_TRUE(again) << again.failure().message;
    ASSERT_EQ((*again)->id(), (*read)->id());
    const cpu::linear_steps steps(*read);
    const std::vector<std::uint32_t> positions{0, 1};
    const byte_string rows(4 * 4 * 8 * 2);
    for (std::size_t t = 0; t < steps.model().tensors.size(); ++t) {
      const auto& shape = (*read)->content().scales[t];
      (void)steps.innovate(t, positions,
                           {rows.data(), std::size_t{shape.heads} * shape.head_dim * 2},
                           {rows.data(), std::size_t{shape.heads} * shape.head_dim * 2});
      byte_string room;
      const cpu::innovations none;
      const std::vector<const cpu::innovations*> from(steps.model().tensors[t].sources.size(),
                                                      &none);
      (void)steps.predict(t, positions, from,
                          {rows.data(), std::size_t{shape.heads} * shape.head_dim * 2}, room);
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 100);
}

std::string refusal(const std::function<void(profile_content&)>& spoil) {
  const auto p = test::random_linear_profile(full_case());
  profile_content c = p->content();
  spoil(c);
  const auto made = profile::make(std::move(c));
  EXPECT_EQ(made.code(), status::invalid_argument);
  return made ? "accepted" : made.failure().message;
}

TEST(linear_model, says_what_is_wrong) {
  using content = profile_content&;
  const auto last = [](content c) -> linear_tensor& { return c.linear->tensors.back(); };
  EXPECT_THAT(refusal([](content c) { c.linear->base = mean_source::previous_token; }),
              HasSubstr("a base that it cannot correct"));
  EXPECT_THAT(refusal([](content c) { c.linear->shards = 0; }), HasSubstr("without shards"));
  EXPECT_THAT(refusal([](content c) { c.linear->shards = 3; }), HasSubstr("among the shards"));
  EXPECT_THAT(refusal([](content c) { c.linear->tensors.pop_back(); }), HasSubstr("other tensors"));
  EXPECT_THAT(refusal([](content c) { c.linear->rotaries[0].frequencies.clear(); }),
              HasSubstr("without frequencies"));
  EXPECT_THAT(refusal([](content c) { c.linear->rotaries.resize(300, c.linear->rotaries[0]); }),
              HasSubstr("too many rotaries"));
  EXPECT_THAT(refusal([](content c) { c.linear->rotaries[0].first_channel = 2; }),
              HasSubstr("more channels than a head has"));
  EXPECT_THAT(refusal([](content c) { c.linear->rotaries[0].first_channel = 0xffffffff; }),
              HasSubstr("more channels than a head has"));
  EXPECT_THAT(refusal([](content c) { c.linear->tensors[0].rotary = 9; }),
              HasSubstr("a rotary that is not there"));
  EXPECT_THAT(refusal([&](content c) { last(c).sources[0] = 3; }),
              HasSubstr("what comes after it"));
  EXPECT_THAT(refusal([&](content c) { last(c).sources[0] = 6; }),
              HasSubstr("what comes after it"));
  EXPECT_THAT(refusal([&](content c) { last(c).sources[0] = 0xffffffff; }),
              HasSubstr("what comes after it"));
  EXPECT_THAT(refusal([&](content c) { last(c).is_predicted = false; }),
              HasSubstr("sources and is not predicted"));
  EXPECT_THAT(refusal([&](content c) { last(c).sources.clear(); }),
              HasSubstr("rank and no sources"));
  EXPECT_THAT(refusal([&](content c) { last(c).sources.pop_back(); }), HasSubstr("wrong shape"));
  EXPECT_THAT(refusal([&](content c) { last(c).rank = 1u << 17; }), HasSubstr("too many inputs"));
  EXPECT_THAT(refusal([&](content c) { last(c).units.pop_back(); }), HasSubstr("wrong number"));
  EXPECT_THAT(refusal([&](content c) { last(c).to_hidden.multipliers[0] = 32768; }),
              HasSubstr("multiplier"));
  EXPECT_THAT(
      refusal([&](content c) { last(c).to_output.weights = last(c).to_output.weights.subspan(1); }),
      HasSubstr("wrong size"));
  EXPECT_THAT(refusal([](content c) { c.source = mean_source::none; }),
              testing::Not(HasSubstr("accepted")));

  const auto first = [](content c) -> linear_outside& { return c.linear->outside[0]; };
  const auto second = [](content c) -> linear_outside& { return c.linear->outside[1]; };
  EXPECT_THAT(refusal([&](content c) { first(c).kind = outside_kind{2}; }),
              HasSubstr("unknown kind"));
  EXPECT_THAT(refusal([&](content c) { first(c).format = 9; }), HasSubstr("unknown format"));
  EXPECT_THAT(refusal([&](content c) { second(c).format = 0; }), HasSubstr("unknown format"));
  EXPECT_THAT(refusal([&](content c) { first(c).head_dim = 0; }), HasSubstr("impossible width"));
  EXPECT_THAT(refusal([&](content c) { second(c).heads = 0xffffffff; }),
              HasSubstr("impossible width"));
  EXPECT_THAT(refusal([&](content c) { first(c).vocabulary = 0; }), HasSubstr("of another kind"));
  EXPECT_THAT(refusal([&](content c) { second(c).vocabulary = 7; }), HasSubstr("of another kind"));
  EXPECT_THAT(refusal([&](content c) { second(c).hash = 7; }), HasSubstr("of another kind"));
  EXPECT_THAT(refusal([&](content c) { first(c).rotary = 1; }), HasSubstr("of another kind"));
  EXPECT_THAT(refusal([&](content c) { second(c).rotary = 5; }), HasSubstr("not there"));
  EXPECT_THAT(refusal([&](content c) { c.linear->rotaries[1].first_channel = 3; }),
              HasSubstr("more channels than a head"));
  EXPECT_THAT(refusal([&](content c) { second(c).shifts.pop_back(); }), HasSubstr("wrong number"));
  EXPECT_THAT(refusal([&](content c) { first(c).units.assign(10, 1); }), HasSubstr("wrong number"));
  EXPECT_THAT(refusal([&](content c) { std::swap(first(c), second(c)); }), HasSubstr("ascending"));
  EXPECT_THAT(refusal([&](content c) { second(c) = first(c); }), HasSubstr("ascending"));
}

TEST(linear_model, whole_shards_are_cut_out_with_their_weights) {
  const auto p = test::random_linear_profile(full_case());
  const auto half = *p->slice_heads(2, 2);
  const linear_model &a = *p->content().linear, &b = *half->content().linear;
  EXPECT_EQ(b.shards, 1u);
  EXPECT_EQ(b.outside.size(), a.outside.size());
  const linear_product &whole = a.tensors.back().to_output, &part = b.tensors.back().to_output;
  EXPECT_EQ(part.outputs, whole.outputs);
  EXPECT_TRUE(std::ranges::equal(part.weights, whole.weights.subspan(whole.shard_weights())));
  EXPECT_TRUE(std::equal(part.multipliers.begin(), part.multipliers.end(),
                         whole.multipliers.begin() + std::ptrdiff_t(whole.outputs)));
  EXPECT_EQ((*p->slice_heads(0, 4))->content().linear->shards, 2u);
  for (const auto& [first, count] : {std::pair{0u, 1u}, {1u, 2u}, {0u, 3u}})
    EXPECT_THAT(p->slice_heads(first, count).failure().message, HasSubstr("shards of 2 heads"));
}

}  // namespace
}  // namespace skv
