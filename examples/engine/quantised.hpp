// Weights with fewer bits: the cheap copies of a model that predict its cache.
#pragma once

#include <string_view>

#include "engine/matrix.hpp"

namespace engine {

enum class weight_format : std::uint8_t {
  bf16,  ///< as they are
  fp8,   ///< e4m3, a scale per block of 128 x 128, as the FP8 releases of Qwen3
  int8,  ///< a scale per output
  int4,  ///< a scale per output and 32 inputs
};

/// "bf16", "fp8", "int8", "int4".
std::string_view to_string(weight_format f);

/// The e4m3 pattern nearest to x, ties to even; what lies beyond the largest, 448, becomes it.
std::uint8_t to_e4m3(float x);

/// Weights as small codes times fp32 scales. A weight's value is the product, rounded to bf16, as
/// kernels that multiply bf16 activations see it. The largest magnitude under a scale gets the
/// largest code (448, 127, 7), so codes are symmetric; rounding is to the nearest, ties to even.
class quantised_matrix final : public matrix {
 public:
  /// Quantises finite weights. `format` is not bf16.
  quantised_matrix(const matrix& weights, weight_format format);
  /// From parts, as `codes` and `scales` give them, which must be of the right sizes.
  quantised_matrix(std::uint32_t outputs, std::uint32_t inputs, weight_format format,
                   std::vector<std::uint8_t> codes, std::vector<float> scales);

  void expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
              float* out) const override;
  std::size_t bytes() const override { return codes_.size() + scales_.size() * sizeof(float); }

  /// [panels][inputs][kPanel]; of int4 two to a byte, the even output in the low half.
  const std::vector<std::uint8_t>& codes() const { return codes_; }
  /// fp8: [blocks of outputs][blocks of inputs]; otherwise [panels][groups of inputs][kPanel].
  const std::vector<float>& scales() const { return scales_; }
  static std::size_t code_count(std::uint32_t outputs, std::uint32_t inputs, weight_format format);
  static std::size_t scale_count(std::uint32_t outputs, std::uint32_t inputs, weight_format format);

 private:
  std::size_t scale_at(std::uint32_t panel, std::uint32_t input, std::uint32_t output) const;
  void set_code(std::uint32_t panel, std::uint32_t input, std::uint32_t output, std::uint8_t code);

  weight_format format_;
  std::vector<std::uint8_t> codes_;
  std::vector<float> scales_;
};

/// A copy of a matrix in a format; the matrix itself for bf16.
matrix_ptr quantise(const matrix_ptr& weights, weight_format format);

}  // namespace engine
