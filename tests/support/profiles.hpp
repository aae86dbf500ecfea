// Profiles to test with.
#pragma once

#include <skv/profile/profile.hpp>

#include <stdexcept>

#include "support/codecs.hpp"
#include "support/random.hpp"

namespace skv::test {

inline profile_ptr default_profile_of(coding_id id) {
  auto p = default_profile(id.target, id.source, id.mean);
  if (!p) throw std::runtime_error(p.failure().message);
  return *std::move(p);
}

/// Scale codes at random around the one of numbers as synthetic.hpp makes them.
inline tensor_scales random_scales(mean_source source, tensor_id id, std::uint32_t heads,
                                   std::uint32_t head_dim) {
  random_source random(id.layer * 3 + static_cast<std::uint32_t>(id.kind));
  tensor_scales s{id, heads, head_dim, {}};
  for (std::uint32_t i = 0; i < heads * head_dim; ++i)
    s.codes.push_back(
        static_cast<scale_code>((source == mean_source::given ? 138 : 158) + random.below(5)));
  return s;
}

/// The default tables with scales for two layers: K of 2 x 8 channels, V of 3 x 4.
inline profile_content content_with_scales(coding_id id) {
  profile_content c = default_profile_of(id)->content();
  c.default_code = 0;
  for (std::uint32_t layer = 0; layer < 2; ++layer) {
    c.scales.push_back(random_scales(id.source, {layer, tensor_kind::k}, 2, 8));
    c.scales.push_back(random_scales(id.source, {layer, tensor_kind::v}, 3, 4));
  }
  return c;
}

}  // namespace skv::test
