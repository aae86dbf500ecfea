// What every call has in common: exceptions end here, and the thread remembers the message.
#pragma once

#include <skv/skv.h>

#include <skv/base/status.hpp>
#include <type_traits>

namespace skv::c_api {

/// The failure that the exception being handled stands for.
error current_failure() noexcept;

/// Calls f, which returns a result<done>; what it throws becomes a failure.
template <class F>
// NOLINTNEXTLINE(bugprone-exception-escape): the string of a failure caught here is a short one
result<done> attempt(const F& f) noexcept {
  static_assert(std::is_same_v<std::invoke_result_t<F>, result<done>>);
  try {
    return f();
  } catch (...) {
    return current_failure();
  }
}

/// Remembers the outcome for skv_last_error and returns its status.
// NOLINTNEXTLINE(bugprone-exception-escape): asks for the failure only if there is one
skv_status finish(const result<done>& outcome) noexcept;

/// The whole of a function with a status.
template <class F>
skv_status call(const F& f) noexcept {
  return finish(attempt(f));
}

/// The message of the last call of this thread.
const char* last_message() noexcept;

}  // namespace skv::c_api
