// Counts what operator new hands out. Include it in one source file of an executable only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace skv::test {

inline std::atomic<std::size_t> allocated = 0, most_allocated = 0;

/// The most memory that was held at once since this object was made, beyond what was held then.
class allocation_peak {
 public:
  allocation_peak() : before_(allocated) { most_allocated = before_; }
  std::size_t bytes() const { return most_allocated - before_; }

 private:
  std::size_t before_;
};

}  // namespace skv::test

// The size stands before the block, where delete finds it. Not inlined: where one of the two is and the other is not,
// GCC 14 takes them for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  constexpr std::size_t kHead = alignof(std::max_align_t);
  auto* block = static_cast<std::size_t*>(std::malloc(size + kHead));
  if (block == nullptr) throw std::bad_alloc();
  *block = size;
  const std::size_t now = skv::test::allocated += size;
  for (std::size_t most = skv::test::most_allocated;
       most < now && !skv::test::most_allocated.compare_exchange_weak(most, now);) {
  }
  return reinterpret_cast<char*>(block) + kHead;
}
[[gnu::noinline]] void operator delete(void* p) noexcept {
  if (p == nullptr) return;
  auto* block = reinterpret_cast<std::size_t*>(static_cast<char*>(p) - alignof(std::max_align_t));
  skv::test::allocated -= *block;
  std::free(block);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
