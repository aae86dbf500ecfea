// Types and operands of instructions.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "ptx/warp.hpp"

namespace skv::ptx {

/// The bits of a number, zeros above.
template <class T>
std::uint64_t bits(T number) {
  return static_cast<std::make_unsigned_t<T>>(number);
}
inline std::uint64_t truncated(std::uint64_t a, unsigned width) {
  return width >= 64 ? a : a & ((std::uint64_t{1} << width) - 1);
}

/// Calls f.operator()<T>() for the type of this name; null if it has none.
template <class F>
run_function with_type(const std::string& name, F f) {
  if (name == "u8" || name == "b8") return f.template operator()<std::uint8_t>();
  if (name == "u16" || name == "b16") return f.template operator()<std::uint16_t>();
  if (name == "u32" || name == "b32") return f.template operator()<std::uint32_t>();
  if (name == "u64" || name == "b64") return f.template operator()<std::uint64_t>();
  if (name == "s8") return f.template operator()<std::int8_t>();
  if (name == "s16") return f.template operator()<std::int16_t>();
  if (name == "s32") return f.template operator()<std::int32_t>();
  if (name == "s64") return f.template operator()<std::int64_t>();
  return nullptr;
}

/// A predicate among the sources.
inline bool is_true(warp& w, const instruction& i, std::uint32_t source, std::uint32_t lane) {
  return (w[i.from[source]][lane] != 0) != (i.negated >> source & 1);
}

// What most instructions are: a function F of as many numbers of type T.

template <class T, class F>
void unary(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto& a = w[i.from[0]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = bits(static_cast<T>(F{}(static_cast<T>(a[l])))); });
}
template <class T, class F>
void binary(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    d[l] = bits(static_cast<T>(F{}(static_cast<T>(a[l]), static_cast<T>(b[l]))));
  });
}
template <class T, class F>
void ternary(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]], &c = w[i.from[2]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    d[l] =
        bits(static_cast<T>(F{}(static_cast<T>(a[l]), static_cast<T>(b[l]), static_cast<T>(c[l]))));
  });
}

template <class F>
run_function binary_of(const std::string& type) {
  return with_type(type, []<class T>() -> run_function { return &binary<T, F>; });
}
template <class F>
run_function unary_of(const std::string& type) {
  return with_type(type, []<class T>() -> run_function { return &unary<T, F>; });
}

}  // namespace skv::ptx
