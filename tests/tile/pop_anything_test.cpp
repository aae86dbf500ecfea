// What a decoder does with states, codes and means that no encoder made: every pop gives a pattern
// of the format, and leaves a valid state valid.
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
    // From a valid state, one refill always suffices: the state is valid again.
    if (before >= kStateFloor && !decoder.words.overrun && !in_tail) {
      ASSERT_GE(state, kStateFloor) << "state " << before << ", code " << code;
    }
    // Inactive lanes have no second pop.
    state = before;
    const active_lanes<plain_lanes, false> inactive(1, 1);
    const auto grid = Coding::template make_grid<plain_lanes, kDecodeTableShift>(
        Coding::template to_channel<plain_lanes, kDecodeTableShift>(code), mean, random.below(256));
    const u32 entry = decoder.lookup(state, grid.context);
    ASSERT_FALSE((Coding::template pop_token<plain_lanes>(state, entry, grid, inactive).second));
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
