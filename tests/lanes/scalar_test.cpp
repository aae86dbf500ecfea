// The lanes that all others are tested against, against plain integers.
#include <gtest/gtest.h>

#include "support/lanes_equal_scalar.hpp"
#include "support/plain_lanes.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv {
namespace {

using plain = test::lanes_equal_scalar<test::plain_lanes>;
using plain_words = test::words_equal_scalar<test::plain_lanes>;

TEST(scalar_lanes, arithmetic) { plain::arithmetic(); }
TEST(scalar_lanes, many_floor_log2) {
  plain::many_floor_log2();
  test::lanes_equal_scalar<scalar_lanes>::many_floor_log2();
}
TEST(scalar_lanes, many_leading_zeros) {
  plain::many_leading_zeros();
  test::lanes_equal_scalar<scalar_lanes>::many_leading_zeros();
}
TEST(scalar_lanes, single_marks) { test::lanes_equal_scalar<scalar_lanes>::single_marks(); }
TEST(scalar_lanes, load_and_store) {
  using scalar = test::lanes_equal_scalar<scalar_lanes>;
  scalar::load_and_store<std::uint8_t>();
  scalar::load_and_store<std::uint16_t>();
  scalar::load_and_store<std::uint32_t>();
}
TEST(scalar_lanes, lookup) { test::lanes_equal_scalar<scalar_lanes>::lookup(); }
TEST(scalar_lanes, take) { plain_words::take(); }
TEST(scalar_lanes, put) { plain_words::put(); }
TEST(scalar_lanes, long_stream) { plain_words::long_stream(); }

}  // namespace
}  // namespace skv
