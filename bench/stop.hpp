// How a benchmark ends that cannot go on.
#pragma once

#include <skv/base/status.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

namespace skv::bench {

/// Says why, and ends the program.
[[noreturn]] inline void stop(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

/// The value, or the program's end.
template <class T>
T value_of(result<T> r) {
  if (!r) stop(r.failure().message);
  return *std::move(r);
}

}  // namespace skv::bench
