// Where a tile's means come from while it is coded: the three sources that need no buffer of
// their own. A predictor (predict/predictor.hpp) names one of them. `Rows` is a row_view, or has
// its `load`.
#pragma once

#include <skv/base/view.hpp>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// Wire ids: docs/format.md, section "Predictors".
enum class mean_source : std::uint8_t {
  none = 0,            ///< no mean: exponents are coded
  previous_token = 1,  ///< the number of the token before, in the same tile; 0 for the first
  given = 2,           ///< a tensor that both ends hold
};

/// No mean at all.
struct no_mean {
  static constexpr bool kOutside = false;
  template <class Lanes>
  SKV_INLINE typename Lanes::u32 load(std::uint32_t, std::uint32_t, std::uint32_t,
                                      std::uint32_t) const {
    return typename Lanes::u32(0);
  }
};

/// The exact numbers of the token before: read from the rows that are coded, which a decoder has
/// just written. A lane only ever reads what it wrote itself.
template <class Rows>
struct previous_token_mean {
  static constexpr bool kOutside = false;
  Rows rows;

  SKV_INLINE auto in_group(std::uint32_t token, std::uint32_t first) const requires requires {
    rows.in_group(token, first);
  }
  {
    const auto group = rows.in_group(token - (token != 0), first);
    return previous_token_mean<std::remove_const_t<decltype(group)>>{group};
  }

  template <class Lanes>
  SKV_INLINE typename Lanes::u32 load(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                                      std::uint32_t count) const {
    if constexpr (Lanes::kParts == 1)  // no branch, which would part the loads of a group
      return rows.template load<Lanes>(token - (token != 0), first, part, token != 0 ? count : 0);
    if (token == 0) return typename Lanes::u32(0);
    return rows.template load<Lanes>(token - 1, first, part, count);
  }
};

/// Means that a caller gives.
template <class Rows>
struct given_mean {
  static constexpr bool kOutside = true;
  Rows rows;

  SKV_INLINE auto in_group(std::uint32_t token, std::uint32_t first) const requires requires {
    rows.in_group(token, first);
  }
  {
    const auto group = rows.in_group(token, first);
    return given_mean<std::remove_const_t<decltype(group)>>{group};
  }

  template <class Lanes>
  SKV_INLINE typename Lanes::u32 load(std::uint32_t token, std::uint32_t first, std::uint32_t part,
                                      std::uint32_t count) const {
    return rows.template load<Lanes>(token, first, part, count);
  }
};

}  // namespace skv
