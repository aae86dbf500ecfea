// Ridge regression from moments, with its strength chosen on what was held back.
#pragma once

#include <Eigen/Dense>
#include <skv/profile/linear_model.hpp>
#include <vector>

namespace skv {

/// An integer product and its storage.
struct quantised_product {
  linear_product product;
  std::vector<std::int8_t> weights;

  linear_product view() const {
    linear_product p = product;
    p.weights = weights;
    return p;
  }
  /// Adds a shard: `columns` is [inputs][outputs], real-valued.
  void add(const Eigen::MatrixXd& columns);
};

/// Observations fall into folds; what is fitted to all but one is judged by that one.
inline constexpr int kFolds = 4;
inline constexpr int kNoFold = -1;

/// Sums of products of inputs x and outputs y, fold by fold.
class moments {
 public:
  moments(Eigen::Index inputs, Eigen::Index outputs);
  static double bytes(Eigen::Index inputs, Eigen::Index outputs);

  /// Columns are observations. Rounds products to float, sums in double.
  void add(const Eigen::MatrixXf& x, const Eigen::MatrixXf& y, int fold);

  Eigen::Index inputs() const { return folds_[0].xx.rows(); }
  /// Those of some inputs, in ascending order.
  moments of_inputs(const std::vector<Eigen::Index>& inputs) const;

  /// Bits per observation, up to a constant, summed over outputs: half the logarithm of squared
  /// error + `fine`. Without a correction, where y were measured from `centre`; with the centre
  /// alone; with a ridge of strength `lambda` in int8 weights, each fold by what is fitted to the
  /// others.
  double bits_uncentred(const Eigen::VectorXd& fine, const Eigen::VectorXd& centre) const;
  double bits_centred(const Eigen::VectorXd& fine) const;
  double bits_ridge(double lambda, const Eigen::VectorXd& fine) const;

  /// Fits all observations but those of a fold and adds the result as a shard. With a rank the
  /// product is the best of that rank, errors counting relative to what is left of an output.
  void quantise(double lambda, std::uint32_t rank, const Eigen::VectorXd& fine, int without,
                quantised_product& to_hidden, quantised_product& to_output) const;

 private:
  struct sums {
    Eigen::MatrixXd xx, xy;
    Eigen::VectorXd yy, y;
    double count = 0;
  };
  sums all_but(int fold) const;
  static Eigen::MatrixXd solve(const sums& s, double lambda);

  sums folds_[kFolds];
};

struct ridge_choice {
  double lambda = 0, bits = 0;
};
/// Bits of all shards at one strength; `fine` is of all their outputs.
double ridge_bits(const std::vector<moments>& shards, const Eigen::VectorXd& fine, double lambda);
/// The best strength, common to all shards.
ridge_choice choose_ridge(const std::vector<moments>& shards, const Eigen::VectorXd& fine);

}  // namespace skv
