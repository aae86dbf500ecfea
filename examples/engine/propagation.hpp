// A predictor alone, or under linear propagation: as the profile that was fitted to it says.
#pragma once

#include <skv/cpu/linear_predictor.hpp>

namespace engine {

/// Calls f(predictor) with `base` or with what corrects it, each of its own type: the codec asks it
/// without a virtual call. The cache has `tokens` tokens, from position 0 on. Fails as f does.
template <skv::predictor Base, class F>
skv::result<skv::done> with_propagation(const skv::profile_ptr& p, Base base, std::size_t tokens,
                                        const F& f) {
  if (!p->content().linear) return f(base);
  const skv::cpu::position_range all{0, static_cast<std::uint32_t>(tokens)};
  skv::cpu::linear on_top(p, std::move(base), all.list());
  return f(on_top);
}

}  // namespace engine
