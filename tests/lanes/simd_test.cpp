#include <gtest/gtest.h>
#include <skv/lanes/simd.hpp>

#include "support/lanes_equal_scalar.hpp"
#include "support/words_equal_scalar.hpp"

namespace skv {
namespace {

struct default_flags;
using simd = test::lanes_equal_scalar<simd_lanes<default_flags>>;
using simd_words = test::words_equal_scalar<simd_lanes<default_flags>>;

TEST(simd_lanes, arithmetic) { simd::arithmetic(); }
TEST(simd_lanes, many_floor_log2) { simd::many_floor_log2(); }
TEST(simd_lanes, many_leading_zeros) { simd::many_leading_zeros(); }
TEST(simd_lanes, single_marks) { simd::single_marks(); }
TEST(simd_lanes, load_and_store_bytes) { simd::load_and_store<std::uint8_t>(); }
TEST(simd_lanes, load_and_store_halves) { simd::load_and_store<std::uint16_t>(); }
TEST(simd_lanes, load_and_store_words) { simd::load_and_store<std::uint32_t>(); }
TEST(simd_lanes, lookup) { simd::lookup(); }
TEST(simd_lanes, take) { simd_words::take(); }
TEST(simd_lanes, put) { simd_words::put(); }
TEST(simd_lanes, long_stream) { simd_words::long_stream(); }

}  // namespace
}  // namespace skv
