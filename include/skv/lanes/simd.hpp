// Lanes on CPU vectors of eight, in the compiler's vector types, so that one text serves AVX2, NEON
// and SSE2. Instructions without an operator (look-ups, compaction) have an AVX2 and a portable form.
// docs/decisions/0003 has the alternatives and their timings.
// For .cpp files only: what it compiles to depends on the instruction set of the file.
#pragma once

#include <bit>
#include <cstring>
#include <skv/lanes/lanes.hpp>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static_assert(std::endian::native == std::endian::little, "words are little-endian");

namespace skv {

/// `InstructionSet` only makes the type distinct in every file that is compiled for another one.
template <class InstructionSet>
struct simd_lanes {
  using reader = word_reader;
  using writer = word_writer;
  using table = const std::uint32_t*;
  static constexpr std::uint32_t kWidth = 8, kParts = kLanes / kWidth;
  using vector = std::uint32_t __attribute__((vector_size(4 * kWidth)));
  using signed_vector = std::int32_t __attribute__((vector_size(4 * kWidth)));
  using float_vector = float __attribute__((vector_size(4 * kWidth)));

  struct mask {
    signed_vector v;  ///< 0 or -1
  };
  struct u32 {
    vector v;
    u32() = default;
    SKV_INLINE u32(vector all) : v(all) {}
    SKV_INLINE u32(std::uint32_t all) : v(vector{} + all) {}
  };

  static SKV_INLINE u32 index(std::uint32_t part) {
    return vector{0, 1, 2, 3, 4, 5, 6, 7} + part * kWidth;
  }
  static SKV_INLINE u32 min(u32 a, u32 b) {
#if defined(__AVX2__)
    return (vector)_mm256_min_epu32((__m256i)a.v, (__m256i)b.v);
#else
    return a.v < b.v ? a.v : b.v;
#endif
  }
  static SKV_INLINE u32 max(u32 a, u32 b) {
#if defined(__AVX2__)
    return (vector)_mm256_max_epu32((__m256i)a.v, (__m256i)b.v);
#else
    return a.v < b.v ? b.v : a.v;
#endif
  }
  static SKV_INLINE u32 select(mask m, u32 a, u32 b) {
#if defined(__AVX2__)
    return (vector)_mm256_blendv_ps((__m256)b.v, (__m256)a.v, (__m256)m.v);
#else
    return (a.v & (vector)m.v) | (b.v & ~(vector)m.v);
#endif
  }
  static SKV_INLINE u32 signed_shift(u32 a, int count) {
    return (vector)((signed_vector)a.v >> count);
  }
  static SKV_INLINE u32 shift_out(u32 a, u32 n) {
#if defined(__AVX2__)
    return (vector)_mm256_srlv_epi32((__m256i)a.v, (__m256i)n.v);
#else
    return a >> min(n, u32(31));
#endif
  }
  static SKV_INLINE u32 shift_left(u32 a, u32 n) {
#if defined(__AVX2__)
    return (vector)_mm256_sllv_epi32((__m256i)a.v, (__m256i)n.v);
#else
    const u32 all_but_one = min(n, u32(31));
    return (a << all_but_one) << (min(n, u32(32)) - all_but_one);
#endif
  }
  static SKV_INLINE u32 shift_right(u32 a, u32 n) { return a >> (n & 31); }
  static SKV_INLINE u32 reverse_bits(u32 a) {
#if defined(__AVX2__)
    // The bytes of a lane in reverse order, and in each the reversed halves.
    const auto bytes =
        _mm256_shuffle_epi8((__m256i)a.v, both_halves(0x0405060700010203, 0x0c0d0e0f08090a0b));
    const auto nibble = _mm256_set1_epi8(0xf);
    const auto low = _mm256_and_si256(bytes, nibble);
    const auto high = _mm256_and_si256(_mm256_srli_epi32(bytes, 4), nibble);
    return (vector)_mm256_or_si256(
        _mm256_shuffle_epi8(both_halves(0xe060a020c0408000, 0xf070b030d0509010), low),
        _mm256_shuffle_epi8(both_halves(0x0e060a020c040800, 0x0f070b030d050901), high));
#else
    a = ((a >> 1) & 0x55555555) | ((a & 0x55555555) << 1);
    a = ((a >> 2) & 0x33333333) | ((a & 0x33333333) << 2);
    a = ((a >> 4) & 0x0f0f0f0f) | ((a & 0x0f0f0f0f) << 4);
    a = ((a >> 8) & 0x00ff00ff) | ((a & 0x00ff00ff) << 8);
    return (a >> 16) | (a << 16);
#endif
  }
  static SKV_INLINE u32 append_top(u32 a, u32 b, u32 n) {
#if defined(__AVX2__)
    return (a << n) | u32((vector)_mm256_srlv_epi32((__m256i)b.v, (__m256i)(32 - n.v)));
#else
    return (a << (n & 31)) | (b >> 1 >> (u32(31) - (n & 31)));
#endif
  }
  static SKV_INLINE u32 or_masked(u32 a, u32 b, std::uint32_t mask) { return a | (b & mask); }
  static SKV_INLINE u32 keep(u32 a) { return a; }
  template <std::uint32_t Bits>
  static SKV_INLINE u32 sign_mask(u32 a) {
    return signed_shift(a << (32 - Bits), 31);
  }
  static SKV_INLINE u32 clip(u32 a, std::uint32_t limit) {
#if defined(__AVX2__)
    return (vector)_mm256_max_epi32(_mm256_min_epi32((__m256i)a.v, (__m256i)u32(limit).v),
                                    _mm256_setzero_si256());
#else
    return min(excess(a, u32(0)), u32(limit));
#endif
  }
  static SKV_INLINE mask below(u32 a, u32 b) {
#if defined(__AVX2__)
    return !(max(a, b) == a);
#else
    return {(signed_vector)(a.v ^ 0x80000000u) < (signed_vector)(b.v ^ 0x80000000u)};
#endif
  }
  static SKV_INLINE u32 excess(u32 a, u32 b) {
#if defined(__AVX2__)
    return (vector)_mm256_max_epi32((__m256i)(a.v - b.v), _mm256_setzero_si256());
#else
    const vector difference = a.v - b.v;
    return difference & ~(vector)((signed_vector)difference >> 31);
#endif
  }
  static SKV_INLINE u32 zero_unless(mask m, u32 a) { return a.v & (vector)m.v; }
  // The exponent of the value as a float, which is exact below 2^24.
  static SKV_INLINE u32 floor_log2(u32 a) {
    const auto f = __builtin_convertvector((signed_vector)a.v, float_vector);
    return ((vector)f >> 23) - 127;
  }
  // From the exponent of the value as a float, which is exact below 2^24; one less, so that for 0,
  // which has the exponent 0, it wraps.
  template <std::uint32_t Bits>
  static SKV_INLINE u32 leading_zeros(u32 a) {
    const auto f = __builtin_convertvector((signed_vector)a.v, float_vector);
    const u32 exponent = ((vector)f >> 23) - 1;
#if defined(__AVX2__)
    return (vector)_mm256_subs_epu16(_mm256_set1_epi32(125 + Bits), (__m256i)exponent.v);
#else
    return max(u32(125 + Bits), exponent) - exponent;
#endif
  }
  static SKV_INLINE u32 multiply_high(u32 a, u32 b) {
#if defined(__AVX2__)
    const auto x = (__m256i)a.v, y = (__m256i)b.v;
    const auto even = _mm256_srli_epi64(_mm256_mul_epu32(x, y), 32);
    const auto odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32));
    return (vector)_mm256_blend_epi32(even, odd, 0xaa);
#else
    vector high{};
    for (std::uint32_t j = 0; j < kWidth; ++j)
      high[j] = static_cast<std::uint32_t>((std::uint64_t{a.v[j]} * b.v[j]) >> 32);
    return high;
#endif
  }
  static SKV_INLINE bool any(mask m) { return bits(m) != 0; }
  static SKV_INLINE std::uint32_t any_bits(u32 a) {
    std::uint32_t bits = 0;
    for (std::uint32_t j = 0; j < kWidth; ++j) bits |= a.v[j];
    return bits;
  }
  static SKV_INLINE std::uint32_t sum(u32 a) {
    std::uint32_t s = 0;
    for (std::uint32_t j = 0; j < kWidth; ++j) s += a.v[j];
    return s;
  }

  template <class Pattern>
  static SKV_INLINE u32 load(const std::byte* row, std::uint32_t part, std::uint32_t count) {
    row += part * kWidth * sizeof(Pattern);
    if (count >= (part + 1) * kWidth) [[likely]]
      return widen<Pattern>(row);
    std::byte padded[kWidth * sizeof(Pattern)] = {};
    if (count > part * kWidth) std::memcpy(padded, row, (count - part * kWidth) * sizeof(Pattern));
    return widen<Pattern>(padded);
  }
  template <class Pattern>
  static SKV_INLINE void store(std::byte* row, std::uint32_t part, std::uint32_t count, u32 a) {
    const auto n = narrowed<Pattern>(a.v);
    row += part * kWidth * sizeof(Pattern);
    if (count >= (part + 1) * kWidth) [[likely]]
      std::memcpy(row, &n, sizeof n);
    else if (count > part * kWidth)
      std::memcpy(row, &n, (count - part * kWidth) * sizeof(Pattern));
  }
  static SKV_INLINE u32 lookup(const std::uint32_t* table, u32 at) {
#if defined(__AVX2__)
    // Eight loads: on Zen 5 twice as fast as vpgatherdd.
    const auto four = [table](__m128i i) {
      const auto a = static_cast<std::uint64_t>(_mm_cvtsi128_si64(i));
      const auto b = static_cast<std::uint64_t>(_mm_extract_epi64(i, 1));
      auto r = _mm_cvtsi32_si128(static_cast<int>(table[static_cast<std::uint32_t>(a)]));
      r = _mm_insert_epi32(r, static_cast<int>(table[a >> 32]), 1);
      r = _mm_insert_epi32(r, static_cast<int>(table[static_cast<std::uint32_t>(b)]), 2);
      return _mm_insert_epi32(r, static_cast<int>(table[b >> 32]), 3);
    };
    return (vector)_mm256_set_m128i(four(_mm256_extracti128_si256((__m256i)at.v, 1)),
                                    four(_mm256_castsi256_si128((__m256i)at.v)));
#else
    vector r{};
    for (std::uint32_t j = 0; j < kWidth; ++j) r[j] = table[at.v[j]];
    return r;
#endif
  }
  static SKV_INLINE void lookup_pair(const std::uint32_t* table, u32 at, u32& first, u32& second) {
#if defined(__AVX2__)
    // Two pairs are two 64-bit loads; the pairs of lanes 0 1 4 5 and 2 3 6 7 are then parted.
    const auto two = [table](std::uint64_t i) {
      const auto* low = reinterpret_cast<const __m128i*>(table + static_cast<std::uint32_t>(i));
      const auto* high = reinterpret_cast<const double*>(table + (i >> 32));
      return _mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64(low)), high);
    };
    const auto low = _mm256_castsi256_si128((__m256i)at.v);
    const auto high = _mm256_extracti128_si256((__m256i)at.v, 1);
    const auto word = [](__m128i i, auto half) {
      return static_cast<std::uint64_t>(_mm_extract_epi64(i, decltype(half)::value));
    };
    using zero = std::integral_constant<int, 0>;
    using one = std::integral_constant<int, 1>;
    const auto a = (__m256)_mm256_set_m128d(two(word(high, zero{})), two(word(low, zero{})));
    const auto b = (__m256)_mm256_set_m128d(two(word(high, one{})), two(word(low, one{})));
    first = (vector)_mm256_shuffle_ps(a, b, 0x88);
    second = (vector)_mm256_shuffle_ps(a, b, 0xdd);
#else
    first = lookup(table, at);
    second = lookup(table + 1, at);
#endif
  }

  // Eight words are loaded, of which the marked lanes take as many as they are.
  static SKV_INLINE u32 take(mask m, word_reader& in, u32 a) {
    return select(m, (a << 16) | words_for(m, in), a);
  }
  // The mirror: words end where the last ones began; what lies below is overwritten later.
  static SKV_INLINE void put(mask m, word_writer& out, u32 a) {
#if defined(__AVX2__)
    if (out.room() >= kWidth) [[likely]] {
      const std::uint32_t marked = bits(m);
      const auto words = (__m128i)narrowed<std::uint16_t>(a.v);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out.next - sizeof words),
                       _mm_shuffle_epi8(words, kCompress[marked]));
      out.next -= 2 * static_cast<std::size_t>(std::popcount(marked));
      return;
    }
#endif
    put_carefully(m, out, a);
  }

  friend SKV_INLINE u32 operator+(u32 a, u32 b) { return a.v + b.v; }
  friend SKV_INLINE u32 operator-(u32 a, u32 b) { return a.v - b.v; }
  friend SKV_INLINE u32 operator*(u32 a, u32 b) { return a.v * b.v; }
  friend SKV_INLINE u32 operator&(u32 a, u32 b) { return a.v & b.v; }
  friend SKV_INLINE u32 operator|(u32 a, u32 b) { return a.v | b.v; }
  friend SKV_INLINE u32 operator^(u32 a, u32 b) { return a.v ^ b.v; }
  friend SKV_INLINE u32 operator<<(u32 a, u32 b) { return a.v << b.v; }
  friend SKV_INLINE u32 operator>>(u32 a, u32 b) { return a.v >> b.v; }
  friend SKV_INLINE mask operator==(u32 a, u32 b) { return {a.v == b.v}; }
  friend SKV_INLINE mask operator!=(u32 a, u32 b) { return !(a == b); }
  friend SKV_INLINE mask operator>=(u32 a, u32 b) { return !(a < b); }
  friend SKV_INLINE mask operator<=(u32 a, u32 b) { return !(a > b); }
  friend SKV_INLINE mask operator>(u32 a, u32 b) {
    return {(signed_vector)a.v > (signed_vector)b.v};
  }
  friend SKV_INLINE mask operator<(u32 a, u32 b) {
    return {(signed_vector)a.v < (signed_vector)b.v};
  }
  friend SKV_INLINE mask operator&(mask a, mask b) { return {a.v & b.v}; }
  friend SKV_INLINE mask operator|(mask a, mask b) { return {a.v | b.v}; }
  friend SKV_INLINE mask operator!(mask a) { return {~a.v}; }

 private:
#if defined(__AVX2__)
  static SKV_INLINE __m256i both_halves(std::uint64_t low, std::uint64_t high) {
    const auto a = static_cast<long long>(low), b = static_cast<long long>(high);
    return _mm256_setr_epi64x(a, b, a, b);
  }
#endif
  // __builtin_convertvector does the same, in many more instructions (GCC 12).
  template <class Pattern>
  static SKV_INLINE vector widen(const std::byte* from) {
#if defined(__AVX2__)
    if constexpr (sizeof(Pattern) == 1)
      return (vector)_mm256_cvtepu8_epi32(_mm_loadu_si64(from));
    else if constexpr (sizeof(Pattern) == 2)
      return (vector)_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#endif
    typedef Pattern narrow __attribute__((vector_size(sizeof(Pattern) * kWidth)));
    narrow n;
    std::memcpy(&n, from, sizeof n);
    return __builtin_convertvector(n, vector);
  }
  template <class Pattern>
  static SKV_INLINE auto narrowed(vector a) {
    typedef Pattern narrow __attribute__((vector_size(sizeof(Pattern) * kWidth)));
#if defined(__AVX2__)
    // The low bytes of every lane move to the low end of its half; then the halves join.
    if constexpr (sizeof(Pattern) == 2) {
      const auto half = _mm256_setr_epi64x(0x0d0c090805040100, -1, 0x0d0c090805040100, -1);
      const auto packed = _mm256_permute4x64_epi64(_mm256_shuffle_epi8((__m256i)a, half), 0x08);
      return (narrow)_mm256_castsi256_si128(packed);
    } else if constexpr (sizeof(Pattern) == 1) {
      const auto half = _mm256_setr_epi64x(0x0c080400, -1, 0x0c080400, -1);
      const auto packed = _mm256_shuffle_epi8((__m256i)a, half);
      return (narrow)_mm_cvtsi128_si64(
          _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
    }
#endif
    return __builtin_convertvector(a, narrow);
  }

  static SKV_INLINE std::uint32_t bits(mask m) {
#if defined(__AVX2__)
    return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)m.v));
#else
    std::uint32_t b = 0;
    for (std::uint32_t j = 0; j < kWidth; ++j) b |= (static_cast<std::uint32_t>(m.v[j]) & 1) << j;
    return b;
#endif
  }

  static SKV_INLINE u32 words_for(mask m, word_reader& in) {
#if defined(__AVX2__)
    if (in.left() >= kWidth) [[likely]] {
      const std::uint32_t marked = bits(m);
      const auto words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in.next));
      in.next += 2 * static_cast<std::size_t>(std::popcount(marked));
      return (vector)_mm256_cvtepu16_epi32(_mm_shuffle_epi8(words, kExpand[marked]));
    }
#endif
    return take_carefully(m, in);
  }

  static u32 take_carefully(mask m, word_reader& in) {
    vector r{};
    for (std::uint32_t j = 0; j < kWidth; ++j) {
      if (m.v[j] == 0) continue;
      if (in.left() == 0) {
        in.overrun = true;
        continue;
      }
      std::uint16_t word;
      std::memcpy(&word, in.next, 2);
      in.next += 2;
      r[j] = word;
    }
    return r;
  }
  static void put_carefully(mask m, word_writer& out, u32 a) {
    for (std::uint32_t j = kWidth; j-- > 0;) {
      if (m.v[j] == 0) continue;
      if (out.room() == 0) {
        out.overrun = true;
        continue;
      }
      const auto word = static_cast<std::uint16_t>(a.v[j]);
      out.next -= 2;
      std::memcpy(out.next, &word, 2);
    }
  }

#if defined(__AVX2__)
  // For every set of marked lanes, the shuffle of eight words, byte by byte.
  struct shuffles {
    alignas(16) std::uint8_t of[256][16];
    SKV_INLINE __m128i operator[](std::uint32_t marked) const {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(of[marked]));
    }
  };
  // kExpand: marked lane i receives the word numbered by the marked lanes below it, others 0.
  static constexpr shuffles make_expand() {
    shuffles s{};
    for (std::uint32_t marked = 0; marked < 256; ++marked) {
      std::uint8_t byte = 0;
      for (std::uint32_t i = 0; i < 16; ++i)
        s.of[marked][i] = (marked >> (i / 2) & 1) != 0 ? byte++ : 0x80;
    }
    return s;
  }
  // kCompress: the words of the marked lanes, in order, end at the last byte.
  static constexpr shuffles make_compress() {
    shuffles s{};
    for (std::uint32_t marked = 0; marked < 256; ++marked) {
      std::uint32_t to = 16 - 2 * static_cast<std::uint32_t>(std::popcount(marked));
      for (std::uint8_t i = 0; i < 16; ++i)
        if ((marked >> (i / 2) & 1) != 0) s.of[marked][to++] = i;
    }
    return s;
  }
  static constexpr shuffles kExpand = make_expand();
  static constexpr shuffles kCompress = make_compress();
#endif
};

}  // namespace skv
