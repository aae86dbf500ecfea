// What every call has in common: exceptions end here, and the thread remembers the message.
#pragma once

#include <skv/skv.h>

#include <exception>
#include <new>
#include <skv/base/status.hpp>
#include <stdexcept>
#include <type_traits>

namespace skv::c_api {

/// The failure that the exception being handled stands for.
inline error current_failure() noexcept {
  // Short enough for std::string to need no memory.
  constexpr const char* no_memory = "out of memory";
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      return fail(status::out_of_memory, no_memory);
    } catch (const std::length_error&) {  // a container that no address space holds
      return fail(status::out_of_memory, no_memory);
    } catch (const std::exception& e) {
      return fail(status::io_error, e.what());
    }
  } catch (...) {
    return fail(status::out_of_memory, no_memory);
  }
}

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

/// The whole of a function with a status: remembers the outcome for skv_last_error.
template <class F>
// NOLINTNEXTLINE(bugprone-exception-escape): asks for the failure only if there is one
skv_status call(const F& f) noexcept {
  const result<done> outcome = attempt(f);
  skv_set_last_error(outcome ? nullptr : outcome.failure().message.c_str());
  return static_cast<skv_status>(outcome.code());
}

}  // namespace skv::c_api
