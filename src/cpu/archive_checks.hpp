// Whether a container and a codec go together. For the archives alone.
#pragma once

#include <optional>
#include <skv/cpu/codec.hpp>
#include <skv/format/container.hpp>

namespace skv::cpu {

inline result<done> check_coding(const container& c, const codec& coder) {
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
  return done{};
}

}  // namespace skv::cpu
