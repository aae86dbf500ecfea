// The device functions of kernels as C++: each CUDA thread is a fiber of simt::launch(). All but the
// indices and shared() are scheduling points. `site` is for messages; kernels leave it out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "simt/machine.hpp"

namespace skv::device {

using simt::call_site;

inline std::uint32_t thread() { return simt::current->thread; }
inline std::uint32_t lane() { return thread() % simt::kWarpThreads; }
inline std::uint32_t threads() { return simt::current->host->shape().threads_per_block; }
inline std::uint32_t block() { return simt::current->block; }
inline std::uint32_t blocks() { return simt::current->host->shape().blocks; }
/// The block's dynamic shared memory; aligned to 16 bytes.
inline std::byte* shared() { return simt::current->in_block->shared->data(); }

namespace detail {

inline std::uint32_t meet(simt::meeting what, const call_site& site, std::uint32_t value = 0,
                          std::uint32_t source = 0) {
  simt::thread_state& t = *simt::current;
  t.in_warp->values[lane()] = value;
  t.in_warp->sources[lane()] = source;
  t.host->meet(t, what, site);
  return t.in_warp->values[lane()];
}

/// Others run before it and after it: its order to the plain accesses around it is seen.
template <class T, class Change>
T atomically(T* at, const call_site& site, Change change) {
  simt::thread_state& t = *simt::current;
  t.host->yield(t, site);
  const T old = *at;
  *at = change(old);
  t.host->yield(t, site);
  return old;
}

}  // namespace detail

// Of the warp: all 32 lanes take part, always.
inline std::uint32_t warp(call_site site = call_site::current()) {
  return detail::meet(simt::meeting::shuffle, site, thread() / simt::kWarpThreads);
}
inline std::uint32_t ballot(bool vote, call_site site = call_site::current()) {
  return detail::meet(simt::meeting::ballot, site, vote);
}
inline bool any(bool vote, call_site site = call_site::current()) {
  return detail::meet(simt::meeting::any, site, vote) != 0;
}
/// The bits that any lane has.
inline std::uint32_t any_bits(std::uint32_t value, call_site site = call_site::current()) {
  return detail::meet(simt::meeting::any_bits, site, value);
}
/// Modulo 2^32.
inline std::uint32_t sum(std::uint32_t value, call_site site = call_site::current()) {
  return detail::meet(simt::meeting::sum, site, value);
}
/// The `value` of lane `from_lane` modulo 32.
inline std::uint32_t shuffle(std::uint32_t value, std::uint32_t from_lane,
                             call_site site = call_site::current()) {
  return detail::meet(simt::meeting::shuffle, site, value, from_lane % simt::kWarpThreads);
}
template <class T>
inline T* global(T* address) {
  if (simt::current != nullptr && simt::current->in_block->shared->holds(address)) {
    std::fprintf(stderr, "an address of shared memory is taken for one of device memory\n");
    std::abort();
  }
  return address;
}
template <class T>
inline T* keep(T* address) {
  return global(address);
}

inline void sync_warp(call_site site = call_site::current()) {
  detail::meet(simt::meeting::sync_warp, site);
}
/// All threads of the block take part.
inline void sync_block(call_site site = call_site::current()) {
  detail::meet(simt::meeting::sync_block, site);
}

/// Of the warp, as include/skv/lanes/device.cuh says.
inline void multiply_add(std::int32_t (&sums)[4], const std::uint32_t (&a)[4],
                         const std::uint32_t (&b)[2], call_site site = call_site::current()) {
  simt::matrix_operands& m = simt::current->in_warp->matrices[lane()];
  std::copy_n(a, 4, m.a);
  std::copy_n(b, 2, m.b);
  std::copy_n(sums, 4, m.sums);
  detail::meet(simt::meeting::multiply_add, site);
  std::copy_n(m.sums, 4, sums);
}

/// Copies as late as they may: bytes are there after the wait, and not before.
inline void copy_async(std::byte* to, const std::byte* from) {
  simt::current->copies.push_back({to, from, simt::current->copy_groups});
}
inline void commit_copies() { ++simt::current->copy_groups; }
template <unsigned kLeft>
void wait_copies() {
  simt::thread_state& t = *simt::current;
  std::erase_if(t.copies, [&](const simt::pending_copy& c) {
    if (c.group + kLeft >= t.copy_groups) return false;
    std::memcpy(c.to, c.from, simt::pending_copy::kBytes);
    return true;
  });
}

// Each returns the old value.
inline std::uint32_t atomic_add(std::uint32_t* at, std::uint32_t value,
                                call_site site = call_site::current()) {
  return detail::atomically(at, site, [value](std::uint32_t old) { return old + value; });
}
inline std::uint64_t atomic_add(std::uint64_t* at, std::uint64_t value,
                                call_site site = call_site::current()) {
  return detail::atomically(at, site, [value](std::uint64_t old) { return old + value; });
}
inline std::uint32_t atomic_max(std::uint32_t* at, std::uint32_t value,
                                call_site site = call_site::current()) {
  return detail::atomically(at, site,
                            [value](std::uint32_t old) { return old < value ? value : old; });
}
inline std::uint32_t atomic_compare_exchange(std::uint32_t* at, std::uint32_t expected,
                                             std::uint32_t desired,
                                             call_site site = call_site::current()) {
  return detail::atomically(at, site,
                            [=](std::uint32_t old) { return old == expected ? desired : old; });
}
inline std::uint64_t atomic_compare_exchange(std::uint64_t* at, std::uint64_t expected,
                                             std::uint64_t desired,
                                             call_site site = call_site::current()) {
  return detail::atomically(at, site,
                            [=](std::uint64_t old) { return old == expected ? desired : old; });
}

inline std::uint64_t load_acquire(const std::uint64_t* at, call_site site = call_site::current()) {
  simt::thread_state& t = *simt::current;
  t.host->poll(t, site, at);
  const std::uint64_t value = *at;
  t.host->yield(t, site, false);
  return value;
}
inline void store_release(std::uint64_t* at, std::uint64_t value,
                          call_site site = call_site::current()) {
  detail::atomically(at, site, [value](std::uint64_t) { return value; });
}

}  // namespace skv::device
