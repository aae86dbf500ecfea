#include "calibrate/source_fit.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <skv/predict/linear.hpp>

namespace skv {
namespace {

using Eigen::VectorXd;

// A deviation's root mean square is 2^10 to 2^11 units, so that 16 of them fit, and rounding to
// units is nothing beside what is left. An innovation reaches 4 to 8 times its own.
constexpr int kUnitBits = 10;
constexpr double kInnovationReach = 4;

// Calls f(first, second, pair) for the two channels of every pair of a row.
template <class F>
void for_each_pair(const rotary& r, std::uint32_t heads, std::uint32_t head_dim, const F& f) {
  for (std::uint32_t pair = 0; pair < r.pairs(); ++pair) {
    const std::uint32_t first = r.first_channel + (r.is_interleaved ? 2 * pair : pair);
    const std::uint32_t second = first + (r.is_interleaved ? 1 : r.pairs());
    for (std::uint32_t h = 0; h < heads * head_dim; h += head_dim) f(h + first, h + second, pair);
  }
}

// Turns a row back to position 0.
void unturn(const rotary& r, std::uint32_t heads, std::uint32_t head_dim, std::uint64_t position,
            VectorXd& row) {
  for_each_pair(
      r, heads, head_dim, [&](std::uint32_t one, std::uint32_t other, std::uint32_t pair) {
        const double angle =
            static_cast<double>(position * r.frequencies[pair]) * 0x1p-64 * 2 * std::numbers::pi;
        const double c = std::cos(angle), s = std::sin(angle);
        const double x = row[one], y = row[other];
        row[one] = x * c + y * s;
        row[other] = y * c - x * s;
      });
}

}  // namespace

void source_fit::add_squares(const VectorXd& row) {
  squares_.resize(width());
  for (std::uint32_t i = 0; i < width(); ++i)
    if (std::isfinite(row[i])) squares_[i] += row[i] * row[i];
  ++count_;
}

void source_fit::set_units(const skv::rotary* turns) {
  squares_.resize(width());
  std::vector<double> rms(width());
  for (std::uint32_t i = 0; i < width(); ++i)
    rms[i] = std::sqrt(squares_[i] / std::max(count_, 1.0));
  if (turns != nullptr)
    for_each_pair(*turns, heads, head_dim,
                  [&](std::uint32_t one, std::uint32_t other, std::uint32_t) {
                    rms[one] = rms[other] = std::max(rms[one], rms[other]);
                  });
  for (double x : rms) {
    if (is_normalised) break;
    const int exponent = x > 0 ? kUnitBits - std::ilogb(x) : 0;
    units.push_back(
        static_cast<std::uint8_t>(std::clamp(exponent + static_cast<int>(kUnitOrigin), 0, 255)));
  }
  squares_.assign(width(), 0);
  sums_.assign(width(), 0);
  centres.assign(width(), 0);
  shifts.assign(width(), 0);
  count_ = 0;
}

VectorXd source_fit::in_units(VectorXd row, const skv::rotary* turns,
                              std::uint64_t position) const {
  if (is_normalised) return row;
  for (Eigen::Index i = 0; i < row.size(); ++i) {
    const double d =
        std::ldexp(row[i], units[static_cast<std::size_t>(i)] - static_cast<int>(kUnitOrigin));
    row[i] = std::isfinite(d) ? std::clamp<double>(d, -32767, 32767) : 0;
  }
  if (turns != nullptr) unturn(*turns, heads, head_dim, position, row);
  return row;
}

void source_fit::add_sums(const VectorXd& row_in_units) {
  for (std::uint32_t i = 0; i < width(); ++i) {
    sums_[i] += row_in_units[i];
    squares_[i] += row_in_units[i] * row_in_units[i];
  }
  ++count_;
}

void source_fit::set_centres() {
  const double count = std::max(count_, 1.0);
  for (std::uint32_t i = 0; i < width(); ++i) {
    const double mean = sums_[i] / count;
    centres[i] = static_cast<std::int16_t>(std::lround(std::clamp<double>(mean, -32767, 32767)));
    const double variance = squares_[i] / count - mean * mean;
    const double reach = kInnovationReach * std::sqrt(std::max(variance, 0.0)) / kInnovationLimit;
    shifts[i] = static_cast<std::uint8_t>(reach > 1 ? std::ceil(std::log2(reach)) : 0);
  }
}

}  // namespace skv
