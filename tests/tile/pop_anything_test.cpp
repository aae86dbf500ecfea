// What a decoder does with states, codes and means that no encoder made: every pop gives a pattern
// of the format.
#include <gtest/gtest.h>
#include <skv/predict/list.hpp>

#include "support/push_pop.hpp"

namespace skv {
namespace {

using test::plain_lanes;
using u32 = std::uint32_t;

template <class Coding>
void pop_anything() {
  const test::table_pair tables = test::varied_tables<Coding>();
  test::random_source random(1);
  for (int i = 0; i < 300000; ++i) {
    std::byte room[4];
    for (auto& b : room) b = static_cast<std::byte>(random.bits());
    const u32 code = random.below(256), mean = random.bits() & ((1u << Coding::kMean.bits()) - 1);
    const u32 before = random.edgy();
    u32 state = before;
    rans_decoder<plain_lanes> decoder{word_reader{room, room + random.below(3) * 2},
                                      tables.decode.data()};
    const bool in_tail = random.chance(0.2);
    if (in_tail) decoder.enter_tail();
    const u32 number = test::pop<Coding>(decoder, state, code, mean, random.below(256));
    // A magnitude that no number has may leave a bit more than is stored.
    ASSERT_EQ(number >> Coding::kTarget.bits() >> 1, 0u)
        << "state " << before << ", code " << code << ", mean " << mean;
  }
}

TEST(pop, residuals_of_anything) {
  coded_pairs::any([](auto pair) {
    using Pair = decltype(pair);
    pop_anything<residual_coding<Pair::kTarget, Pair::kMean>>();
    return testing::Test::HasFatalFailure();
  });
}

TEST(pop, exponents_of_anything) {
  pop_anything<exponent_coding<bf16>>();
  pop_anything<exponent_coding<fp16>>();
  pop_anything<exponent_coding<e4m3>>();
  pop_anything<exponent_coding<e5m2>>();
}

}  // namespace
}  // namespace skv
