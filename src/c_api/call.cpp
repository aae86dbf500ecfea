#include "call.hpp"

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>

namespace skv::c_api {
namespace {

// Not a string: a thread out of memory must be able to say so.
thread_local char message[512] = "";

}  // namespace

error current_failure() noexcept {
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

// NOLINTNEXTLINE(bugprone-exception-escape): asks for the failure only if there is one
skv_status finish(const result<done>& outcome) noexcept {
  message[0] = 0;
  if (outcome) return SKV_OK;
  const error& e = outcome.failure();
  const std::size_t length = std::min(e.message.size(), sizeof message - 1);
  message[std::copy_n(e.message.data(), length, message) - message] = 0;
  return static_cast<skv_status>(e.code);
}

const char* last_message() noexcept { return message; }

}  // namespace skv::c_api
