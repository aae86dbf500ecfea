// The rotary embedding: queries and keys turn with their position.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/config.hpp"

namespace engine {

/// Cosines and sines as Hugging Face computes them: frequencies and angles are float, their cosine
/// and sine are the nearest floats, by a series in double of this engine's own.
class rotary {
 public:
  explicit rotary(const model_config& config);

  /// Radians per position, [head_dim / 2].
  const std::vector<float>& frequencies() const { return frequencies_; }
  /// Sines and cosines are multiplied by it.
  float attention_factor() const { return attention_factor_; }

  /// Writes cosines[head_dim / 2] and sines[head_dim / 2] of a position, not rounded to bf16.
  void angles(std::uint32_t position, float* cosines, float* sines) const;

  /// Turns x[heads][head_dim] by the angles of one position, or back (`sign` -1), in fp32. The
  /// attention factor is part of the cosines and sines: to go back is to divide by its square.
  void turn(const float* cosines, const float* sines, std::uint32_t heads, float* x,
            float sign = 1) const;

 private:
  std::uint32_t head_dim_;
  bool interleaved_;
  rounding_points rounding_;
  std::vector<float> frequencies_;
  float attention_factor_;
};

}  // namespace engine
