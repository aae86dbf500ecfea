// Instructions that move bits. Semantics as in NVIDIA's "PTX ISA", version 9.0.
#include <algorithm>
#include <functional>

#include "ptx/instructions.hpp"
#include "ptx/operands.hpp"

namespace skv::ptx {
namespace {

/// and, or, xor of predicates, which may be negated.
template <class F>
void logic(warp& w, const instruction& i, std::uint32_t lanes) {
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = F{}(is_true(w, i, 0, l), is_true(w, i, 1, l)) & 1; });
}
void logic_not(warp& w, const instruction& i, std::uint32_t lanes) {
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = !is_true(w, i, 0, l); });
}
/// Counts of 32 bits, from the type's width on all bits are gone.
template <class T>
void shift_left(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const auto n = static_cast<std::uint32_t>(b[l]);
    d[l] = n < 8 * sizeof(T) ? truncated(a[l] << n, 8 * sizeof(T)) : 0;
  });
}
template <class T>
void shift_right(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const auto n = static_cast<std::uint32_t>(b[l]);
    const auto v = static_cast<T>(a[l]);
    constexpr std::uint32_t kLast = 8 * sizeof(T) - 1;
    d[l] = n <= kLast || std::is_signed_v<T> ? bits(static_cast<T>(v >> std::min(n, kLast))) : 0;
  });
}

/// shf: of a pair, b above a, 32 bits shifted.
template <bool kLeft, bool kClamp>
void funnel_shift(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]], &c = w[i.from[2]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const auto count = static_cast<std::uint32_t>(c[l]);
    const std::uint32_t n = kClamp ? std::min(count, 32u) : count & 31;
    const std::uint64_t both = b[l] << 32 | truncated(a[l], 32);
    d[l] = truncated(kLeft ? (both << n) >> 32 : both >> n, 32);
  });
}
void permute(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]], &c = w[i.from[2]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const std::uint64_t both = b[l] << 32 | truncated(a[l], 32);
    std::uint64_t made = 0;
    for (int byte = 0; byte < 4; ++byte) {
      const std::uint64_t selector = c[l] >> (4 * byte);
      std::uint64_t value = both >> (8 * (selector & 7)) & 0xff;
      if (selector & 8) value = value & 0x80 ? 0xff : 0;
      made |= value << (8 * byte);
    }
    d[l] = made;
  });
}
/// lop3: bit 4a + 2b + c of the table, for each bit.
void logic_of_three(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]], &c = w[i.from[2]], &table = w[i.from[3]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    std::uint64_t made = 0;
    for (int at = 0; at < 8; ++at) {
      if (!(table[l] >> at & 1)) continue;
      made |= (at & 4 ? a[l] : ~a[l]) & (at & 2 ? b[l] : ~b[l]) & (at & 1 ? c[l] : ~c[l]);
    }
    d[l] = truncated(made, 32);
  });
}
/// bfi: a into b, at bit c, so many bits.
void insert_bits(warp& w, const instruction& i, std::uint32_t lanes) {
  const auto &a = w[i.from[0]], &b = w[i.from[1]], &c = w[i.from[2]], &length = w[i.from[3]];
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) {
    const unsigned at = c[l] & 0xff, n = length[l] & 0xff;
    const std::uint64_t field = at > 31 ? 0 : truncated(truncated(~std::uint64_t{0}, n) << at, 32);
    d[l] = (truncated(b[l], 32) & ~field) | ((at > 31 ? 0 : a[l] << at) & field);
  });
}
struct count_ones {
  int operator()(std::uint32_t a) const { return std::popcount(a); }
};
struct reverse_bits {
  std::uint32_t operator()(std::uint32_t a) const {
    a = (a >> 1 & 0x55555555) | (a & 0x55555555) << 1;
    a = (a >> 2 & 0x33333333) | (a & 0x33333333) << 2;
    a = (a >> 4 & 0x0f0f0f0f) | (a & 0x0f0f0f0f) << 4;
    a = (a >> 8 & 0x00ff00ff) | (a & 0x00ff00ff) << 8;
    return a >> 16 | a << 16;
  }
};
/// bfind: the place of the highest one; shiftamt: how far it is from the top. All ones for 0.
struct highest_one {
  std::uint32_t operator()(std::uint32_t a) const {
    return a == 0 ? ~0u : 31 - static_cast<std::uint32_t>(std::countl_zero(a));
  }
};
struct distance_of_highest_one {
  std::uint32_t operator()(std::uint32_t a) const {
    return a == 0 ? ~0u : static_cast<std::uint32_t>(std::countl_zero(a));
  }
};

template <class F>
run_function logic_of(const std::string& type) {
  return type == "pred" ? &logic<F> : binary_of<F>(type);
}

}  // namespace

run_function on_bits(const std::string& name, const std::string& type) {
  if (name == "and") return logic_of<std::bit_and<>>(type);
  if (name == "or") return logic_of<std::bit_or<>>(type);
  if (name == "xor") return logic_of<std::bit_xor<>>(type);
  if (name == "not") return type == "pred" ? &logic_not : unary_of<std::bit_not<>>(type);
  if (name == "shl")
    return with_type(type, []<class T>() -> run_function { return &shift_left<T>; });
  if (name == "shr")
    return with_type(type, []<class T>() -> run_function { return &shift_right<T>; });
  if (name == "shf.l.wrap") return &funnel_shift<true, false>;
  if (name == "shf.l.clamp") return &funnel_shift<true, true>;
  if (name == "shf.r.wrap") return &funnel_shift<false, false>;
  if (name == "shf.r.clamp") return &funnel_shift<false, true>;
  if (name == "prmt") return &permute;
  if (name == "lop3") return &logic_of_three;
  if (name == "bfi" && type == "b32") return &insert_bits;
  if (name == "popc" && type == "b32") return &unary<std::uint32_t, count_ones>;
  if (name == "brev" && type == "b32") return &unary<std::uint32_t, reverse_bits>;
  if (name == "bfind" && type == "u32") return &unary<std::uint32_t, highest_one>;
  if (name == "bfind.shiftamt" && type == "u32")
    return &unary<std::uint32_t, distance_of_highest_one>;
  return nullptr;
}

}  // namespace skv::ptx
