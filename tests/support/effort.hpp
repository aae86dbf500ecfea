// How much of an exhaustive loop to run: all of it, or a part where every step costs many times
// more.
#pragma once

#include <cstdint>

#if defined(__has_feature)
#define SKV_TEST_HAS_FEATURE(x) __has_feature(x)
#else
#define SKV_TEST_HAS_FEATURE(x) 0
#endif

namespace skv::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__) || \
    SKV_TEST_HAS_FEATURE(address_sanitizer) || SKV_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kSlowBuild = true;
#else
inline constexpr bool kSlowBuild = false;
#endif

/// The stride of an exhaustive loop: 1, or in slow builds a prime.
inline constexpr std::uint32_t kStride = kSlowBuild ? 13 : 1;

}  // namespace skv::test
