// What is learnt of a source's channels, so that its rows can become innovations.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <skv/profile/linear_model.hpp>
#include <vector>

namespace skv {

/// Of a tensor's deviations from its bases, or of outside rows: units from their squares, then
/// centres and shifts. All tokens are added twice, with set_units between.
class source_fit {
 public:
  std::uint32_t heads = 1, head_dim = 0;
  std::uint8_t rotary = 0;     ///< number in the model
  bool is_normalised = false;  ///< rows are in units of their own: embeddings
  std::vector<std::uint8_t> units, shifts;
  std::vector<std::int16_t> centres;

  std::uint32_t width() const { return heads * head_dim; }

  /// A row of real numbers; those that are not finite do not count.
  void add_squares(const Eigen::VectorXd& row);
  /// `turns`: the rotary, or null.
  void set_units(const skv::rotary* turns);

  /// The row as the integer steps see it: in units, clipped, turned back; 0 for what has no value.
  Eigen::VectorXd in_units(Eigen::VectorXd row, const skv::rotary* turns,
                           std::uint64_t position) const;
  void add_sums(const Eigen::VectorXd& row_in_units);
  void set_centres();

 private:
  std::vector<double> squares_, sums_;
  double count_ = 0;
};

}  // namespace skv
