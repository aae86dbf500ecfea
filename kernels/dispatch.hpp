// From run-time ids to the type of a kernel: one fold over the list of codings.
#pragma once

#include <skv/predict/list.hpp>

#include "head_layout.hpp"

namespace skv::cuda {

namespace detail {

/// A function, not a lambda of with_kernel's: nvcc 12.4 loses the constants of a lambda within a generic one.
template <class Pair, mean_source Source, class F>
void with_heads(head_layout heads, F& f) {
  constexpr number_format T = Pair::kTarget, M = Pair::kMean;
  switch (heads) {
    case head_layout::one_row: return f.template operator()<T, Source, M, head_layout::one_row>();
    case head_layout::one_group:
      return f.template operator()<T, Source, M, head_layout::one_group>();
    case head_layout::apart: return f.template operator()<T, Source, M, head_layout::apart>();
  }
}

}  // namespace detail

/// Calls f.template operator()<Target, Source, Mean, kHeads>() for the coding of the ids; false if
/// there is none.
template <class F>
bool with_kernel(format_id target, mean_source source, format_id mean, head_layout heads, F&& f) {
  return coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != target || Pair::kMean.id != mean) return false;
    if (source == mean_source::given) {
      detail::with_heads<Pair, mean_source::given>(heads, f);
    } else if constexpr (Pair::kTarget == Pair::kMean) {
      if (source == mean_source::none)
        detail::with_heads<Pair, mean_source::none>(heads, f);
      else
        detail::with_heads<Pair, mean_source::previous_token>(heads, f);
    } else {
      return false;
    }
    return true;
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
