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

// A weight counts multiplier / 2^(12 + shift); the largest of an output becomes almost 127, or 127.
struct weight_unit {
  int shift = 0;
  double multiplier = 0, counts = 0;
};
weight_unit unit_of(double largest) {
  weight_unit u;
  const double scale = largest / 127;
  if (scale > 0) u.shift = std::clamp(static_cast<int>(std::floor(-std::log2(scale))), 0, 40);
  u.multiplier = std::min(std::ceil(std::ldexp(scale, 12 + u.shift)), 32767.0);
  u.counts = std::ldexp(u.multiplier, -12 - u.shift);
  return u;
}
double in_int8(double weight, const weight_unit& u) {
  return std::round(std::clamp(weight / u.counts, -127.0, 127.0));
}

// What the integers make of real weights.
void round_to_int8(MatrixXd& w) {
  for (Index o = 0; o < w.cols(); ++o) {
    const weight_unit u = unit_of(w.rows() == 0 ? 0 : w.col(o).cwiseAbs().maxCoeff());
    if (u.multiplier == 0) continue;
    for (Index i = 0; i < w.rows(); ++i) w(i, o) = in_int8(w(i, o), u) * u.counts;
  }
}

}  // namespace

void quantised_product::add(const MatrixXd& columns) {
  product.inputs = static_cast<std::uint32_t>(columns.rows());
  product.outputs = static_cast<std::uint32_t>(columns.cols());
  const std::size_t begin = weights.size();
  weights.resize(begin + product.shard_weights());
  for (Index o = 0; o < columns.cols(); ++o) {
    const weight_unit u = unit_of(columns.rows() == 0 ? 0 : columns.col(o).cwiseAbs().maxCoeff());
    product.multipliers.push_back(static_cast<std::uint16_t>(u.multiplier));
    product.shifts.push_back(static_cast<std::uint8_t>(u.shift));
    if (u.multiplier == 0) continue;
    for (Index i = 0; i < columns.rows(); ++i) {
      const std::size_t at =
          4 * (static_cast<std::size_t>(i / 4) * product.outputs + static_cast<std::size_t>(o)) +
          static_cast<std::size_t>(i % 4);
      weights[begin + at] = static_cast<std::int8_t>(in_int8(columns(i, o), u));
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

moments moments::of_inputs(const std::vector<Index>& inputs) const {
  moments m(0, folds_[0].yy.size());
  for (int f = 0; f < kFolds; ++f) {
    m.folds_[f] = {folds_[f].xx(inputs, inputs), folds_[f].xy(inputs, Eigen::all), folds_[f].yy,
                   folds_[f].y, folds_[f].count};
  }
  return m;
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
    MatrixXd w = solve(all_but(f), lambda);
    round_to_int8(w);
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
  const MatrixXd relative =
      left.cwiseInverse().asDiagonal() * covariance * left.cwiseInverse().asDiagonal();
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

double ridge_bits(const std::vector<moments>& shards, const VectorXd& fine, double lambda) {
  const Index part = fine.size() / static_cast<Index>(shards.size());
  double bits = 0;
  for (std::size_t s = 0; s < shards.size(); ++s)
    bits += shards[s].bits_ridge(lambda, fine.segment(static_cast<Index>(s) * part, part));
  return bits;
}

ridge_choice choose_ridge(const std::vector<moments>& shards, const VectorXd& fine) {
  int best = kFirstTried;
  double bits = ridge_bits(shards, fine, strength(best));
  for (const int direction : {1, -1})
    for (int step = best + direction; step >= kWeakest && step <= kStrongest; step += direction) {
      const double tried = ridge_bits(shards, fine, strength(step));
      if (!(tried < bits)) break;
      bits = tried;
      best = step;
    }
  return {strength(best), bits};
}

}  // namespace skv
