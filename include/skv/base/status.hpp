// What can go wrong, and how a host function says so.
#pragma once

#include <cassert>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace skv {

/// One outcome per tile, file or call. The values are part of the C ABI and of docs/format.md:
/// they are never renumbered, and of several outcomes the largest is the one reported.
enum class status : std::uint8_t {
  ok = 0,
  does_not_fit = 1,      ///< the output is larger than the capacity given for it
  invalid_argument = 2,  ///< a shape, format or pointer that the call does not accept
  unsupported = 3,       ///< well formed, but from a newer version or an unknown predictor
  io_error = 4,          ///< the operating system refused to read or write
  truncated = 5,         ///< the input ends before what it announces
  corrupt = 6,           ///< bytes that no encoder writes, or a checksum that differs
  wrong_profile = 7,     ///< the profile is not the one that the data were coded with
  wrong_prediction = 8,  ///< the prediction is not the one that the data were coded with
  out_of_memory = 9,     ///< the C ABI only: C++ functions throw std::bad_alloc
};

/// The name of a status, as in the enumeration.
constexpr std::string_view to_string(status s) {
  switch (s) {
    case status::ok: return "ok";
    case status::does_not_fit: return "does_not_fit";
    case status::invalid_argument: return "invalid_argument";
    case status::unsupported: return "unsupported";
    case status::io_error: return "io_error";
    case status::truncated: return "truncated";
    case status::corrupt: return "corrupt";
    case status::wrong_profile: return "wrong_profile";
    case status::wrong_prediction: return "wrong_prediction";
    case status::out_of_memory: return "out_of_memory";
  }
  return "unknown status";
}

/// The worse of two outcomes.
constexpr status worse(status a, status b) { return a < b ? b : a; }

/// A failure and a sentence that names its cause.
struct error {
  status code = status::ok;
  std::string message;
};

/// A value, or the error that kept it from being made.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(error e) : state_(std::in_place_index<1>, std::move(e)) {
    assert(failure().code != status::ok);
  }

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }

  const error& failure() const { return std::get<1>(state_); }
  status code() const { return *this ? status::ok : failure().code; }

 private:
  std::variant<T, error> state_;
};

/// Success without a value.
struct done {};

inline error fail(status code, std::string message) { return {code, std::move(message)}; }

}  // namespace skv
