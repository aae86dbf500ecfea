// Structures that begin with their size, from callers older and newer than this library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <skv/base/status.hpp>
#include <string>
#include <type_traits>

namespace skv::c_api {

/// Larger ones are taken for a struct_size that was never set.
inline constexpr std::size_t kMaxStructBytes = 4096;

template <class T>
bool is_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % alignof(T) == 0;
}

/// Is there a T, of `required` bytes at least, at p? Fails with invalid_argument; `what` names it.
template <class T>
result<done> check_sized(const T* p, std::size_t required, const char* what) {
  if (p == nullptr) return fail(status::invalid_argument, std::string(what) + ": null pointer");
  if (!is_aligned(p))
    return fail(status::invalid_argument, std::string(what) + ": misaligned pointer");
  if (p->struct_size < required || p->struct_size > kMaxStructBytes)
    return fail(status::invalid_argument, std::string(what) + ": its struct_size is " +
                                              std::to_string(p->struct_size) + ", not " +
                                              std::to_string(sizeof(T)));
  return done{};
}

/// The T at p, which check_sized accepts; zeros where the caller's ends early. Fails with
/// unsupported if the caller's is longer, and not zero there.
template <class T>
result<T> read_sized(const T* p, const char* what) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* bytes = reinterpret_cast<const unsigned char*>(p);
  if (p->struct_size > sizeof(T) && std::any_of(bytes + sizeof(T), bytes + p->struct_size,
                                                [](unsigned char b) { return b != 0; }))
    return fail(status::unsupported,
                std::string(what) + ": a member that this version does not know is not zero");
  T value{};
  std::memcpy(&value, p, std::min(p->struct_size, sizeof(T)));
  return value;
}

/// Both.
template <class T>
result<T> take_sized(const T* p, std::size_t required, const char* what) {
  if (const auto ok = check_sized(p, required, what); !ok) return ok.failure();
  return read_sized(p, what);
}

/// Gives `value` back to a caller who set struct_size of *p: as much as there is room for, zeros
/// beyond.
template <class T>
void write_sized(T* p, T value) {
  const std::size_t room = p->struct_size;
  value.struct_size = room;
  std::memcpy(p, &value, std::min(room, sizeof(T)));
  if (room > sizeof(T)) std::memset(reinterpret_cast<char*>(p) + sizeof(T), 0, room - sizeof(T));
}

}  // namespace skv::c_api
