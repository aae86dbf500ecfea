// A generator of random numbers whose results are the same everywhere, as those of <random>'s
// distributions are not.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace skv::test {

/// splitmix64 (S. Vigna, public domain).
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::uint32_t bits() { return static_cast<std::uint32_t>(next() >> 32); }
  /// 0 ... count - 1, about equally likely.
  std::uint32_t below(std::uint32_t count) {
    return static_cast<std::uint32_t>((std::uint64_t{bits()} * count) >> 32);
  }
  bool chance(double p) { return uniform() < p; }
  /// In (0, 1).
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
  double gaussian() {
    return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform());
  }
  /// Edge cases as often as any values: small, large, and around powers of two.
  std::uint32_t edgy() {
    switch (below(4)) {
      case 0: return below(4);
      case 1: return 0u - below(4);
      case 2: return (1u << below(32)) + below(3) - 1;
      default: return bits();
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace skv::test
