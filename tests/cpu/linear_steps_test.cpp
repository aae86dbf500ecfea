// Linear propagation on the CPU: the same integers from every instruction set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/linear_products.hpp"
#include "linear_cases.hpp"

namespace skv {
namespace {

using test::byte_string;
using test::linear_case;
using test::random_cache;
using testing::HasSubstr;

struct results {
  std::vector<cpu::innovations> told;
  std::vector<byte_string> means;
  friend bool operator==(const results&, const results&) = default;
};

results run(const profile_ptr& p, cpu::isa set, const random_cache& cache,
            const std::vector<std::uint32_t>& positions, const cpu::outside_inputs& outside = {}) {
  const cpu::linear_steps steps(p, set);
  const auto rows = *cpu::outside_rows::of(steps, outside, positions);
  results r;
  for (std::size_t i = 0; i < steps.model().tensors.size(); ++i)
    r.told.push_back(steps.innovate(i, positions, cache.rows(i), cache.base_rows(i)));
  const std::size_t tensors = r.told.size();
  for (std::size_t i = 0; i < steps.model().outside.size(); ++i)
    r.told.push_back(rows.at(i, 0, positions.size()));
  for (std::size_t i = 0; i < tensors; ++i) {
    std::vector<const cpu::innovations*> from;
    for (const std::uint32_t s : steps.model().tensors[i].sources) from.push_back(&r.told[s]);
    byte_string room;
    const auto m = steps.predict(i, positions, from, cache.base_rows(i), room);
    r.means.emplace_back(m.data, m.data + cache.bases[i].size());
  }
  return r;
}

TEST(linear_steps, are_the_same_on_every_instruction_set) {
  for (const linear_case& c : test::linear_cases()) {
    SCOPED_TRACE(test::text_of(c));
    test::random_source random(c.seed + 77);
    std::vector<std::uint32_t> positions;
    for (int i = 0; i < 70; ++i)  // more than go through the products at once
      positions.push_back(i % 5 == 0 ? random.edgy() : random.below((1u << 24) + 1));
    const test::random_outside outside(70, 5);
    auto p = test::random_linear_profile(c);
    if (c.outside) p = test::with_hash(p, outside.table.hash());
    const random_cache cache(*p, 70, 3, c.seed % 2 ? 0.02 : 0.3);
    const results expected = run(p, cpu::isa::scalar, cache, positions, outside.inputs());
    // Not all alike: the model does something.
    EXPECT_NE(expected.means.back(), cache.bases.back());
    for (const cpu::innovations& t : expected.told) {
      EXPECT_GT(std::ranges::count_if(t, [](std::int8_t x) { return x != 0; }),
                std::ptrdiff_t(t.size() / 4));
      EXPECT_EQ(std::ranges::count(t, std::int8_t{-128}), 0);
    }
    for (const cpu::isa set : test::kSets)
      EXPECT_TRUE(run(p, set, cache, positions, outside.inputs()) == expected)
          << cpu::to_string(set);
  }
}

// Rows of 2^16 extreme inputs and weights reach the largest sums that there are; shapes that are no
// multiples of anything are multiplied whole, and nothing beside them is written.
TEST(linear_steps, products_are_exact) {
  struct set_of_kernels {
    cpu::isa set;
    cpu::linear_kernels kernels;
  };
  std::vector<set_of_kernels> sets = {
      {cpu::isa::scalar, cpu::scalar::find_linear_kernels(format_id::bf16, format_id::bf16)},
      {cpu::isa::portable, cpu::portable::find_linear_kernels(format_id::bf16, format_id::bf16)}};
#if defined(SKV_HAVE_X86_ISAS)
  sets.push_back(
      {cpu::isa::avx2, cpu::avx2::find_linear_kernels(format_id::bf16, format_id::bf16)});
  sets.push_back(
      {cpu::isa::avx512, cpu::avx512::find_linear_kernels(format_id::bf16, format_id::bf16)});
#endif
  struct shape {
    std::uint32_t groups, outputs, tokens;
    bool extreme = false;
  };
  test::random_source random(8);
  for (const shape& s : std::vector<shape>{{16384, 5, 3, true},
                                           {16384, 65, 2, true},
                                           {1, 1, 1},
                                           {7, 83, 9},
                                           {33, 16, 4},
                                           {12, 8, 5},
                                           {0, 4, 2}}) {
    const std::size_t input_stride = std::size_t{s.groups} * 4;
    std::vector<std::int8_t> inputs(s.tokens * input_stride), weights(input_stride * s.outputs);
    for (std::int8_t& x : inputs)
      x = static_cast<std::int8_t>(s.extreme ? 127 : std::int32_t(random.below(255)) - 127);
    for (std::int8_t& w : weights) w = static_cast<std::int8_t>(s.extreme ? 0x80 : random.bits());
    std::vector<std::int32_t> expected;
    for (std::uint32_t t = 0; t < s.tokens; ++t)
      for (std::uint32_t o = 0; o < s.outputs; ++o) {
        std::int64_t sum = 0;
        for (std::size_t i = 0; i < input_stride; ++i)
          sum += inputs[t * input_stride + i] * weights[4 * (i / 4 * s.outputs + o) + i % 4];
        ASSERT_LE(std::abs(sum), std::int64_t{1} << 30);
        expected.push_back(static_cast<std::int32_t>(sum));
      }
    for (const auto& [set, kernels] : sets) {
      if (!cpu::is_available(set)) continue;
      constexpr std::int32_t kUntouched = 0x5a5a5a5a;
      const std::size_t stride = s.outputs + 3;
      std::vector<std::int32_t> sums(s.tokens * stride, kUntouched);
      const cpu::multiply_arguments arguments{s.tokens,      s.groups,     s.outputs,
                                              inputs.data(), input_stride, weights.data(),
                                              sums.data(),   stride};
      kernels.multiply(arguments);
      std::vector<std::int32_t> by_blocks(sums.size(), kUntouched);
      std::vector<std::int8_t> room;
      cpu::multiply_arguments blocks = arguments;
      blocks.sums = by_blocks.data();
      cpu::multiply_in_blocks(kernels, blocks, room);
      ASSERT_EQ(by_blocks, sums) << cpu::to_string(set);
      for (std::uint32_t t = 0; t < s.tokens; ++t)
        for (std::uint32_t o = 0; o < stride; ++o)
          ASSERT_EQ(sums[t * stride + o],
                    o < s.outputs ? expected[t * std::size_t{s.outputs} + o] : kUntouched)
              << cpu::to_string(set) << ", " << s.groups << " groups, " << s.outputs << " outputs";
    }
  }
}

TEST(linear_steps,
     what_has_no_value_spoils_its_token_alone_and_no_other_channel_of_its_innovation) {
  linear_case c;
  const auto p = test::random_linear_profile(c);
  std::vector<std::uint32_t> positions(20);
  for (std::uint32_t i = 0; i < 20; ++i) positions[i] = 1000 + i;
  const random_cache clean(*p, 20, 4, 0);
  const results expected = run(p, cpu::best_isa(), clean, positions);
  for (const std::uint32_t pattern : {0x7fc0u, 0xff80u, 0x7f80u, 0xffffu}) {
    random_cache altered = clean;
    const std::uint32_t token = 7, channel = 5, width = c.heads * c.head_dim;
    std::memcpy(altered.numbers[0].data() + 2 * (token * width + channel), &pattern, 2);
    const results got = run(p, cpu::best_isa(), altered, positions);
    for (std::uint32_t i = 0; i < 20 * width; ++i)
      if (i / width != token || (i % width != channel && i % width != channel + c.head_dim / 2)) {
        ASSERT_EQ(got.told[0][i], expected.told[0][i]) << i;
      }
    for (std::size_t t = 0; t < got.means.size(); ++t)
      for (std::size_t row = 0; row < 20; ++row)
        if (row != token) {
          ASSERT_TRUE(std::equal(got.means[t].begin() + std::ptrdiff_t(row * width * 2),
                                 got.means[t].begin() + std::ptrdiff_t((row + 1) * width * 2),
                                 expected.means[t].begin() + std::ptrdiff_t(row * width * 2)));
        }
    // A base without a value stays what it is.
    altered = clean;
    std::memcpy(altered.bases[2].data(), &pattern, 2);
    EXPECT_EQ(
        test::pattern_at(run(p, cpu::best_isa(), altered, positions).means[2].data(), bf16, 0),
        pattern);
  }
}

TEST(linear_steps, shards_do_not_see_each_other_and_can_be_cut_out) {
  for (const std::uint32_t rank : {0u, 3u}) {
    linear_case c;
    c.heads = 4;
    c.shards = 2;
    c.rank = rank;
    c.outside = true;
    const test::random_outside outside(9, 6);
    const auto p = test::with_hash(test::random_linear_profile(c), outside.table.hash());
    const auto half = *p->slice_heads(2, 2);
    const std::vector<std::uint32_t> positions{0, 1, 2, 3, 4, 5, 6, 7, 1u << 24};
    const random_cache cache(*p, 9, 4);
    const results whole = run(p, cpu::best_isa(), cache, positions, outside.inputs());
    random_cache part = cache;
    const std::size_t head_bytes = c.head_dim * 2;
    for (std::size_t i = 0; i < part.numbers.size(); ++i) {
      for (auto* all : {&part.numbers[i], &part.bases[i]}) {
        byte_string kept;
        for (std::size_t row = 0; row < 9; ++row)
          append(kept, std::span(*all).subspan((4 * row + 2) * head_bytes, 2 * head_bytes));
        *all = kept;
      }
      part.row_bytes[i] = part.base_row_bytes[i] = 2 * head_bytes;
    }
    const results sliced = run(half, cpu::best_isa(), part, positions, outside.inputs());
    for (std::size_t i = 0; i < sliced.means.size(); ++i)
      for (std::size_t row = 0; row < 9; ++row)
        ASSERT_TRUE(std::equal(sliced.means[i].begin() + std::ptrdiff_t(2 * row * head_bytes),
                               sliced.means[i].begin() + std::ptrdiff_t(2 * (row + 1) * head_bytes),
                               whole.means[i].begin() + std::ptrdiff_t((4 * row + 2) * head_bytes)))
            << "tensor " << i << ", row " << row << ", rank " << rank;
    EXPECT_THAT(p->slice_heads(1, 2).failure().message, HasSubstr("shards of 2 heads"));
  }
}

}  // namespace
}  // namespace skv
