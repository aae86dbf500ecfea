// Fitting anchors: ridge regression of the hidden state's error on what decoded tensors show of it.
#pragma once

#include <Eigen/Dense>
#include <memory>
#include <span>
#include <vector>

#include "engine/quantised.hpp"

namespace engine {

/// Observations fall into folds; each is judged, and corrected, by what is fitted to the others.
inline constexpr int kFolds = 4;

/// A map as it is fitted: of all observations, and of all but each fold. Null if it does not pay:
/// if held-out observations are no nearer with it.
struct fitted_map {
  std::shared_ptr<const quantised_matrix> all, without_fold[kFolds];
  double error_before = 0, error_after = 0;  ///< mean squares per row, of what was held out
};

/// The observations of one tensor: residuals x and errors y of the hidden state, row by row.
class anchor_fit {
 public:
  anchor_fit(std::uint32_t inputs, std::uint32_t outputs);

  /// x [rows][inputs], y [rows][outputs], row-major. Rows that are not finite must be left out.
  void add(const Eigen::MatrixXf& x, const Eigen::MatrixXf& y, int fold);
  /// The strength of the ridge is the one that serves held-out folds best.
  fitted_map solve() const;

 private:
  struct sums {
    Eigen::MatrixXd xx, xy;
    double yy = 0, count = 0;
  };
  sums all_but(int fold) const;

  std::uint32_t inputs_, outputs_;
  sums folds_[kFolds];
};

}  // namespace engine
