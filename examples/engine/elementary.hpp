// Elementary functions of doubles that are the same on every machine: additions, multiplications
// and divisions in one order. The C library's differ between versions.
#pragma once

#include <cmath>
#include <numbers>

namespace engine {

/// e^x, for |x| < 700.
inline double exponential(double x) {
  const double n = std::floor(x * std::numbers::log2e + 0.5);
  // ln 2 in two parts, of which the first has 21 trailing zeros: its products are exact.
  const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  double term = 1, sum = 1;
  for (int i = 1; i < 20; ++i) {
    term = term * r / i;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(n));
}

/// ln x, for x > 0.
inline double logarithm(double x) {
  int e = 0;
  double m = std::frexp(x, &e);  // in [0.5, 1)
  if (m < std::numbers::sqrt2 / 2) {
    m *= 2;
    --e;
  }
  // 2 artanh z
  const double z = (m - 1) / (m + 1), square = z * z;
  double power = z, sum = 0;
  for (int i = 1; i < 30; i += 2) {
    sum += power / i;
    power *= square;
  }
  return 2 * sum + e * std::numbers::ln2;
}

/// base^exponent, for base > 0.
inline double power(double base, double exponent) {
  return exponential(exponent * logarithm(base));
}

struct sine_and_cosine {
  double sine, cosine;
};

/// For |x| below 2^20: beyond, the quarter turns that are taken off are no longer exact.
inline sine_and_cosine sine_cosine(double x) {
  const double n = std::floor(x * (2 * std::numbers::inv_pi) + 0.5);
  // pi / 2 in three parts, the first two of 33 bits.
  const double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) -
                   n * 2.02226624879595063154e-21;
  const double square = r * r;
  double sine = 0, cosine = 0, odd = r, even = 1;
  for (int i = 1; i < 22; i += 2) {
    sine += odd;
    cosine += even;
    even = -even * square / (i * (i + 1));
    odd = -odd * square / ((i + 1) * (i + 2));
  }
  switch (static_cast<long long>(n) & 3) {
    case 0: return {sine, cosine};
    case 1: return {cosine, -sine};
    case 2: return {-sine, -cosine};
    default: return {-cosine, sine};
  }
}

}  // namespace engine
