// Linear propagation for one instruction set: compiled several times, as tile_codec_isa.cpp is.
#include <cstring>
#include <skv/lanes/scalar.hpp>
#if defined(__AVX512VBMI2__)
#include <skv/lanes/avx512.hpp>
#else
#include <skv/lanes/simd.hpp>
#endif
#include <skv/predict/linear.hpp>
#include <skv/predict/list.hpp>
#include <type_traits>

#include "linear_kernels.hpp"

namespace skv::cpu::SKV_ISA_NAMESPACE {
namespace {

struct instruction_set;
#if defined(SKV_ISA_SCALAR)
using isa_lanes = scalar_lanes;
#elif defined(__AVX512VBMI2__)
using isa_lanes = avx512_lanes<instruction_set>;
#else
using isa_lanes = simd_lanes<instruction_set>;
#endif
using u32 = isa_lanes::u32;

// Calls f(load, store) for every part of a row: load<Pattern>(array) and store<Pattern>(array,
// values) see the part's entries of an array.
template <class F>
SKV_INLINE void for_each_part(std::uint32_t width, const F& f) {
  for (std::uint32_t first = 0; first < width; first += kLanes) {
    const std::uint32_t count = width - first < kLanes ? width - first : kLanes;
    for (std::uint32_t part = 0; part < isa_lanes::kParts; ++part) {
      if (part * isa_lanes::kWidth >= count) break;
      f(
          [=]<class Entry>(const Entry* array) SKV_INLINE_LAMBDA {
            return isa_lanes::load<std::make_unsigned_t<Entry>>(
                reinterpret_cast<const std::byte*>(array + first), part, count);
          },
          [=]<class Entry>(Entry* array, u32 values) SKV_INLINE_LAMBDA {
            isa_lanes::store<std::make_unsigned_t<Entry>>(
                reinterpret_cast<std::byte*>(array + first), part, count, values);
          });
    }
  }
}

SKV_INLINE u32 sign_extended(u32 a, std::uint32_t sign_bit) { return (a ^ sign_bit) - sign_bit; }

template <class Pattern>
const Pattern* row_of(row_view<const std::byte> rows, std::uint32_t token) {
  return reinterpret_cast<const Pattern*>(rows.at(token, 0));
}

// Sines and cosines of a row's channels at a position.
struct turns {
  std::uint32_t *sines, *cosines;
};

void fill_turns(const turns& t, const linear_channels& c, std::uint32_t position) {
  for_each_part(c.head_dim, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
    const u32 phase =
        phase_at<isa_lanes>(u32(position), load(c.frequencies_high), load(c.frequencies_low));
    store(t.sines, sine<isa_lanes>(kSines.entries.data(), phase));
    store(t.cosines, sine<isa_lanes>(kSines.entries.data(), phase + (1u << 30)));
  });
  for (std::uint32_t at = c.head_dim; at < c.width; at += c.head_dim) {
    std::memcpy(t.sines + at, t.sines, c.head_dim * sizeof *t.sines);
    std::memcpy(t.cosines + at, t.cosines, c.head_dim * sizeof *t.cosines);
  }
}

template <number_format Target, number_format Mean>
void innovate(const innovate_arguments& a) {
  const linear_channels& c = a.channels;
  const std::size_t row = std::size_t{c.width} + 32;
  std::uint32_t* const deviations = a.scratch;
  const turns t{a.scratch + row, a.scratch + 2 * row};
  for (std::uint32_t token = 0; token < a.tokens; ++token) {
    const auto* numbers = row_of<pattern_of<Target>>(a.numbers, token);
    const auto* bases =
        a.bases.data == nullptr ? nullptr : row_of<pattern_of<Mean>>(a.bases, token);
    std::int8_t* const innovations = a.innovations + std::size_t{token} * c.width;
    const auto finish = [&](const auto& load, const auto& store, u32 deviated) SKV_INLINE_LAMBDA {
      const u32 centre = sign_extended(load(c.centres), 0x8000);
      store(innovations, innovation<isa_lanes>(deviated, centre, load(c.shifts)));
    };
    for_each_part(c.width, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
      const u32 base = bases == nullptr ? u32(0) : load(bases);
      const u32 d = deviation<Target, Mean, isa_lanes>(load(numbers), base, load(c.units));
      c.partners == nullptr ? finish(load, store, d) : store(deviations, d);
    });
    if (c.partners == nullptr) continue;
    fill_turns(t, c, a.positions[token]);
    for_each_part(c.width, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
      const u32 other = isa_lanes::lookup(deviations, load(c.partners));
      finish(load, store,
             turned<isa_lanes>(load(deviations), other, load(t.cosines), load(t.sines)));
    });
  }
}

SKV_INLINE u32 scaled(const auto& load, const std::int32_t* sums, const std::uint16_t* multipliers,
                      const std::uint8_t* shifts) {
  return scaled_sum<isa_lanes>(load(sums), load(multipliers), load(shifts));
}

void narrow(const narrow_arguments& a) {
  for (std::uint32_t token = 0; token < a.tokens; ++token)
    for_each_part(a.width, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
      const u32 value =
          scaled(load, a.sums + std::size_t{token} * a.width, a.multipliers, a.shifts);
      store(a.values + token * a.value_stride, clamped<isa_lanes>(value, kInnovationLimit));
    });
}

template <number_format Mean>
void correct(const correct_arguments& a) {
  using pattern = pattern_of<Mean>;
  const linear_channels& c = a.channels;
  const std::size_t row = std::size_t{c.width} + 32;
  std::uint32_t* const corrections = a.scratch;
  const turns t{a.scratch + row, a.scratch + 2 * row};
  for (std::uint32_t token = 0; token < a.tokens; ++token) {
    const auto* bases = a.bases.data == nullptr ? nullptr : row_of<pattern>(a.bases, token);
    auto* const means = reinterpret_cast<pattern*>(a.means) + std::size_t{token} * c.width;
    const std::int32_t* const sums =
        a.sums == nullptr ? nullptr : a.sums + std::size_t{token} * c.width;
    const auto finish = [&](const auto& load, const auto& store, u32 correction) SKV_INLINE_LAMBDA {
      const u32 base = bases == nullptr ? u32(0) : load(bases);
      store(means, corrected<Mean, isa_lanes>(base, correction, load(c.units)));
    };
    for_each_part(c.width, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
      u32 y = sign_extended(load(c.centres), 0x8000);
      if (sums != nullptr) y = y + scaled(load, sums, a.multipliers, a.sum_shifts);
      y = clamped<isa_lanes>(y, kDeviationLimit);
      c.partners == nullptr ? finish(load, store, y) : store(corrections, y);
    });
    if (c.partners == nullptr) continue;
    fill_turns(t, c, a.positions[token]);
    for_each_part(c.width, [&](const auto& load, const auto& store) SKV_INLINE_LAMBDA {
      const u32 other = isa_lanes::lookup(corrections, load(c.partners));
      finish(load, store,
             turned<isa_lanes>(load(corrections), other, load(t.cosines), u32(0) - load(t.sines)));
    });
  }
}

// --- The matrix product -----------------------------------------------------------------------

[[maybe_unused]] std::int32_t product_of_groups(const multiply_arguments& a, std::uint32_t token,
                                                std::uint32_t output) {
  std::int32_t sum = 0;
  const std::int8_t* inputs = a.inputs + token * a.input_stride;
  for (std::uint32_t g = 0; g < a.input_groups; ++g)
    for (std::uint32_t i = 0; i < 4; ++i)
      sum += inputs[4 * g + i] * a.weights[4 * (std::size_t{g} * a.outputs + output) + i];
  return sum;
}

#if defined(__AVX512VNNI__)

// Weights are vpdpbusd's unsigned factors, by 128 too large: sums begin at -128 times the inputs'.
template <std::uint32_t Tokens, std::uint32_t Vectors>
SKV_INLINE void multiply_block(const multiply_arguments& a, std::uint32_t token,
                               std::uint32_t output, __mmask16 last) {
  __m512i sums[Tokens][Vectors];
  const std::int8_t* inputs[Tokens];
  for (std::uint32_t t = 0; t < Tokens; ++t) {
    inputs[t] = a.inputs + (token + t) * a.input_stride;
    for (std::uint32_t v = 0; v < Vectors; ++v) sums[t][v] = _mm512_setzero_si512();
  }
  __m512i totals[Tokens];
  for (std::uint32_t t = 0; t < Tokens; ++t) totals[t] = _mm512_setzero_si512();
  const __m512i ones = _mm512_set1_epi8(1), flip = _mm512_set1_epi8(-128);
  for (std::uint32_t g = 0; g < a.input_groups; ++g) {
    const std::int8_t* from = a.weights + 4 * (std::size_t{g} * a.outputs + output);
    __m512i weights[Vectors];
    for (std::uint32_t v = 0; v < Vectors; ++v)
      weights[v] = _mm512_xor_si512(
          _mm512_maskz_loadu_epi32(v + 1 == Vectors ? last : __mmask16(0xffff), from + 64 * v),
          flip);
    for (std::uint32_t t = 0; t < Tokens; ++t) {
      std::int32_t four;
      std::memcpy(&four, inputs[t] + 4 * g, 4);
      const __m512i x = _mm512_set1_epi32(four);
      totals[t] = _mm512_dpbusd_epi32(totals[t], ones, x);
      for (std::uint32_t v = 0; v < Vectors; ++v)
        sums[t][v] = _mm512_dpbusd_epi32(sums[t][v], weights[v], x);
    }
  }
  for (std::uint32_t t = 0; t < Tokens; ++t)
    for (std::uint32_t v = 0; v < Vectors; ++v)
      _mm512_mask_storeu_epi32(a.sums + (token + t) * a.sum_stride + output + 16 * v,
                               v + 1 == Vectors ? last : __mmask16(0xffff),
                               _mm512_sub_epi32(sums[t][v], _mm512_slli_epi32(totals[t], 7)));
}

template <std::uint32_t Tokens>
void multiply_tokens(const multiply_arguments& a, std::uint32_t token) {
  std::uint32_t output = 0;
  for (; output + 64 <= a.outputs; output += 64)
    multiply_block<Tokens, 4>(a, token, output, 0xffff);
  for (; output < a.outputs; output += 16) {
    const std::uint32_t left = a.outputs - output;
    multiply_block<Tokens, 1>(a, token, output,
                              static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1));
  }
}

void multiply(const multiply_arguments& a) {
  std::uint32_t token = 0;
  for (; token + 4 <= a.tokens; token += 4) multiply_tokens<4>(a, token);
  for (; token < a.tokens; ++token) multiply_tokens<1>(a, token);
}

#elif defined(__AVX2__)

// Four outputs a vector: the products of their first two inputs beside those of the last two. int16
// products of pairs cannot overflow: vpmaddubsw, on bytes, would saturate.
template <std::uint32_t Tokens, std::uint32_t Vectors>
SKV_INLINE void multiply_block(const multiply_arguments& a, std::uint32_t token,
                               std::uint32_t output) {
  __m256i sums[Tokens][Vectors];
  for (std::uint32_t t = 0; t < Tokens; ++t)
    for (std::uint32_t v = 0; v < Vectors; ++v) sums[t][v] = _mm256_setzero_si256();
  for (std::uint32_t g = 0; g < a.input_groups; ++g) {
    const std::int8_t* from = a.weights + 4 * (std::size_t{g} * a.outputs + output);
    __m256i weights[Vectors];
    for (std::uint32_t v = 0; v < Vectors; ++v)
      weights[v] =
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16 * v)));
    for (std::uint32_t t = 0; t < Tokens; ++t) {
      std::int32_t four;
      std::memcpy(&four, a.inputs + (token + t) * a.input_stride + 4 * g, 4);
      const __m256i x = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
      for (std::uint32_t v = 0; v < Vectors; ++v)
        sums[t][v] = _mm256_add_epi32(sums[t][v], _mm256_madd_epi16(weights[v], x));
    }
  }
  for (std::uint32_t t = 0; t < Tokens; ++t)
    for (std::uint32_t v = 0; v < Vectors; ++v) {
      const __m256i both = _mm256_hadd_epi32(sums[t][v], sums[t][v]);
      const __m128i four =
          _mm_unpacklo_epi64(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(a.sums + (token + t) * a.sum_stride + output + 4 * v), four);
    }
}

template <std::uint32_t Tokens>
void multiply_tokens(const multiply_arguments& a, std::uint32_t token) {
  std::uint32_t output = 0;
  for (; output + 8 <= a.outputs; output += 8) multiply_block<Tokens, 2>(a, token, output);
  for (; output < a.outputs; ++output)
    for (std::uint32_t t = 0; t < Tokens; ++t)
      a.sums[(token + t) * a.sum_stride + output] = product_of_groups(a, token + t, output);
}

void multiply(const multiply_arguments& a) {
  std::uint32_t token = 0;
  for (; token + 4 <= a.tokens; token += 4) multiply_tokens<4>(a, token);
  for (; token < a.tokens; ++token) multiply_tokens<1>(a, token);
}

#else

void multiply(const multiply_arguments& a) {
  for (std::uint32_t token = 0; token < a.tokens; ++token)
    for (std::uint32_t output = 0; output < a.outputs; ++output)
      a.sums[token * a.sum_stride + output] = product_of_groups(a, token, output);
}

#endif

}  // namespace

linear_kernels find_linear_kernels(format_id target, format_id mean) {
  linear_kernels found{};
  coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != target || Pair::kMean.id != mean) return false;
    found = {innovate<Pair::kTarget, Pair::kMean>, multiply, narrow, correct<Pair::kMean>};
    return true;
  });
  return found;
}

}  // namespace skv::cpu::SKV_ISA_NAMESPACE
