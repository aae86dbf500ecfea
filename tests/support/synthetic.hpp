// Numbers and means that look like a cache, of any format, and random ones.
#pragma once

#include <vector>

#include "support/codecs.hpp"
#include "support/patterns.hpp"

namespace skv::test {

struct number_set {
  std::vector<std::byte> numbers, means;
};

/// `count` numbers around their means (around nothing, without a mean), a little wider than their
/// difference; `noise` is that difference, relative to the numbers.
inline number_set synthetic(coding_id id, std::size_t count, double noise = 0.03,
                            std::uint64_t seed = 1) {
  random_source random(seed);
  number_set s;
  for (std::size_t i = 0; i < count; ++i) {
    const double mean = random.gaussian();
    const double x = id.source == mean_source::none ? mean : mean + noise * random.gaussian();
    append_pattern(s.numbers, format_of(id.target), to_pattern(format_of(id.target), x));
    append_pattern(s.means, format_of(id.mean), to_pattern(format_of(id.mean), mean));
  }
  return s;
}

}  // namespace skv::test
