#include <skv/skv.h>

#include <cstring>

namespace {

// Not a string: a thread out of memory must be able to say so.
thread_local char last_message[512] = "";

}  // namespace

const char* skv_last_error(void) { return last_message; }

void skv_set_last_error(const char* message) {
  const size_t length = message == nullptr ? 0 : strnlen(message, sizeof last_message - 1);
  if (length != 0) std::memmove(last_message, message, length);  // it may be the same
  last_message[length] = 0;
}
