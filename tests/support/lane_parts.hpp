// The values of all 32 lanes, whatever the parts that a type of lanes works on.
#pragma once

#include <skv/lanes/lanes.hpp>

#include <array>

namespace skv::test {

/// One integer for each of the 32 lanes, and a bit for each.
using lane_values = std::array<std::uint32_t, kLanes>;
using lane_marks = std::uint32_t;

/// The lanes of a part out of all, and back.
template <class L>
typename L::u32 part_of(const lane_values& v, std::uint32_t part) {
  return L::template load<std::uint32_t>(reinterpret_cast<const std::byte*>(v.data()), part,
                                         kLanes);
}
template <class L>
typename L::mask part_of(lane_marks marks, std::uint32_t part) {
  return ((typename L::u32(marks) >> L::index(part)) & typename L::u32(1)) != typename L::u32(0);
}
template <class L>
void set_part(lane_values& v, std::uint32_t part, typename L::u32 u) {
  L::template store<std::uint32_t>(reinterpret_cast<std::byte*>(v.data()), part, kLanes, u);
}

}  // namespace skv::test
