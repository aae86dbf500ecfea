// Real shares into integer frequencies.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <skv/entropy/table.hpp>
#include <skv/profile/profile.hpp>

namespace skv {

std::vector<std::uint16_t> normalise_counts(std::span<const double> counts, std::uint32_t escape) {
  std::vector<double> share(counts.begin(), counts.end());
  const double total = std::accumulate(share.begin(), share.end(), 0.0);
  if (!(total > 0)) {
    std::vector<std::uint16_t> certain(counts.size(), 0);
    certain[escape] = kSlots - 1;
    certain[escape == 0 ? 1 : 0] = 1;
    return certain;
  }
  for (double& s : share) s *= kSlots / total;

  // A slot given to a token of share s is taken from the others, who lose log2(e) bits per slot;
  // without it the token costs an escape: about log2(kSlots) + kEscapeBits bits. With the slot it
  // costs log2(kSlots). So it pays from s = log2(e) / kEscapeBits slots on.
  const double worth_a_slot = 1.4427 / kEscapeBits;
  for (std::uint32_t t = 0; t < share.size(); ++t)
    if (t != escape && share[t] < worth_a_slot) {
      share[escape] += share[t];
      share[t] = 0;
    }

  std::vector<std::uint16_t> f(share.size(), 0);
  std::int32_t missing = kSlots;
  for (std::uint32_t t = 0; t < share.size(); ++t) {
    if (share[t] > 0 || t == escape)
      f[t] = static_cast<std::uint16_t>(std::max(1.0, std::round(share[t])));
    missing -= f[t];
  }
  // Give or take single slots where it changes the coded length most, respectively least.
  for (; missing != 0; missing -= missing > 0 ? 1 : -1) {
    const int change = missing > 0 ? 1 : -1;
    std::uint32_t best = escape;
    double best_gain = -1e300;
    for (std::uint32_t t = 0; t < share.size(); ++t) {
      if (f[t] == 0 || f[t] + change < 1) continue;
      const double gain = share[t] * std::log2((f[t] + change) / static_cast<double>(f[t]));
      if (gain > best_gain) {
        best_gain = gain;
        best = t;
      }
    }
    f[best] = static_cast<std::uint16_t>(f[best] + change);
  }
  if (f[escape] == kSlots) {  // one slot is another token's, so that frequencies are below kSlots
    f[escape] = kSlots - 1;
    f[escape == 0 ? 1 : 0] = 1;
  }
  return f;
}

}  // namespace skv
