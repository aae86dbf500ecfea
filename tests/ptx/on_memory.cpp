// Instructions that load and store, and address. Semantics as in NVIDIA's "PTX ISA", version 9.0.
#include <functional>

#include "ptx/instructions.hpp"
#include "ptx/operands.hpp"

namespace skv::ptx {
namespace {

template <class T>
void load(warp& w, const instruction& i, std::uint32_t lanes) {
  w.count(i, lanes, sizeof(T) * i.count, false);
  each(lanes, [&](std::uint32_t l) {
    const std::size_t bytes = sizeof(T) * i.count;
    const std::byte* from = i.space == memory_space::param ? w.parameter(w.address(i, l), bytes)
                                                           : w.place(i, l, bytes, access::load);
    for (unsigned k = 0; k < i.count; ++k, from += sizeof(T)) {
      T value;
      std::memcpy(&value, from, sizeof(T));
      w[i.to[k]][l] = truncated(static_cast<std::uint64_t>(value), i.to_bits[k]);
    }
  });
}
template <class T>
void store(warp& w, const instruction& i, std::uint32_t lanes) {
  w.count(i, lanes, sizeof(T) * i.count, true);
  each(lanes, [&](std::uint32_t l) {
    std::byte* to = w.place(i, l, sizeof(T) * i.count, access::store);
    for (unsigned k = 0; k < i.count; ++k, to += sizeof(T)) {
      const auto value = static_cast<T>(w[i.from[1 + k]][l]);
      std::memcpy(to, &value, sizeof(T));
    }
  });
}
template <class T>
T& atomic_place(warp& w, const instruction& i, std::uint32_t l) {
  return *reinterpret_cast<T*>(w.place(i, l, sizeof(T), access::update));
}
template <class T, class F>
void atomic(warp& w, const instruction& i, std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) {
    T& place = atomic_place<T>(w, i, l);
    const T before = place;
    place = static_cast<T>(F{}(before, static_cast<T>(w[i.from[1]][l])));
    w[i.to[0]][l] = bits(before);
  });
}
template <class T>
void compare_and_swap(warp& w, const instruction& i, std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) {
    T& place = atomic_place<T>(w, i, l);
    const T before = place;
    if (before == static_cast<T>(w[i.from[1]][l])) place = static_cast<T>(w[i.from[2]][l]);
    w[i.to[0]][l] = bits(before);
  });
}
void copy_async(warp& w, const instruction& i, std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) {
    if (w[i.from[2]][l] != pending_copy::kBytes || w[i.from[3]][l] != pending_copy::kBytes)
      throw fault(outcome::overrun, "cp.async of other than 16 bytes");
    w.begin_copy(l, w.address(i, l), w[i.from[1]][l]);
  });
}
void commit_copies(warp& w, const instruction&, std::uint32_t lanes) { w.commit_copies(lanes); }
void wait_copies(warp& w, const instruction& i, std::uint32_t lanes) {
  w.wait_copies(lanes, w[i.from[0]][static_cast<unsigned>(std::countr_zero(lanes))]);
}

}  // namespace

known_instruction on_memory(const std::string& all, const std::vector<std::string>& name) {
  // An address of device memory is the same without its space.
  if (all == "cvta.to.global.u64") return {&unary<std::uint64_t, std::identity>};
  if (all == "cp.async.cg.shared.global") return {&copy_async};
  if (all == "cp.async.commit_group") return {&commit_copies};
  if (all == "cp.async.wait_group") return {&wait_copies};
  if (name[0] != "ld" && name[0] != "st" && name[0] != "atom") return {};

  // Orders and scopes change nothing: all accesses come one after the other.
  known_instruction k;
  std::string operation;
  for (std::size_t at = 1; at + 1 < name.size(); ++at) {
    const std::string& word = name[at];
    if (word == "global")
      k.space = memory_space::global;
    else if (word == "shared")
      k.space = memory_space::shared;
    else if (word == "local")
      k.space = memory_space::local;
    else if (word == "param")
      k.space = memory_space::param;
    else if (word == "v2" || word == "v4")
      k.count = static_cast<std::uint8_t>(word[1] - '0');
    else if (word == "add" || word == "cas")
      operation = word;
    else if (word != "relaxed" && word != "acquire" && word != "release" && word != "gpu")
      return {};
  }
  k.run = with_type(name.back(), [&]<class T>() -> run_function {
    if (name[0] == "ld") return &load<T>;
    if (name[0] == "st") return &store<T>;
    if (operation == "add") return &atomic<T, std::plus<>>;
    return operation == "cas" ? &compare_and_swap<T> : nullptr;
  });
  return k;
}

}  // namespace skv::ptx
