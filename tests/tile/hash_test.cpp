#include <gtest/gtest.h>
#include <skv/lanes/scalar.hpp>
#include <skv/lanes/simd.hpp>
#include <skv/tile/hash.hpp>

#include <set>
#include <vector>

#include "support/plain_lanes.hpp"
#include "support/random.hpp"

namespace skv {
namespace {

struct hash_flags;
using vectors = simd_lanes<hash_flags>;
using patterns = std::vector<std::uint16_t>;

template <class Lanes>
std::uint32_t hash(tile_shape shape, const patterns& p) {
  return hash_tile<Lanes>(
      shape,
      row_view<const std::uint16_t>{reinterpret_cast<const std::byte*>(p.data()), shape.width * 2});
}

patterns random_patterns(std::size_t count, std::uint64_t seed) {
  test::random_source random(seed);
  patterns p(count);
  for (auto& v : p) v = static_cast<std::uint16_t>(random.bits());
  return p;
}

// docs/format.md, "Tile hash", with a loop over numbers.
std::uint32_t slow_hash(tile_shape shape, const patterns& p) {
  const auto finish = [](std::uint32_t h) {
    h = (h ^ h >> 16) * 0x85EBCA6B;
    h = (h ^ h >> 13) * 0xC2B2AE35;
    return h ^ h >> 16;
  };
  const std::uint32_t steps = (shape.width + 31) / 32;
  std::uint32_t sum = 0;
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    std::uint32_t h = 0;
    for (std::uint32_t token = 0; token < shape.tokens; ++token)
      for (std::uint32_t step = 0; step < steps; ++step) {
        const std::uint32_t channel = 32 * step + lane;
        h = h * 0x9E3779B5;
        if (channel < shape.width) h += p[std::size_t{token} * shape.width + channel];
      }
    sum += finish(h ^ (lane + 1) * 0x9E3779B9);
  }
  return finish(sum + shape.tokens * 0x27D4EB2F + shape.width * 0x165667B1);
}

const tile_shape kShapes[] = {{1, 1}, {1, 32}, {1, 33}, {7, 40}, {100, 31}, {64, 128}, {0, 0}};

TEST(tile_hash, is_the_formula) {
  for (const tile_shape shape : kShapes) {
    const patterns p = random_patterns(shape.elements(), 1);
    EXPECT_EQ(hash<scalar_lanes>(shape, p), slow_hash(shape, p)) << shape.width;
    EXPECT_EQ(hash<vectors>(shape, p), slow_hash(shape, p)) << shape.width;
    EXPECT_EQ(hash<test::plain_lanes>(shape, p), slow_hash(shape, p)) << shape.width;
  }
}

TEST(tile_hash, from_the_end_is_the_same) {
  test::random_source random(2);
  for (const std::uint32_t steps : {1u, 2u, 3u, 100u}) {
    std::vector<scalar_lanes::u32> numbers(steps);
    for (auto& n : numbers)
      for (auto& v : n.lane) v = random.bits();
    tile_hash<scalar_lanes> up, down;
    for (const auto& n : numbers) up.append(0, n);
    for (std::uint32_t i = steps; i-- > 0;) down.prepend(0, numbers[i]);
    down.turn(steps);
    EXPECT_EQ(up.lane[0].lane, down.lane[0].lane);
    EXPECT_EQ(up.finish({1, steps}), down.finish({1, steps}));
  }
}

TEST(tile_hash, every_single_flipped_bit_changes_it) {
  const tile_shape shape{9, 40};
  patterns p = random_patterns(shape.elements(), 3);
  std::set<std::uint32_t> seen{hash<vectors>(shape, p)};
  for (auto& v : p)
    for (int bit = 0; bit < 16; ++bit) {
      v = static_cast<std::uint16_t>(v ^ 1u << bit);
      EXPECT_NE(hash<vectors>(shape, p), *seen.begin());
      v = static_cast<std::uint16_t>(v ^ 1u << bit);
    }
}

TEST(tile_hash, two_flips_of_one_bit_do_not_cancel) {
  const tile_shape shape{200, 32};
  const patterns p(shape.elements(), 0);
  const std::uint32_t before = hash<vectors>(shape, p);
  test::random_source random(4);
  for (int round = 0; round < 2000; ++round) {
    patterns q = p;
    const auto bit = static_cast<std::uint16_t>(1u << random.below(16));
    const std::uint32_t lane = random.below(32), t = random.below(199);
    const std::uint32_t u = t + 1 + random.below(199 - t);
    q[t * 32 + lane] ^= bit;
    q[u * 32 + lane] ^= bit;
    ASSERT_NE(hash<vectors>(shape, q), before) << "steps " << t << " and " << u;
  }
}

TEST(tile_hash, order_and_shape_count) {
  const patterns p = random_patterns(64 * 64, 5);
  std::set<std::uint32_t> seen;
  std::size_t inputs = 0;
  const auto add = [&](tile_shape shape, const patterns& q) {
    seen.insert(hash<vectors>(shape, q));
    ++inputs;
  };
  for (const tile_shape shape : {tile_shape{64, 64}, {32, 128}, {128, 32}, {4096, 1}, {1, 4096}})
    add(shape, p);
  for (const std::size_t distance : {1u, 31u, 32u, 33u, 64u, 1000u}) {
    patterns q = p;
    std::swap(q[5], q[5 + distance]);
    add({64, 64}, q);
  }
  for (std::uint32_t width = 1; width < 64; ++width) add({1, width}, patterns(width, 0));
  EXPECT_EQ(seen.size(), inputs);
}

}  // namespace
}  // namespace skv
