// Whether a container, a codec and outside rows go together. For the archives alone.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <skv/cpu/codec.hpp>
#include <skv/cpu/outside.hpp>
#include <skv/format/container.hpp>

namespace skv::cpu {

inline result<done> check_outside(const container& c, const linear_model& model,
                                  const outside_rows* outside) {
  if (outside == nullptr)
    return fail(status::invalid_argument,
                "the profile predicts from outside rows, and none are given");
  position_range positions{std::numeric_limits<std::uint32_t>::max(), 0};
  for (const stream& s : c.streams) {
    if (!s.is_tensor) continue;
    positions.first = std::min<std::uint64_t>(positions.first, s.first_position);
    positions.count = std::max(positions.count, static_cast<std::uint32_t>(s.tokens));
  }
  if (outside->steps().model().outside.size() != model.outside.size() ||
      !outside->are_at(positions))
    return fail(status::invalid_argument,
                "outside rows of another profile, or for other positions");
  if (outside->draft_hash() != c.draft_hash)
    return fail(status::wrong_prediction,
                outside->draft_name() + " is not the draft that it was compressed with");
  return done{};
}

/// `outside`: null if there are none.
inline result<done> check_coding(const container& c, const codec& coder,
                                 const outside_rows* outside) {
  if (c.profile != coder.used_profile().id())
    return fail(status::wrong_profile, "was compressed with the profile " +
                                           skv::to_string(c.profile) + ", this one is " +
                                           skv::to_string(coder.used_profile().id()));
  if (c.target != coder.target().id || c.source != coder.source() || c.mean != coder.mean().id)
    return fail(status::wrong_profile, "the profile is for another format or predictor");
  const auto& linear = coder.used_profile().content().linear;
  if (c.linear_base != (linear ? std::optional(linear->base) : std::nullopt))
    return fail(status::wrong_profile, "the profile is for another kind of propagation");
  for (const stream& s : c.streams)
    if (s.is_tensor && s.format != coder.target().id)
      return fail(status::corrupt, to_string(s.id) + ": its number format is not the profile's");
  if (linear && !linear->outside.empty()) return check_outside(c, *linear, outside);
  if (c.draft_hash != 0) return fail(status::corrupt, "a draft that the profile does not know");
  return done{};
}

}  // namespace skv::cpu
