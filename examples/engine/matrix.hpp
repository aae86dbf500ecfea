// The weights of a linear layer, in whatever format they are kept, and the product with them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/workers.hpp"

namespace engine {

/// Outputs that are worked on together: a panel. The last one of a matrix may have fewer.
inline constexpr std::uint32_t kPanel = 16;

/// y = W x, W of [outputs, inputs]. A format of weights is a class that expands them to floats, the
/// values that the product is made with. Immutable: any number of threads may use one at once.
class matrix {
 public:
  virtual ~matrix() = default;

  std::uint32_t outputs() const { return outputs_; }
  std::uint32_t inputs() const { return inputs_; }
  std::uint32_t panels() const { return (outputs_ + kPanel - 1) / kPanel; }

  /// Writes out[count][kPanel]: out[i][j] = W[kPanel * panel + j][first + i], zeros beyond the last
  /// output. first + count <= inputs(). Values must be the same on every machine.
  virtual void expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
                      float* out) const = 0;

  /// Bytes that the weights take, with their scales.
  virtual std::size_t bytes() const = 0;

 protected:
  matrix(std::uint32_t outputs, std::uint32_t inputs) : outputs_(outputs), inputs_(inputs) {}

 private:
  std::uint32_t outputs_, inputs_;
};

using matrix_ptr = std::shared_ptr<const matrix>;

/// Weights as they are.
class bf16_matrix final : public matrix {
 public:
  /// `weights`: bf16 patterns [outputs][inputs]; copied.
  bf16_matrix(std::uint32_t outputs, std::uint32_t inputs, std::span<const std::uint16_t> weights);

  void expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
              float* out) const override;
  std::size_t bytes() const override { return packed_.size() * sizeof(std::uint16_t); }

  std::uint16_t at(std::uint32_t output, std::uint32_t input) const {
    return packed_[(std::size_t{output / kPanel} * inputs() + input) * kPanel + output % kPanel];
  }
  /// The weights of one output, as floats, out[inputs()]: a row of an embedding.
  void row(std::uint32_t output, float* out) const;

 private:
  std::vector<std::uint16_t> packed_;  // [panels][inputs][kPanel]
};

/// y[rows][outputs] = x[rows][inputs] W^T. Every output is the fp32 sum of its products in
/// ascending order of inputs, each operation rounded by itself, whatever the number of rows,
/// threads or the instruction set. x and y must not overlap.
void multiply(workers& team, const matrix& w, std::span<const float> x, std::uint32_t rows,
              std::span<float> y);

/// The same, with bias[outputs] added unless it is empty, rounded to bf16.
void multiply_rounded(workers& team, const matrix& w, std::span<const float> bias,
                      std::span<const float> x, std::uint32_t rows, std::span<float> y);

}  // namespace engine
