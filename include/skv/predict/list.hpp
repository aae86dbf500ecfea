// The one registry of codings: which formats and sources of means there are, as types and as ids.
#pragma once

#include <skv/number/format.hpp>
#include <skv/predict/mean.hpp>

namespace skv {

/// Formats of target and mean that may meet: the same, or a finer mean for an fp8 target.
template <number_format Target, number_format Mean>
struct format_pair {
  static constexpr number_format kTarget = Target;
  static constexpr number_format kMean = Mean;
};

template <class... Pairs>
struct format_pairs {
  /// Calls f(pair) for every pair until one call returns true.
  template <class F>
  static constexpr bool any(F&& f) {
    return (f(Pairs{}) || ...);
  }
};

using coded_pairs =
    format_pairs<format_pair<bf16, bf16>, format_pair<fp16, fp16>, format_pair<e4m3, e4m3>,
                 format_pair<e5m2, e5m2>, format_pair<e4m3, bf16>, format_pair<e5m2, bf16>,
                 format_pair<e4m3, fp16>, format_pair<e5m2, fp16>>;

/// Does a coding exist for numbers of format `target` with means of format `mean` from `source`?
constexpr bool is_coded(format_id target, mean_source source, format_id mean) {
  if (source != mean_source::given && target != mean) return false;
  return coded_pairs::any(
      [&](auto pair) { return pair.kTarget.id == target && pair.kMean.id == mean; });
}

}  // namespace skv
