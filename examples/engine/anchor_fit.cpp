#include "engine/anchor_fit.hpp"

#include <cmath>

#include "engine/bf16.hpp"

namespace engine {
namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;

// Strengths that are tried, relative to the mean square of an input: 10^-5 to 10.
constexpr int kWeakest = -10, kStrongest = 2;

// A map that brings held-out rows nearer by less than this share is not worth its bytes.
constexpr double kWorthwhile = 0.005;

// Real-valued weights, [inputs][outputs], as a matrix that can be quantised.
class real_matrix final : public matrix {
 public:
  explicit real_matrix(const MatrixXd& w)
      : matrix(static_cast<std::uint32_t>(w.cols()), static_cast<std::uint32_t>(w.rows())),
        w_(&w) {}
  void expand(std::uint32_t panel, std::uint32_t first, std::uint32_t count,
              float* out) const override {
    for (std::uint32_t i = first; i < first + count; ++i)
      for (std::uint32_t o = panel * kPanel; o < (panel + 1) * kPanel; ++o)
        *out++ = o < outputs() ? static_cast<float>((*w_)(i, o)) : 0.0F;
  }
  std::size_t bytes() const override {
    return static_cast<std::size_t>(w_->size()) * sizeof(double);
  }

 private:
  const MatrixXd* w_;
};

MatrixXd ridge(const MatrixXd& xx, const MatrixXd& xy, double lambda) {
  MatrixXd a = xx;
  const double mean_square = a.trace() / static_cast<double>(a.rows());
  a.diagonal().array() += lambda * mean_square + 1e-30;
  return a.llt().solve(xy);
}

std::shared_ptr<const quantised_matrix> as_map(const MatrixXd& w) {
  return std::make_shared<quantised_matrix>(real_matrix(w), weight_format::int8);
}

}  // namespace

anchor_fit::anchor_fit(std::uint32_t inputs, std::uint32_t outputs)
    : inputs_(inputs), outputs_(outputs) {
  for (sums& s : folds_) {
    s.xx = MatrixXd::Zero(inputs, inputs);
    s.xy = MatrixXd::Zero(inputs, outputs);
  }
}

void anchor_fit::add(const MatrixXf& x, const MatrixXf& y, int fold) {
  sums& s = folds_[fold];
  const MatrixXd xd = x.cast<double>(), yd = y.cast<double>();
  s.xx += xd.transpose() * xd;
  s.xy += xd.transpose() * yd;
  s.yy += yd.squaredNorm();
  s.count += static_cast<double>(x.rows());
}

anchor_fit::sums anchor_fit::all_but(int fold) const {
  sums total{MatrixXd::Zero(inputs_, inputs_), MatrixXd::Zero(inputs_, outputs_), 0, 0};
  for (int f = 0; f < kFolds; ++f) {
    if (f == fold) continue;
    total.xx += folds_[f].xx;
    total.xy += folds_[f].xy;
    total.yy += folds_[f].yy;
    total.count += folds_[f].count;
  }
  return total;
}

fitted_map anchor_fit::solve() const {
  fitted_map best;
  const sums all = all_but(-1);
  if (all.count == 0 || all.yy == 0 || all.xx.trace() == 0) return best;
  best.error_before = best.error_after = all.yy / all.count;
  sums rest[kFolds];
  for (int f = 0; f < kFolds; ++f) rest[f] = all_but(f);
  double chosen = 0;
  for (int step = kWeakest; step <= kStrongest; ++step) {
    const double lambda = std::pow(10.0, step / 2.0);
    double error = 0;
    for (int f = 0; f < kFolds; ++f) {
      if (folds_[f].count == 0) continue;
      const MatrixXd w = ridge(rest[f].xx, rest[f].xy, lambda);
      error += folds_[f].yy - 2 * w.cwiseProduct(folds_[f].xy).sum() +
               w.cwiseProduct(folds_[f].xx * w).sum();
    }
    if (error / all.count < best.error_after) {
      best.error_after = error / all.count;
      chosen = lambda;
    }
  }
  if (best.error_after > (1 - kWorthwhile) * best.error_before) return best;
  best.all = as_map(ridge(all.xx, all.xy, chosen));
  for (int f = 0; f < kFolds; ++f)
    best.without_fold[f] = as_map(ridge(rest[f].xx, rest[f].xy, chosen));
  return best;
}

}  // namespace engine
