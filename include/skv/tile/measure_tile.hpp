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
template <class Lanes, class Coding, class Mean>
void measure_tile(tile_shape shape, row_view<const pattern_of<Coding::kTarget>> numbers,
                  const Mean& mean, const std::byte* codes, std::uint64_t* counts,
                  const std::uint32_t* token_costs, std::uint64_t* channel_costs) {
  using u32 = typename Lanes::u32;
  using number_type = pattern_of<Coding::kTarget>;
  for (std::uint32_t token = 0; token < shape.tokens; ++token) {
    for (std::uint32_t first = 0; first < shape.width; first += kLanes) {
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      const u32 number = Lanes::template load<number_type>(numbers.at(token, first), count);
      const u32 mu = mean.template load<Lanes>(token, first, count);
      const u32 code = Lanes::template load<scale_code>(codes + first, count);
      const push_plan<Lanes> p = Coding::template plan<Lanes>(code, mu, number);

      const u32 row = (p.context << 5) + p.token;
      const u32 escapes_width =
          Lanes::select(p.token == u32(Coding::tokens::kEscape), u32(Coding::kEscapeWidth),
                        p.width + p.second_width);
      std::uint32_t rows[kLanes], costs[kLanes];
      Lanes::template store<std::uint32_t>(reinterpret_cast<std::byte*>(rows), kLanes, row);
      if (channel_costs != nullptr) {
        const u32 cost = Lanes::lookup(token_costs, row) + escapes_width * kCostOfBit;
        Lanes::template store<std::uint32_t>(reinterpret_cast<std::byte*>(costs), kLanes, cost);
        for (std::uint32_t i = 0; i < count; ++i) channel_costs[first + i] += costs[i];
      }
      for (std::uint32_t i = 0; i < count; ++i) ++counts[rows[i]];
    }
  }
}

}  // namespace skv
