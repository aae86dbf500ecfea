#include "engine/rotary.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/bf16.hpp"
#include "engine/elementary.hpp"

namespace engine {
namespace {

float llama3(float frequency, const rope_scaling& s) {
  const double turns = s.original_positions * frequency / (2 * std::numbers::pi);
  if (turns < s.low_frequency_factor) return static_cast<float>(frequency / s.factor);
  if (turns > s.high_frequency_factor) return frequency;
  const double blend =
      (turns - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
  return static_cast<float>((1 - blend) * frequency / s.factor + blend * frequency);
}

// The pairs between which the frequencies of YaRN go over from the stretched to the plain ones.
struct yarn_ramp {
  double low, high;

  yarn_ramp(const rope_scaling& s, double theta, std::uint32_t channels) {
    const auto pair_with = [&](double turns) {
      return channels * logarithm(s.original_positions / (turns * 2 * std::numbers::pi)) /
             (2 * logarithm(theta));
    };
    low = pair_with(s.beta_fast);
    high = pair_with(s.beta_slow);
    if (s.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, channels - 1.0);
    if (low == high) high += 0.001;
  }
  float operator()(float frequency, std::uint32_t pair, double factor) const {
    const auto stretched = static_cast<float>(std::clamp((pair - low) / (high - low), 0.0, 1.0));
    const float plain = 1 - stretched;
    return frequency / static_cast<float>(factor) * (1 - plain) + frequency * plain;
  }
};

}  // namespace

rotary::rotary(const model_config& c)
    : head_dim_(c.head_dim),
      interleaved_(c.rope_interleaved),
      rounding_(c.rounding),
      attention_factor_(static_cast<float>(c.scaling.attention_factor)) {
  const rope_scaling& s = c.scaling;
  const yarn_ramp ramp(s, c.rope_theta, c.head_dim);
  for (std::uint32_t pair = 0; pair < c.head_dim / 2; ++pair) {
    // Rounded as where floats are all there is.
    const float exponent = static_cast<float>(2 * pair) / static_cast<float>(c.head_dim);
    const float f = 1 / static_cast<float>(power(c.rope_theta, exponent));
    switch (s.type) {
      case rope_scaling::kind::none:
      case rope_scaling::kind::dynamic: frequencies_.push_back(f); break;
      case rope_scaling::kind::linear:
        frequencies_.push_back(f / static_cast<float>(s.factor));
        break;
      case rope_scaling::kind::yarn: frequencies_.push_back(ramp(f, pair, s.factor)); break;
      case rope_scaling::kind::llama3: frequencies_.push_back(llama3(f, s)); break;
    }
  }
}

void rotary::angles(std::uint32_t position, float* cosines, float* sines) const {
  for (const float f : frequencies_) {
    const sine_and_cosine a = sine_cosine(static_cast<float>(position) * f);
    *cosines++ = static_cast<float>(a.cosine) * attention_factor_;
    *sines++ = static_cast<float>(a.sine) * attention_factor_;
  }
}

void rotary::turn(const float* cosines, const float* sines, std::uint32_t heads, float* x,
                  float sign) const {
  const std::uint32_t half = head_dim_ / 2;
  const std::uint32_t step = interleaved_ ? 2 : 1, distance = interleaved_ ? 1 : half;
  const auto product = [&](float a, float b) {
    return rounding_.rotary_product ? rounded(a * b) : a * b;
  };
  for (; heads > 0; --heads, x += head_dim_)
    for (std::uint32_t i = 0; i < half; ++i) {
      float& first = x[i * step];
      float& second = x[i * step + distance];
      const float c = cosines[i], s = sign * sines[i], a = first, b = second;
      first = product(a, c) - product(b, s);
      second = product(b, c) + product(a, s);
    }
}

}  // namespace engine
