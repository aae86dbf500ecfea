// Instructions that work on registers alone. Semantics as in NVIDIA's "PTX ISA", version 9.0.
#include <algorithm>
#include <functional>

#include "ptx/instructions.hpp"
#include "ptx/operands.hpp"

namespace skv::ptx {
namespace {

// --- arithmetic ---------------------------------------------------------------------------------

// Modulo 2^64, of which the type's bits are taken.
struct plus {
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const { return a + b; }
};
struct minus {
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const { return a - b; }
};
struct times {
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const { return a * b; }
};
struct multiply_add {
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b, std::uint64_t c) const {
    return a * b + c;
  }
};
struct negate {
  std::uint64_t operator()(std::uint64_t a) const { return 0 - a; }
};
struct absolute {
  template <class T>
  std::uint64_t operator()(T a) const {
    return a < 0 ? 0 - static_cast<std::uint64_t>(a) : static_cast<std::uint64_t>(a);
  }
};
struct multiply_high {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const {
    return static_cast<std::uint32_t>((std::uint64_t{a} * b) >> 32);
  }
};
// Of unsigned numbers. By zero, the result is unspecified.
struct quotient {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const { return b == 0 ? ~0u : a / b; }
};
struct remainder {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const { return b == 0 ? a : a % b; }
};
struct minimum {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct maximum {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};

/// mul.wide: to twice the bits.
template <class T, class Wide>
void multiply_wide(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    d[l] = bits(static_cast<Wide>(Wide{static_cast<T>(a[l])} * Wide{static_cast<T>(b[l])}));
  });
}
template <class To, class From>
void convert(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto& a = w[i.from[0]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const auto converted = static_cast<To>(static_cast<From>(a[l]));
    d[l] = truncated(static_cast<std::uint64_t>(converted), i.to_bits[0]);
  });
}

// --- choices ------------------------------------------------------------------------------------

template <class T, class F>
void compare(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = F{}(static_cast<T>(a[l]), static_cast<T>(b[l])); });
}
template <class T>
void select(warp& w, const instruction& i, std::uint32_t lanes) {
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    d[l] = bits(static_cast<T>(w[i.from[is_true(w, i, 2, l) ? 0 : 1]][l]));
  });
}

void move_predicate(warp& w, const instruction& i, std::uint32_t lanes) {
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = is_true(w, i, 0, l); });
}

// --- moves --------------------------------------------------------------------------------------

/// mov of a vector into one register, the first number lowest.
void pack(warp& w, const instruction& i, std::uint32_t lanes) {
  auto& d = w[i.to[0]];
  const unsigned width = i.to_bits[0] / i.count;
  each(lanes, [&](std::uint32_t l) {
    std::uint64_t packed = 0;
    for (unsigned k = 0; k < i.count; ++k)
      packed |= truncated(w[i.from[k]][l], width) << (width * k);
    d[l] = packed;
  });
}
void unpack(warp& w, const instruction& i, std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) {
    std::uint64_t packed = w[i.from[0]][l];
    for (unsigned k = 0; k < i.count; ++k) {
      w[i.to[k]][l] = truncated(packed, i.to_bits[k]);
      packed >>= i.to_bits[k];
    }
  });
}
template <class T>
void move(warp& w, const instruction& i, std::uint32_t lanes) {
  unary<T, std::identity>(w, i, lanes);
}

run_function multiply_wide_of(const std::string& type) {
  if (type == "u16") return &multiply_wide<std::uint16_t, std::uint32_t>;
  if (type == "u32") return &multiply_wide<std::uint32_t, std::uint64_t>;
  if (type == "s32") return &multiply_wide<std::int32_t, std::int64_t>;
  return nullptr;
}
template <class F>
run_function compare_of(const std::string& type) {
  return with_type(type, []<class T>() -> run_function { return &compare<T, F>; });
}
run_function comparison(const std::string& how, const std::string& type) {
  if (how == "eq") return compare_of<std::equal_to<>>(type);
  if (how == "ne") return compare_of<std::not_equal_to<>>(type);
  if (how == "lt") return compare_of<std::less<>>(type);
  if (how == "le") return compare_of<std::less_equal<>>(type);
  if (how == "gt") return compare_of<std::greater<>>(type);
  if (how == "ge") return compare_of<std::greater_equal<>>(type);
  return nullptr;
}

}  // namespace

run_function on_registers(const std::string& name, const std::string& type) {
  if (name == "add") return binary_of<plus>(type);
  if (name == "sub") return binary_of<minus>(type);
  if (name == "mul.lo") return binary_of<times>(type);
  if (name == "mul.wide") return multiply_wide_of(type);
  if (name == "mul.hi" && type == "u32") return &binary<std::uint32_t, multiply_high>;
  if (name == "mad.lo")
    return with_type(type, []<class T>() -> run_function { return &ternary<T, multiply_add>; });
  if (name == "div" && type == "u32") return &binary<std::uint32_t, quotient>;
  if (name == "rem" && type == "u32") return &binary<std::uint32_t, remainder>;
  if (name == "min") return binary_of<minimum>(type);
  if (name == "max") return binary_of<maximum>(type);
  if (name == "neg") return unary_of<negate>(type);
  if (name == "abs") return unary_of<absolute>(type);
  if (name == "selp") return with_type(type, []<class T>() -> run_function { return &select<T>; });
  if (name.starts_with("setp.")) return comparison(name.substr(5), type);
  if (name == "mov")
    return type == "pred" ? &move_predicate
                          : with_type(type, []<class T>() -> run_function { return &move<T>; });
  if (name.starts_with("cvt."))
    return with_type(name.substr(4), [&]<class To>() -> run_function {
      return with_type(type, []<class From>() -> run_function { return &convert<To, From>; });
    });
  return nullptr;
}

run_function move_of_vector(bool from_one) { return from_one ? &unpack : &pack; }

}  // namespace skv::ptx
