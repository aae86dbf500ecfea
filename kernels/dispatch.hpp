// From run-time ids to the type of a kernel: one fold over the list of codings.
#pragma once

#include <skv/predict/list.hpp>

#include "head_layout.hpp"

namespace skv::cuda {

/// Calls f.template operator()<Target, Source, Mean, kHeads>() for the coding of the ids; false if
/// there is none.
template <class F>
bool with_kernel(format_id target, mean_source source, format_id mean, head_layout heads, F&& f) {
  return coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    constexpr number_format T = Pair::kTarget, M = Pair::kMean;
    if (T.id != target || M.id != mean) return false;
    const auto with_source = [&]<mean_source Source> {
      switch (heads) {
        case head_layout::one_row:
          f.template operator()<T, Source, M, head_layout::one_row>();
          break;
        case head_layout::one_group:
          f.template operator()<T, Source, M, head_layout::one_group>();
          break;
        case head_layout::apart: f.template operator()<T, Source, M, head_layout::apart>(); break;
      }
      return true;
    };
    if (source == mean_source::given) return with_source.template operator()<mean_source::given>();
    if constexpr (T == M) {
      if (source == mean_source::none) return with_source.template operator()<mean_source::none>();
      return with_source.template operator()<mean_source::previous_token>();
    }
    return false;
  });
}

/// Calls f.template operator()<Target, Mean>() for numbers and bases of these formats; false if they do
/// not meet.
template <class F>
bool with_formats(format_id target, format_id mean, F&& f) {
  return coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != target || Pair::kMean.id != mean) return false;
    f.template operator()<Pair::kTarget, Pair::kMean>();
    return true;
  });
}

}  // namespace skv::cuda
