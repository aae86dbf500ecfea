// What calibration counts is what encoding codes.
#include <gtest/gtest.h>
#include <skv/tile/measure_tile.hpp>

#include "support/guarded_codec.hpp"

namespace skv {
namespace {

using namespace test;

struct measure : testing::TestWithParam<coding_id> {};

struct measured {
  std::vector<std::uint64_t> counts, channel_costs;
  friend bool operator==(const measured&, const measured&) = default;
};

// Any costs: every token's differs.
std::uint32_t cost_of(std::size_t context_and_token) {
  return static_cast<std::uint32_t>(100 + 3 * context_and_token);
}

template <class Coding>
measured expected(const tile_case& c) {
  measured m{std::vector<std::uint64_t>(Coding::kContexts * kMaxTokens),
             std::vector<std::uint64_t>(c.shape.width)};
  for (std::size_t i = 0; i < c.shape.elements(); ++i) {
    const std::size_t channel = i % c.shape.width;
    const auto p =
        whole_plan<Coding>(std::to_integer<std::uint32_t>(c.codes[channel]), mean_pattern(c, i),
                           pattern_at(c.numbers.data(), c.target(), i));
    const std::size_t at = p.context * kMaxTokens + p.alphabet_token();
    ++m.counts[at];
    m.channel_costs[channel] += cost_of(at) + p.raw_bits() * std::uint64_t{256};
  }
  return m;
}

TEST_P(measure, is_a_count_of_plans) {
  for (const tile_shape shape : {tile_shape{1, 1}, {3, 40}, {20, 64}, {7, 95}})
    for (const data_kind data : {data_kind::gaussian, data_kind::unusual_mixture}) {
      const tile_case c = make_case(GetParam(), shape, data, table_kind::fitted);
      const guarded_case g(c);
      measured wanted;
      with_coding(c.id, [&]<class Coding>() { wanted = expected<Coding>(c); });
      std::vector<std::uint32_t> costs(wanted.counts.size());
      for (std::size_t i = 0; i < costs.size(); ++i) costs[i] = cost_of(i);
      const guarded_bytes guarded_costs(std::as_bytes(std::span(costs)));
      for (const named_codec& codec : codecs_that_run_here()) {
        SCOPED_TRACE(codec.name);
        measured m{std::vector<std::uint64_t>(wanted.counts.size()),
                   std::vector<std::uint64_t>(shape.width)};
        cpu::measure_arguments a{shape,
                                 {g.numbers.data(), c.row_bytes()},
                                 {g.means.data(), c.mean_row_bytes()},
                                 g.codes.data(),
                                 m.counts.data(),
                                 guarded_costs.as<std::uint32_t>(),
                                 m.channel_costs.data()};
        codec.find(c.id).measure(a);
        EXPECT_EQ(m, wanted);
        a.channel_costs = nullptr;  // counts add up, costs are not wanted
        codec.find(c.id).measure(a);
        for (auto& count : wanted.counts) count *= 2;
        EXPECT_EQ(m, wanted);
        for (auto& count : wanted.counts) count /= 2;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(codings, measure, testing::ValuesIn(all_codings()),
                         [](const auto& coding) { return name_of(coding.param); });

}  // namespace
}  // namespace skv
