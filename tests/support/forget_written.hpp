// Lets tests on the stand-in for the CUDA runtime (tests/stand_in) find reads of what nobody has written.
#pragma once

#include <cstddef>

/// Null in programs that the stand-in is not linked to.
extern "C" [[gnu::weak]] void skv_forget_written(void* at, std::size_t bytes);

namespace skv::test {

/// What lies there, within one allocation, counts as never written; its bytes stay.
inline void forget_written(void* at, std::size_t bytes) {
  if (skv_forget_written != nullptr) skv_forget_written(at, bytes);
}

}  // namespace skv::test
