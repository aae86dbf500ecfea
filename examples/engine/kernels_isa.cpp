// Compiled for every instruction set into a namespace of its own, SKV_ISA_NAMESPACE.
#include <cstddef>
#include <cstdint>

#include "engine/kernels.hpp"

namespace engine::SKV_ISA_NAMESPACE {
namespace {

// The widest vectors of the instruction set, and how many rows' sums its registers hold.
#if defined(SKV_ISA_SCALAR)
constexpr std::uint32_t kWidth = 1, kRows = 1;
#elif defined(__AVX512F__)
constexpr std::uint32_t kWidth = 16, kRows = 16;
#elif defined(__AVX2__)
constexpr std::uint32_t kWidth = 8, kRows = 6;
#else
constexpr std::uint32_t kWidth = 4, kRows = 2;
#endif
constexpr std::uint32_t kParts = kLanes / kWidth;

using vector = float __attribute__((vector_size(4 * kWidth)));
using unaligned_vector = float __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
using integers = std::int32_t __attribute__((vector_size(4 * kWidth)));

inline vector load(const float* from) { return *reinterpret_cast<const unaligned_vector*>(from); }
inline void store(float* to, vector x) { *reinterpret_cast<unaligned_vector*>(to) = x; }
inline vector all(float x) { return vector{} + x; }

template <std::uint32_t Rows>
void add_rows(const float* x, std::size_t x_stride, const float* w, std::uint32_t count,
              float* sums) {
  vector sum[Rows][kParts];
  for (std::uint32_t r = 0; r < Rows; ++r)
    for (std::uint32_t p = 0; p < kParts; ++p) sum[r][p] = load(sums + r * kLanes + p * kWidth);
  for (std::uint32_t i = 0; i < count; ++i, w += kLanes) {
    vector weight[kParts];
    for (std::uint32_t p = 0; p < kParts; ++p) weight[p] = load(w + p * kWidth);
    for (std::uint32_t r = 0; r < Rows; ++r) {
      const vector factor = all(x[r * x_stride + i]);
      for (std::uint32_t p = 0; p < kParts; ++p) sum[r][p] += factor * weight[p];
    }
  }
  for (std::uint32_t r = 0; r < Rows; ++r)
    for (std::uint32_t p = 0; p < kParts; ++p) store(sums + r * kLanes + p * kWidth, sum[r][p]);
}

template <std::uint32_t Rows>
void add_rows_by(const float* x, std::size_t x_stride, std::uint32_t rows, const float* w,
                 std::uint32_t count, float* sums) {
  for (; rows >= Rows; rows -= Rows, x += Rows * x_stride, sums += Rows * kLanes)
    add_rows<Rows>(x, x_stride, w, count, sums);
  if constexpr (Rows > 1) add_rows_by<Rows / 2>(x, x_stride, rows, w, count, sums);
}

void add_products(const float* x, std::size_t x_stride, std::uint32_t rows, const float* w,
                  std::uint32_t count, float* sums) {
  add_rows_by<kRows>(x, x_stride, rows, w, count, sums);
}

// e^x for x <= 88; 0 below -87. x is n ln 2 + r with |r| <= ln 2 / 2, and e^r a Taylor polynomial,
// whose error is far below that of its float arithmetic.
inline vector exponential(vector x) {
  constexpr float kRound = 12582912;  // 1.5 * 2^23: the sum's last bit is that of the integers
  const vector shifted = x * 1.44269504f + kRound;
  const integers n = (integers)shifted - (integers)all(kRound);
  const vector count = shifted - kRound;
  vector r = x - count * 0.693359375f;  // 9 bits, so that the product is exact
  r = r - count * -2.12194440e-4f;
  vector sum = all(1.0f / 5040);
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const vector power = (vector)((n + 127) << 23);
  return x < all(-87) ? vector{} : sum * power;
}

float folded(const vector (&sums)[kParts]) {
  float lanes[kLanes];
  for (std::uint32_t p = 0; p < kParts; ++p) store(lanes + p * kWidth, sums[p]);
  for (std::uint32_t half = kLanes / 2; half > 0; half /= 2)
    for (std::uint32_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

void softmax(float* x, std::uint32_t count) {
  const std::uint32_t padded = (count + kLanes - 1) / kLanes * kLanes;
  for (std::uint32_t i = count; i < padded; ++i) x[i] = x[0];
  vector maxima = load(x);
  for (std::uint32_t i = kWidth; i < padded; i += kWidth) {
    const vector v = load(x + i);
    maxima = v > maxima ? v : maxima;
  }
  float largest = maxima[0];
  for (std::uint32_t i = 1; i < kWidth; ++i) largest = maxima[i] > largest ? maxima[i] : largest;
  for (std::uint32_t i = count; i < padded; ++i) x[i] = -__builtin_inff();
  vector sums[kParts] = {};
  for (std::uint32_t i = 0; i < padded; i += kLanes)
    for (std::uint32_t p = 0; p < kParts; ++p) {
      const vector e = exponential(load(x + i + p * kWidth) - largest);
      store(x + i + p * kWidth, e);
      sums[p] += e;
    }
  for (std::uint32_t i = count; i < padded; ++i) x[i] = 0;
  const float sum = folded(sums);
  for (std::uint32_t i = 0; i < padded; i += kWidth) store(x + i, load(x + i) / sum);
}

inline vector silu_of(vector x) {
  const vector negative = x < all(-88) ? all(88) : -x;
  return x / (exponential(negative) + 1.0f);
}

void silu(float* x, std::size_t count) {
  for (; count >= kWidth; count -= kWidth, x += kWidth) store(x, silu_of(load(x)));
  float rest[kWidth] = {};
  for (std::size_t i = 0; i < count; ++i) rest[i] = x[i];
  store(rest, silu_of(load(rest)));
  for (std::size_t i = 0; i < count; ++i) x[i] = rest[i];
}

}  // namespace

extern const kernels table;
const kernels table = {add_products, softmax, silu};

}  // namespace engine::SKV_ISA_NAMESPACE
