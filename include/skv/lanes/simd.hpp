// Lanes on CPU vectors: four vectors of eight, in the compiler's vector types, so that one text
// serves AVX2, AVX-512VL, NEON and SSE2. Instructions without an operator (gather, compaction)
// have an AVX2 and a portable form. docs/decisions/0003 has the alternatives and their timings.
// For .cpp files only: what it compiles to depends on the instruction set of the file.
#pragma once

#include <bit>
#include <cstring>
#include <skv/lanes/lanes.hpp>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static_assert(std::endian::native == std::endian::little, "words are little-endian");

namespace skv {

/// `InstructionSet` only makes the type distinct in every file that is compiled for another one.
template <class InstructionSet>
struct simd_lanes {
  static constexpr std::uint32_t kWidth = 8;
  static constexpr std::uint32_t kParts = kLanes / kWidth;
  using vector = std::uint32_t __attribute__((vector_size(4 * kWidth)));
  using signed_vector = std::int32_t __attribute__((vector_size(4 * kWidth)));
  using float_vector = float __attribute__((vector_size(4 * kWidth)));

  struct mask {
    signed_vector part[kParts];  ///< 0 or -1
  };
  struct u32 {
    vector part[kParts];
    u32() = default;
    SKV_INLINE u32(std::uint32_t all) {
      for (auto& p : part) p = vector{} + all;
    }
  };

  template <class F>
  static SKV_INLINE u32 each(F&& f) {
    u32 r;
#pragma GCC unroll 4
    for (std::uint32_t i = 0; i < kParts; ++i) r.part[i] = f(i);
    return r;
  }
  template <class F>
  static SKV_INLINE mask test(F&& f) {
    mask r;
#pragma GCC unroll 4
    for (std::uint32_t i = 0; i < kParts; ++i) r.part[i] = f(i);
    return r;
  }

  static SKV_INLINE u32 index() {
    return each([](std::uint32_t i) { return vector{0, 1, 2, 3, 4, 5, 6, 7} + i * kWidth; });
  }
  static SKV_INLINE u32 min(u32 a, u32 b) {
    return each([&](std::uint32_t i) {
#if defined(__AVX2__)
      return (vector)_mm256_min_epu32((__m256i)a.part[i], (__m256i)b.part[i]);
#else
      return a.part[i] < b.part[i] ? a.part[i] : b.part[i];
#endif
    });
  }
  static SKV_INLINE u32 max(u32 a, u32 b) {
    return each([&](std::uint32_t i) {
#if defined(__AVX2__)
      return (vector)_mm256_max_epu32((__m256i)a.part[i], (__m256i)b.part[i]);
#else
      return a.part[i] < b.part[i] ? b.part[i] : a.part[i];
#endif
    });
  }
  static SKV_INLINE u32 select(mask m, u32 a, u32 b) {
    return each([&](std::uint32_t i) {
#if defined(__AVX2__)
      return (vector)_mm256_blendv_epi8((__m256i)b.part[i], (__m256i)a.part[i],
                                        (__m256i)m.part[i]);
#else
      return (a.part[i] & (vector)m.part[i]) | (b.part[i] & ~(vector)m.part[i]);
#endif
    });
  }
  // The exponent of the value as a float, which is exact below 2^24.
  static SKV_INLINE u32 floor_log2(u32 a) {
    return each([&](std::uint32_t i) {
      const auto at_least_one = max_part(a.part[i], vector{} + 1);
      const auto f = __builtin_convertvector((signed_vector)at_least_one, float_vector);
      return ((vector)f >> 23) - 127;
    });
  }
  static SKV_INLINE u32 multiply_high(u32 a, u32 b) {
    return each([&](std::uint32_t i) {
#if defined(__AVX2__)
      const auto x = (__m256i)a.part[i], y = (__m256i)b.part[i];
      const auto even = _mm256_srli_epi64(_mm256_mul_epu32(x, y), 32);
      const auto odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32));
      return (vector)_mm256_blend_epi32(even, odd, 0xaa);
#else
      vector high{};
      for (std::uint32_t j = 0; j < kWidth; ++j)
        high[j] = static_cast<std::uint32_t>((std::uint64_t{a.part[i][j]} * b.part[i][j]) >> 32);
      return high;
#endif
    });
  }
  static SKV_INLINE bool any(mask m) {
    signed_vector all = m.part[0];
    for (std::uint32_t i = 1; i < kParts; ++i) all |= m.part[i];
    return bits(all) != 0;
  }
  static SKV_INLINE std::uint32_t sum(u32 a) {
    std::uint32_t s = 0;
    for (const auto& p : a.part)
      for (std::uint32_t j = 0; j < kWidth; ++j) s += p[j];
    return s;
  }

  template <class Pattern>
  static SKV_INLINE u32 load(const std::byte* row, std::uint32_t count) {
    if (count >= kLanes) [[likely]]
      return each([&](std::uint32_t i) {
        return widen<Pattern>(row + std::size_t{i} * kWidth * sizeof(Pattern));
      });
    std::byte padded[kLanes * sizeof(Pattern)] = {};
    std::memcpy(padded, row, count * sizeof(Pattern));
    return each([&](std::uint32_t i) {
      return widen<Pattern>(padded + std::size_t{i} * kWidth * sizeof(Pattern));
    });
  }
  template <class Pattern>
  static SKV_INLINE void store(std::byte* row, std::uint32_t count, u32 a) {
    typedef Pattern narrow __attribute__((vector_size(sizeof(Pattern) * kWidth)));
    std::byte padded[kLanes * sizeof(Pattern)];
    std::byte* to = count >= kLanes ? row : padded;
    for (std::uint32_t i = 0; i < kParts; ++i) {
      const narrow n = __builtin_convertvector(a.part[i], narrow);
      std::memcpy(to + std::size_t{i} * sizeof n, &n, sizeof n);
    }
    if (count < kLanes) [[unlikely]]
      std::memcpy(row, padded, count * sizeof(Pattern));
  }
  static SKV_INLINE u32 lookup(const std::uint32_t* table, u32 at) {
    return each([&](std::uint32_t i) {
#if defined(__AVX2__)
      return (vector)_mm256_i32gather_epi32(reinterpret_cast<const int*>(table),
                                            (__m256i)at.part[i], 4);
#else
      vector r{};
      for (std::uint32_t j = 0; j < kWidth; ++j) r[j] = table[at.part[i][j]];
      return r;
#endif
    });
  }

  // Eight words are loaded, of which the marked lanes take as many as they are. A whole step never
  // reads past 32 words, so only the last steps of a stream need the careful form.
  static SKV_INLINE u32 take(mask m, word_reader& in) {
#if defined(__AVX2__)
    if (in.left() >= kLanes) [[likely]]
      return each([&](std::uint32_t i) {
        const std::uint32_t marked = bits(m.part[i]);
        const auto words = (__m256i)widen<std::uint16_t>(in.next);
        in.next += 2 * std::popcount(marked);
        return (vector)_mm256_and_si256(
            _mm256_permutevar8x32_epi32(words, order(kExpand[marked])), (__m256i)m.part[i]);
      });
#endif
    return take_carefully(m, in);
  }
  // The mirror: words end where the last ones began; what lies below is overwritten later.
  static SKV_INLINE void put(mask m, word_writer& out, u32 a) {
#if defined(__AVX2__)
    if (out.room() >= kLanes) [[likely]] {
#pragma GCC unroll 4
      for (std::uint32_t above = 0; above < kParts; ++above) {
        const std::uint32_t i = kParts - 1 - above;
        const std::uint32_t marked = bits(m.part[i]);
        const auto words =
            _mm256_permutevar8x32_epi32((__m256i)a.part[i], order(kCompress[marked]));
        using narrow = std::uint16_t __attribute__((vector_size(16)));
        const narrow n = __builtin_convertvector((vector)words, narrow);
        std::memcpy(out.next - sizeof n, &n, sizeof n);
        out.next -= 2 * std::popcount(marked);
      }
      return;
    }
#endif
    put_carefully(m, out, a);
  }

  // clang-format off
  friend SKV_INLINE u32 operator+(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] + b.part[i]; }); }
  friend SKV_INLINE u32 operator-(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] - b.part[i]; }); }
  friend SKV_INLINE u32 operator*(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] * b.part[i]; }); }
  friend SKV_INLINE u32 operator&(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] & b.part[i]; }); }
  friend SKV_INLINE u32 operator|(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] | b.part[i]; }); }
  friend SKV_INLINE u32 operator^(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] ^ b.part[i]; }); }
  friend SKV_INLINE u32 operator<<(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] << b.part[i]; }); }
  friend SKV_INLINE u32 operator>>(u32 a, u32 b) { return each([&](std::uint32_t i) { return a.part[i] >> b.part[i]; }); }
  friend SKV_INLINE mask operator==(u32 a, u32 b) { return test([&](std::uint32_t i) { return a.part[i] == b.part[i]; }); }
  friend SKV_INLINE mask operator!=(u32 a, u32 b) { return !(a == b); }
  friend SKV_INLINE mask operator>=(u32 a, u32 b) { return max(a, b) == a; }
  friend SKV_INLINE mask operator<=(u32 a, u32 b) { return max(a, b) == b; }
  friend SKV_INLINE mask operator>(u32 a, u32 b) { return !(a <= b); }
  friend SKV_INLINE mask operator<(u32 a, u32 b) { return !(a >= b); }
  friend SKV_INLINE mask operator&(mask a, mask b) { return test([&](std::uint32_t i) { return a.part[i] & b.part[i]; }); }
  friend SKV_INLINE mask operator|(mask a, mask b) { return test([&](std::uint32_t i) { return a.part[i] | b.part[i]; }); }
  friend SKV_INLINE mask operator!(mask a) { return test([&](std::uint32_t i) { return ~a.part[i]; }); }
  // clang-format on

 private:
  static SKV_INLINE vector max_part(vector a, vector b) {
#if defined(__AVX2__)
    return (vector)_mm256_max_epu32((__m256i)a, (__m256i)b);
#else
    return a < b ? b : a;
#endif
  }

  template <class Pattern>
  static SKV_INLINE vector widen(const std::byte* from) {
    typedef Pattern narrow __attribute__((vector_size(sizeof(Pattern) * kWidth)));
    narrow n;
    std::memcpy(&n, from, sizeof n);
    return __builtin_convertvector(n, vector);
  }

  static SKV_INLINE std::uint32_t bits(signed_vector m) {
#if defined(__AVX2__)
    return static_cast<std::uint32_t>(_mm256_movemask_ps((__m256)m));
#else
    std::uint32_t b = 0;
    for (std::uint32_t j = 0; j < kWidth; ++j) b |= (m[j] & 1u) << j;
    return b;
#endif
  }

  static u32 take_carefully(mask m, word_reader& in) {
    u32 r(0);
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      if (m.part[i / kWidth][i % kWidth] == 0) continue;
      if (in.left() == 0) {
        in.overrun = true;
        continue;
      }
      std::uint16_t word;
      std::memcpy(&word, in.next, 2);
      in.next += 2;
      r.part[i / kWidth][i % kWidth] = word;
    }
    return r;
  }
  static void put_carefully(mask m, word_writer& out, u32 a) {
    for (std::uint32_t i = kLanes; i-- > 0;) {
      if (m.part[i / kWidth][i % kWidth] == 0) continue;
      if (out.room() == 0) {
        out.overrun = true;
        continue;
      }
      const auto word = static_cast<std::uint16_t>(a.part[i / kWidth][i % kWidth]);
      out.next -= 2;
      std::memcpy(out.next, &word, 2);
    }
  }

#if defined(__AVX2__)
  // For every set of marked lanes, eight lane numbers of one byte each.
  struct permutations {
    std::uint64_t of[256];
    constexpr std::uint64_t operator[](std::uint32_t marked) const { return of[marked]; }
  };
  // kExpand: marked lane i receives the word numbered by the marked lanes below it.
  static constexpr permutations make_expand() {
    permutations p{};
    for (std::uint32_t marked = 0; marked < 256; ++marked) {
      std::uint64_t n = 0;
      for (std::uint32_t i = 0; i < 8; ++i)
        if (marked >> i & 1) p.of[marked] |= n++ << (8 * i);
    }
    return p;
  }
  // kCompress: the marked lanes, in order, end at lane 7.
  static constexpr permutations make_compress() {
    permutations p{};
    for (std::uint32_t marked = 0; marked < 256; ++marked) {
      std::uint32_t to = 8 - static_cast<std::uint32_t>(std::popcount(marked));
      for (std::uint32_t i = 0; i < 8; ++i)
        if (marked >> i & 1) p.of[marked] |= std::uint64_t{i} << (8 * to++);
    }
    return p;
  }
  static constexpr permutations kExpand = make_expand();
  static constexpr permutations kCompress = make_compress();

  static SKV_INLINE __m256i order(std::uint64_t lanes_of_bytes) {
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(lanes_of_bytes)));
  }
#endif
};

}  // namespace skv
