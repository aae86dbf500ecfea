#include "calibrate/ridge.hpp"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <skv/predict/linear.hpp>

namespace skv {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// Strengths go by half decades, relative to the mean square of an input.
constexpr int kWeakest = -10, kStrongest = 6, kFirstTried = -5;
double strength(int step) { return std::pow(10.0, step / 2.0); }

double half_log(const VectorXd& squares, const VectorXd& fine) {
  double bits = 0;
  for (Index i = 0; i < squares.size(); ++i)
    bits += 0.5 * std::log2(std::max(squares[i], 0.0) + fine[i] + 1e-12);
  return bits;
}

}  // namespace

void quantised_product::add(const MatrixXd& columns) {
  product.inputs = static_cast<std::uint32_t>(columns.rows());
  product.outputs = static_cast<std::uint32_t>(columns.cols());
  const std::size_t begin = weights.size();
  weights.resize(begin + product.shard_weights());
  for (Index o = 0; o < columns.cols(); ++o) {
    // A weight counts multiplier / 2^(12 + shift); the largest becomes 127 or a little less.
    const double largest = columns.rows() == 0 ? 0 : columns.col(o).cwiseAbs().maxCoeff();
    const double scale = largest / 127;
    const int shift =
        scale > 0 ? std::clamp(static_cast<int>(std::floor(-std::log2(scale))), 0, 40) : 0;
    const double multiplier = std::min(std::ceil(std::ldexp(scale, 12 + shift)), 32767.0);
    product.multipliers.push_back(static_cast<std::uint16_t>(multiplier));
    product.shifts.push_back(static_cast<std::uint8_t>(shift));
    if (multiplier == 0) continue;
    const double counts = std::ldexp(multiplier, -12 - shift);
    for (Index i = 0; i < columns.rows(); ++i) {
      const std::size_t at = 4 * (static_cast<std::size_t>(i / 4) * product.outputs +
                                  static_cast<std::size_t>(o)) +
                             static_cast<std::size_t>(i % 4);
      weights[begin + at] = static_cast<std::int8_t>(
          std::lround(std::clamp(columns(i, o) / counts, -127.0, 127.0)));
    }
  }
}

moments::moments(Index inputs, Index outputs) {
  for (sums& s : folds_) {
    s.xx = MatrixXd::Zero(inputs, inputs);
    s.xy = MatrixXd::Zero(inputs, outputs);
    s.yy = s.y = VectorXd::Zero(outputs);
  }
}

double moments::bytes(Index inputs, Index outputs) {
  return 8.0 * kFolds * static_cast<double>(inputs) * static_cast<double>(inputs + outputs);
}

void moments::add(const Eigen::MatrixXf& x, const Eigen::MatrixXf& y, int fold) {
  sums& s = folds_[fold];
  if (x.rows() != 0) {
    Eigen::MatrixXf xx = Eigen::MatrixXf::Zero(x.rows(), x.rows());
    xx.selfadjointView<Eigen::Lower>().rankUpdate(x);
    s.xx.triangularView<Eigen::Lower>() += xx.cast<double>();
    s.xy += (x * y.transpose()).cast<double>();
  }
  s.yy += y.cast<double>().rowwise().squaredNorm();
  s.y += y.cast<double>().rowwise().sum();
  s.count += static_cast<double>(x.cols());
}

moments::sums moments::all_but(int fold) const {
  sums total = folds_[fold == 0 ? 1 : 0];
  for (int f = fold == 0 ? 2 : 1; f < kFolds; ++f) {
    if (f == fold) continue;
    total.xx += folds_[f].xx;
    total.xy += folds_[f].xy;
    total.yy += folds_[f].yy;
    total.y += folds_[f].y;
    total.count += folds_[f].count;
  }
  return total;
}

MatrixXd moments::solve(const sums& s, double lambda) {
  MatrixXd a = s.xx.selfadjointView<Eigen::Lower>();
  const double mean_square = a.trace() / static_cast<double>(std::max<Index>(a.rows(), 1));
  a.diagonal().array() += lambda * mean_square + 1e-9;
  return a.selfadjointView<Eigen::Lower>().llt().solve(s.xy);
}

double moments::bits_uncentred(const VectorXd& fine, const VectorXd& centre) const {
  const sums all = all_but(kNoFold);
  const double n = std::max(all.count, 1.0);
  return half_log((all.yy + 2 * centre.cwiseProduct(all.y)) / n + centre.cwiseAbs2(), fine);
}

double moments::bits_centred(const VectorXd& fine) const {
  const sums all = all_but(kNoFold);
  return half_log(all.yy / std::max(all.count, 1.0), fine);
}

double moments::bits_ridge(double lambda, const VectorXd& fine) const {
  VectorXd error = VectorXd::Zero(fine.size());
  double count = 0;
  for (int f = 0; f < kFolds; ++f) {
    const sums& s = folds_[f];
    if (s.count == 0) continue;
    const MatrixXd w = solve(all_but(f), lambda);
    const MatrixXd gw = s.xx.selfadjointView<Eigen::Lower>() * w;
    error += s.yy - 2 * w.cwiseProduct(s.xy).colwise().sum().transpose() +
             w.cwiseProduct(gw).colwise().sum().transpose();
    count += s.count;
  }
  return half_log(error / std::max(count, 1.0), fine);
}

void moments::quantise(double lambda, std::uint32_t rank, const VectorXd& fine, int without,
                       quantised_product& to_hidden, quantised_product& to_output) const {
  const sums all = all_but(without);
  const MatrixXd w = solve(all, lambda);
  if (rank == 0) {
    to_output.add(w);
    return;
  }
  const double n = std::max(all.count, 1.0);
  const MatrixXd covariance = w.transpose() * (all.xx.selfadjointView<Eigen::Lower>() * w) / n;
  const VectorXd left =
      ((all.yy / n - covariance.diagonal()).cwiseMax(0.0) + fine).cwiseSqrt().cwiseMax(1e-6);
  const MatrixXd relative = left.cwiseInverse().asDiagonal() * covariance *
                            left.cwiseInverse().asDiagonal();
  const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(relative);
  const Index kept = std::min<Index>(rank, relative.rows());
  MatrixXd in = MatrixXd::Zero(w.rows(), rank), out = MatrixXd::Zero(rank, w.cols());
  for (Index k = 0; k < kept; ++k) {
    const Index from = relative.rows() - 1 - k;
    // A hidden value reaches 4 times its root mean square.
    const double unit = 4 * std::sqrt(std::max(eigen.eigenvalues()[from], 0.0)) / kInnovationLimit;
    if (unit <= 0) continue;
    const VectorXd direction = eigen.eigenvectors().col(from);
    in.col(k) = w * left.cwiseInverse().cwiseProduct(direction) / unit;
    out.row(k) = unit * direction.cwiseProduct(left).transpose();
  }
  to_hidden.add(in);
  to_output.add(out);
}

ridge_choice choose_ridge(const std::vector<moments>& shards, const VectorXd& fine) {
  const Index part = fine.size() / static_cast<Index>(shards.size());
  const auto bits_at = [&](int step) {
    double bits = 0;
    for (std::size_t s = 0; s < shards.size(); ++s)
      bits += shards[s].bits_ridge(strength(step), fine.segment(static_cast<Index>(s) * part, part));
    return bits;
  };
  int best = kFirstTried;
  double bits = bits_at(best);
  for (const int direction : {1, -1})
    for (int step = best + direction; step >= kWeakest && step <= kStrongest; step += direction) {
      const double tried = bits_at(step);
      if (!(tried < bits)) break;
      bits = tried;
      best = step;
    }
  return {strength(best), bits};
}

}  // namespace skv
