#include "engine/matrix.hpp"

#include <algorithm>

#include "engine/bf16.hpp"
#include "engine/kernels.hpp"

namespace engine {
namespace {

static_assert(kPanel == kLanes);
// Inputs and rows of a step: its weights and sums, 16 KiB each, stay in the nearest cache.
constexpr std::uint32_t kInputs = 256, kRows = 256;

template <class Finish>
void for_each_panel(workers& team, const matrix& w, std::span<const float> x, std::uint32_t rows,
                    const Finish& finish) {
  team.for_each(w.panels(), [&](std::size_t i) {
    const auto panel = static_cast<std::uint32_t>(i);
    alignas(64) float weights[kInputs * kPanel];
    alignas(64) float sums[kRows * kPanel];
    for (std::uint32_t row = 0; row < rows; row += kRows) {
      const std::uint32_t row_count = std::min(kRows, rows - row);
      std::fill_n(sums, row_count * kPanel, 0.0f);
      for (std::uint32_t first = 0; first < w.inputs(); first += kInputs) {
        const std::uint32_t count = std::min(kInputs, w.inputs() - first);
        w.expand(panel, first, count, weights);
        team.kernels().add_products(x.data() + std::size_t{row} * w.inputs() + first, w.inputs(),
                                    row_count, weights, count, sums);
      }
      for (std::uint32_t r = 0; r < row_count; ++r) finish(row + r, panel, sums + r * kPanel);
    }
  });
}

}  // namespace

bf16_matrix::bf16_matrix(std::uint32_t outputs, std::uint32_t inputs,
                         std::span<const std::uint16_t> weights)
    : matrix(outputs, inputs), packed_(std::size_t{panels()} * inputs * kPanel) {
  for (std::uint32_t o = 0; o < outputs; ++o) {
    std::uint16_t* const to = &packed_[std::size_t{o / kPanel} * inputs * kPanel + o % kPanel];
    for (std::uint32_t i = 0; i < inputs; ++i)
      to[std::size_t{i} * kPanel] = weights[std::size_t{o} * inputs + i];
  }
}

void bf16_matrix::expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
                         float* out) const {
  const std::uint16_t* const from = &packed_[(std::size_t{panel} * inputs() + first) * kPanel];
  for (std::size_t i = 0; i < std::size_t{count} * kPanel; ++i) out[i] = from_bf16(from[i]);
}

void bf16_matrix::row(std::uint32_t output, float* out) const {
  for (std::uint32_t i = 0; i < inputs(); ++i) out[i] = from_bf16(at(output, i));
}

void multiply(workers& team, const matrix& w, std::span<const float> x, std::uint32_t rows,
              std::span<float> y) {
  for_each_panel(team, w, x, rows, [&](std::uint32_t row, std::uint32_t panel, const float* sums) {
    const std::uint32_t first = panel * kPanel;
    std::copy_n(sums, std::min(kPanel, w.outputs() - first),
                y.data() + std::size_t{row} * w.outputs() + first);
  });
}

void multiply_rounded(workers& team, const matrix& w, std::span<const float> bias,
                      std::span<const float> x, std::uint32_t rows, std::span<float> y) {
  for_each_panel(team, w, x, rows, [&](std::uint32_t row, std::uint32_t panel, const float* sums) {
    const std::uint32_t first = panel * kPanel, count = std::min(kPanel, w.outputs() - first);
    float* const to = y.data() + std::size_t{row} * w.outputs() + first;
    for (std::uint32_t i = 0; i < count; ++i)
      to[i] = rounded(bias.empty() ? sums[i] : sums[i] + bias[first + i]);
  });
}

}  // namespace engine
