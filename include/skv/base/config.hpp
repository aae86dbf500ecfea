// Every macro of the library. Device annotations fall back to plain inline, so that
// the text of a kernel also compiles, and is tested, as C++.
#pragma once

#define SKV_VERSION_MAJOR 0
#define SKV_VERSION_MINOR 1
#define SKV_VERSION_PATCH 0

namespace skv {
/// The version of the headers.
inline constexpr const char kVersion[] = {
    '0' + SKV_VERSION_MAJOR, '.', '0' + SKV_VERSION_MINOR, '.', '0' + SKV_VERSION_PATCH, 0};
static_assert(SKV_VERSION_MAJOR < 10 && SKV_VERSION_MINOR < 10 && SKV_VERSION_PATCH < 10);
}  // namespace skv

#if defined(__CUDACC__)
#define SKV_HOST_DEVICE __host__ __device__
#define SKV_DEVICE __device__ __forceinline__
#else
#define SKV_HOST_DEVICE
#define SKV_DEVICE inline
#endif

// Loops over the parts of a step: unrolled, their arrays live in registers.
#if defined(__CUDACC__)
#define SKV_UNROLL _Pragma("unroll")
#elif defined(__clang__)
#define SKV_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__AVX2__)
#define SKV_UNROLL _Pragma("GCC unroll 4")
#else
#define SKV_UNROLL
#endif

// Loops over the steps of a group: on a GPU they are code, which has no arrays; elsewhere the parts
// of one step are enough.
#if defined(__CUDACC__)
#define SKV_PRAGMA(text) _Pragma(#text)
#define SKV_UNROLL_STEPS(count) SKV_PRAGMA(unroll(count))
#else
#define SKV_UNROLL_STEPS(count)
#endif

// Lane arithmetic is only fast when every operator dissolves into its caller, which is slow to compile: it is
// not forced where nothing is optimised, nor in the reference lanes' translation unit (SKV_ISA_SCALAR).
#if (defined(__GNUC__) || defined(__clang__)) && defined(__OPTIMIZE__) && !defined(SKV_ISA_SCALAR)
#define SKV_DISSOLVES
#endif
#if defined(__CUDACC__)
#define SKV_INLINE SKV_HOST_DEVICE __forceinline__
#elif defined(SKV_DISSOLVES)
#define SKV_INLINE __attribute__((always_inline)) inline
#else
#define SKV_INLINE inline
#endif

// The same for a lambda, behind its parameters.
#if defined(SKV_DISSOLVES)
#define SKV_INLINE_LAMBDA __attribute__((always_inline))
#else
#define SKV_INLINE_LAMBDA
#endif
