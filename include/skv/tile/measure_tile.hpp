// What calibration wants to know of a tile: how often each token occurs, and what each channel
// would cost under given tables.
#pragma once

#include <skv/entropy/table.hpp>
#include <skv/predict/mean.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// Costs are in 1/256 bit.
inline constexpr std::uint32_t kCostOfBit = 256;

/// Adds the tokens of a tile to `counts` [contexts][kMaxTokens] and, if `channel_costs` is not
/// null, what each number of a row costs to `channel_costs` [shape.width], given the cost of each
/// token in `token_costs` [contexts][kMaxTokens].
template <class Lanes, class Coding, class Rows, class Mean>
void measure_tile(tile_shape shape, const Rows& rows, const Mean& mean, const scale_codes& scales,
                  std::uint64_t* counts, const std::uint32_t* token_costs,
                  std::uint64_t* channel_costs) {
  using u32 = typename Lanes::u32;
  constexpr std::uint32_t kTableShift = 5;
  static_assert(kMaxTokens == 1u << kTableShift);
  for (std::uint32_t token = 0; token < shape.tokens; ++token) {
    for (std::uint32_t first = 0; first < shape.width; first += kLanes) {
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      std::uint32_t entries[kLanes], costs[kLanes];
      for (std::uint32_t part = 0; part < Lanes::kParts; ++part) {
        const u32 number = rows.template load<Lanes>(token, first, part, count);
        const u32 mu = mean.template load<Lanes>(token, first, part, count);
        const auto scale = scales.template load<Lanes, Coding, kTableShift>(first, part, count);
        const auto grid = Coding::template make_grid<Lanes, kTableShift>(scale, mu, u32(0));
        const auto p = Coding::template make_plan<Lanes>(grid, number);
        // Whether a rare token bears its bits is not known before its frequency.
        const u32 own = p.token - encode_entry::kFirst;  // wraps
        const auto none =
            (!Lanes::below(own, u32(Coding::tokens::kEscape))) | (p.width >= u32(kMaxDigits));
        const u32 entry = grid.context + Lanes::select(none, u32(Coding::tokens::kEscape), own);
        const u32 width = Lanes::select(none, u32(kEscapeBits + Coding::kEscapeWidth), p.width);
        const u32 cost = Lanes::lookup(token_costs, entry) + width * kCostOfBit;
        Lanes::template store<std::uint32_t>(reinterpret_cast<std::byte*>(entries), part, kLanes,
                                             entry);
        Lanes::template store<std::uint32_t>(reinterpret_cast<std::byte*>(costs), part, kLanes,
                                             cost);
      }
      for (std::uint32_t i = 0; i < count; ++i) {
        ++counts[entries[i]];
        if (channel_costs != nullptr) channel_costs[first + i] += costs[i];
      }
    }
  }
}

}  // namespace skv
