// Lanes on AVX-512 vectors of sixteen: masks are registers of their own, and words are compacted
// and expanded by one instruction. For .cpp files only, compiled for AVX-512 (F, BW, DQ, VL, CD,
// VBMI2).
#pragma once

// GCC 12 takes the undefined operand inside these intrinsics for a mistake (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <bit>
#include <cstring>
#include <skv/lanes/lanes.hpp>

namespace skv {

/// `InstructionSet` only makes the type distinct in every file that is compiled for another one.
template <class InstructionSet>
struct avx512_lanes {
  using reader = word_reader;
  using writer = word_writer;
  using table = const std::uint32_t*;
  static constexpr std::uint32_t kWidth = 16, kParts = kLanes / kWidth;
  using vector = std::uint32_t __attribute__((vector_size(4 * kWidth)));
  using signed_vector = std::int32_t __attribute__((vector_size(4 * kWidth)));

  struct mask {
    __mmask16 m;
  };
  struct u32 {
    vector v;
    u32() = default;
    SKV_INLINE u32(vector all) : v(all) {}
    SKV_INLINE u32(__m512i all) : v((vector)all) {}
    SKV_INLINE u32(std::uint32_t all) : v(vector{} + all) {}
    SKV_INLINE operator __m512i() const { return (__m512i)v; }
  };

  static SKV_INLINE u32 index(std::uint32_t part) {
    return vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + part * kWidth;
  }
  static SKV_INLINE u32 min(u32 a, u32 b) { return _mm512_min_epu32(a, b); }
  static SKV_INLINE u32 max(u32 a, u32 b) { return _mm512_max_epu32(a, b); }
  static SKV_INLINE u32 select(mask m, u32 a, u32 b) { return _mm512_mask_mov_epi32(b, m.m, a); }
  static SKV_INLINE u32 zero_unless(mask m, u32 a) { return _mm512_maskz_mov_epi32(m.m, a); }
  static SKV_INLINE u32 signed_shift(u32 a, int count) {
    return (vector)((signed_vector)a.v >> count);
  }
  static SKV_INLINE u32 shift_out(u32 a, u32 n) { return _mm512_srlv_epi32(a, n); }
  static SKV_INLINE u32 shift_left(u32 a, u32 n) { return _mm512_sllv_epi32(a, n); }
  static SKV_INLINE u32 shift_right(u32 a, u32 n) { return a >> (n & 31); }
  // The bytes of a lane in reverse order, and in each the reversed halves.
  static SKV_INLINE u32 reverse_bits(u32 a) {
    const auto lane = [](std::uint32_t first, std::uint32_t second, std::uint32_t third,
                         std::uint32_t fourth) {
      return _mm512_broadcast_i32x4(_mm_set_epi32(static_cast<int>(fourth), static_cast<int>(third),
                                                  static_cast<int>(second),
                                                  static_cast<int>(first)));
    };
    const auto bytes = _mm512_shuffle_epi8(a, lane(0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f));
    const auto nibble = _mm512_set1_epi8(0xf);
    const auto low = _mm512_and_si512(bytes, nibble);
    const auto high = _mm512_and_si512(_mm512_srli_epi32(bytes, 4), nibble);
    return _mm512_or_si512(
        _mm512_shuffle_epi8(lane(0xc0408000, 0xe060a020, 0xd0509010, 0xf070b030), low),
        _mm512_shuffle_epi8(lane(0x0c040800, 0x0e060a02, 0x0d050901, 0x0f070b03), high));
  }
  static SKV_INLINE u32 append_top(u32 a, u32 b, u32 n) { return _mm512_shldv_epi32(a, b, n); }
  static SKV_INLINE u32 or_masked(u32 a, u32 b, std::uint32_t mask) { return a | (b & mask); }
  static SKV_INLINE u32 keep(u32 a) { return a; }
  template <std::uint32_t Bits>
  static SKV_INLINE u32 sign_mask(u32 a) {
    return signed_shift(a << (32 - Bits), 31);
  }
  static SKV_INLINE u32 clip(u32 a, std::uint32_t limit) {
    return _mm512_max_epi32(_mm512_min_epi32(a, u32(limit)), _mm512_setzero_si512());
  }
  static SKV_INLINE mask below(u32 a, u32 b) { return a < b; }
  static SKV_INLINE u32 excess(u32 a, u32 b) {
    return _mm512_max_epi32(u32(a.v - b.v), _mm512_setzero_si512());
  }
  static SKV_INLINE u32 floor_log2(u32 a) { return u32(31) - u32(_mm512_lzcnt_epi32(a)); }
  template <std::uint32_t Bits>
  static SKV_INLINE u32 leading_zeros(u32 a) {
    const u32 zeros = u32(_mm512_lzcnt_epi32(a)) & 31;  // 0 for 0
    return _mm512_subs_epu16(zeros, u32(32 - Bits));    // saturates at 0
  }
  static SKV_INLINE u32 multiply_high(u32 a, u32 b) {
    const auto even = _mm512_srli_epi64(_mm512_mul_epu32(a, b), 32);
    const auto odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    return _mm512_mask_mov_epi32(even, 0xaaaa, odd);
  }
  static SKV_INLINE bool any(mask m) { return m.m != 0; }
  static SKV_INLINE std::uint32_t any_bits(u32 a) {
    return static_cast<std::uint32_t>(_mm512_reduce_or_epi32(a));
  }
  static SKV_INLINE std::uint32_t sum(u32 a) {
    return static_cast<std::uint32_t>(_mm512_reduce_add_epi32(a));
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
    const auto n = narrowed<Pattern>(a);
    static_assert(sizeof n == kWidth * sizeof(Pattern));
    row += part * kWidth * sizeof(Pattern);
    if (count >= (part + 1) * kWidth) [[likely]]
      std::memcpy(row, &n, sizeof n);
    else if (count > part * kWidth)
      std::memcpy(row, &n, (count - part * kWidth) * sizeof(Pattern));
  }
  static SKV_INLINE u32 lookup(const std::uint32_t* table, u32 at) {
    return _mm512_i32gather_epi32(at, table, 4);
  }
  static SKV_INLINE void lookup_pair(const std::uint32_t* table, u32 at, u32& first, u32& second) {
    const auto two = [table](std::uint64_t i) {
      const auto* low = reinterpret_cast<const __m128i*>(table + static_cast<std::uint32_t>(i));
      const auto* high = reinterpret_cast<const double*>(table + (i >> 32));
      return (__m128i)_mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64(low)), high);
    };
    const auto four = [two](__m128i i) {
      return _mm256_set_m128i(two(static_cast<std::uint64_t>(_mm_extract_epi64(i, 1))),
                              two(static_cast<std::uint64_t>(_mm_cvtsi128_si64(i))));
    };
    const auto eight = [four](__m256i i) {
      return _mm512_inserti64x4(_mm512_castsi256_si512(four(_mm256_castsi256_si128(i))),
                                four(_mm256_extracti128_si256(i, 1)), 1);
    };
    const auto a = eight(_mm512_castsi512_si256(at)), b = eight(_mm512_extracti64x4_epi64(at, 1));
    const u32 even = index(0) + index(0);
    first = _mm512_permutex2var_epi32(a, even, b);
    second = _mm512_permutex2var_epi32(a, even + 1, b);
  }

  // Sixteen words are loaded, of which the marked lanes take as many as they are.
  static SKV_INLINE u32 take(mask m, word_reader& in, u32 a) {
    if (in.left() < kWidth) [[unlikely]]
      return select(m, (a << 16) | take_carefully(m, in), a);
    const auto words = widen<std::uint16_t>(in.next);
    in.next += 2 * count(m);
    return select(m, (a << 16) | u32(_mm512_maskz_expand_epi32(m.m, words)), a);
  }
  // The mirror: words end where the last ones began; what lies below is overwritten later.
  static SKV_INLINE void put(mask m, word_writer& out, u32 a) {
    if (out.room() < kWidth) [[unlikely]]
      return put_carefully(m, out, a);
    const std::size_t n = count(m);
    const auto words = _mm256_maskz_compress_epi16(m.m, narrowed<std::uint16_t>(a));
    const auto at_end = _mm256_maskz_expand_epi16(static_cast<__mmask16>(0xffff0000u >> n), words);
    std::memcpy(out.next - sizeof at_end, &at_end, sizeof at_end);
    out.next -= 2 * n;
  }

  friend SKV_INLINE u32 operator+(u32 a, u32 b) { return a.v + b.v; }
  friend SKV_INLINE u32 operator-(u32 a, u32 b) { return a.v - b.v; }
  friend SKV_INLINE u32 operator*(u32 a, u32 b) { return a.v * b.v; }
  friend SKV_INLINE u32 operator&(u32 a, u32 b) { return a.v & b.v; }
  friend SKV_INLINE u32 operator|(u32 a, u32 b) { return a.v | b.v; }
  friend SKV_INLINE u32 operator^(u32 a, u32 b) { return a.v ^ b.v; }
  friend SKV_INLINE u32 operator<<(u32 a, u32 b) { return a.v << b.v; }
  friend SKV_INLINE u32 operator>>(u32 a, u32 b) { return a.v >> b.v; }
  friend SKV_INLINE mask operator==(u32 a, u32 b) { return {_mm512_cmpeq_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator!=(u32 a, u32 b) { return {_mm512_cmpneq_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator>=(u32 a, u32 b) { return {_mm512_cmpge_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator<=(u32 a, u32 b) { return {_mm512_cmple_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator>(u32 a, u32 b) { return {_mm512_cmpgt_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator<(u32 a, u32 b) { return {_mm512_cmplt_epu32_mask(a, b)}; }
  friend SKV_INLINE mask operator&(mask a, mask b) { return {_kand_mask16(a.m, b.m)}; }
  friend SKV_INLINE mask operator|(mask a, mask b) { return {_kor_mask16(a.m, b.m)}; }
  friend SKV_INLINE mask operator!(mask a) { return {_knot_mask16(a.m)}; }

 private:
  static SKV_INLINE std::size_t count(mask m) {
    return static_cast<std::size_t>(std::popcount(static_cast<std::uint32_t>(m.m)));
  }
  template <class Pattern>
  static SKV_INLINE u32 widen(const std::byte* from) {
    if constexpr (sizeof(Pattern) == 1)
      return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    else if constexpr (sizeof(Pattern) == 2)
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    else
      return _mm512_loadu_si512(from);
  }
  template <class Pattern>
  static SKV_INLINE auto narrowed(u32 a) {
    if constexpr (sizeof(Pattern) == 1)
      return _mm512_cvtepi32_epi8(a);
    else if constexpr (sizeof(Pattern) == 2)
      return _mm512_cvtepi32_epi16(a);
    else
      return a.v;
  }

  static u32 take_carefully(mask m, word_reader& in) {
    vector r{};
    for (std::uint32_t j = 0; j < kWidth; ++j) {
      if ((m.m >> j & 1) == 0) continue;
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
      if ((m.m >> j & 1) == 0) continue;
      if (out.room() == 0) {
        out.overrun = true;
        continue;
      }
      const auto word = static_cast<std::uint16_t>(a.v[j]);
      out.next -= 2;
      std::memcpy(out.next, &word, 2);
    }
  }
};

}  // namespace skv
