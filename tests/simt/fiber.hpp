// Fibers on Boost.Context, and what the sanitizers must be told about them.
#pragma once

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "support/effort.hpp"

namespace skv::simt {

/// Does AddressSanitizer end the program at the first access of a red zone?
#if defined(__SANITIZE_ADDRESS__) || SKV_TEST_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif

struct stack_span {
  std::byte* bottom = nullptr;
  std::size_t size = 0;
};

/// Stacks of one size, each above a forbidden page, kept from launch to launch.
class stack_pool {
 public:
  stack_pool() = default;
  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;
  ~stack_pool() { clear(); }

  void reserve(std::size_t count) {
    if (count <= count_) return;
    clear();
    void* const p = mmap(nullptr, count * kStride, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(p);
    count_ = count;
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    for (std::size_t i = 0; i < count; ++i)
      if (mprotect(base_ + i * kStride, page, PROT_NONE) != 0) throw std::bad_alloc();
  }

  /// Tops are staggered: at equal distances all stacks would share the same few cache sets.
  stack_span operator[](std::size_t i) const {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return {base_ + i * kStride + page, kStride - page - i % 16 * 256};
  }

 private:
  static constexpr std::size_t kStride = (kAddressSanitizer ? 512u : 128u) << 10;

  void clear() {
    if (base_ != nullptr) munmap(base_, count_ * kStride);
    base_ = nullptr;
    count_ = 0;
  }

  std::byte* base_ = nullptr;
  std::size_t count_ = 0;
};

/// A function that runs on a stack of its own and may pause. One that is not finished is dropped,
/// not unwound: what runs in it owns nothing, as on a GPU.
class fiber {
 public:
  fiber() : inner_() {}
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
  ~fiber() {
    if (inner_) ASAN_UNPOISON_MEMORY_REGION(stack_.bottom, stack_.size);
  }

  /// `body` runs at the first resume().
  template <class Body>
  void start(stack_span stack, Body body) {
    stack_ = stack;
    namespace context = boost::context;
    context::stack_context in;
    in.sp = stack.bottom + stack.size;
    in.size = stack.size;
    const auto run = [this, body](context::fiber&& caller) {
      caller_ = &caller;
      arrived(nullptr);
      body();
      leave(nullptr);
      return std::move(caller);
    };
    inner_ = context::fiber(std::allocator_arg, context::preallocated(in.sp, in.size, in),
                            borrowed_stack{}, run);
  }

  /// From outside: runs it until it pauses or ends.
  void resume() {
    void* fake_stack = nullptr;
    enter(&fake_stack);
    inner_ = std::move(inner_).resume();
    returned(fake_stack);
  }

  /// From inside: back to where resume() was called.
  void pause() {
    void* fake_stack = nullptr;
    leave(&fake_stack);
    *caller_ = std::move(*caller_).resume();
    arrived(fake_stack);
  }

  bool finished() const { return !inner_; }

 private:
  struct borrowed_stack {
    void deallocate(boost::context::stack_context&) const noexcept {}
  };

  // The sanitizer must know the stack; `fake` is its record of the one that is left.
  void enter(void** fake) {
    if constexpr (kAddressSanitizer)
      __sanitizer_start_switch_fiber(fake, stack_.bottom, stack_.size);
  }
  void arrived(void* fake) {
    if constexpr (kAddressSanitizer)
      __sanitizer_finish_switch_fiber(fake, &caller_bottom_, &caller_size_);
  }
  void leave(void** fake) {
    if constexpr (kAddressSanitizer)
      __sanitizer_start_switch_fiber(fake, caller_bottom_, caller_size_);
  }
  void returned(void* fake) {
    if constexpr (kAddressSanitizer) __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
  }

  stack_span stack_;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
  boost::context::fiber* caller_ = nullptr;  // lies on the fiber's own stack
  // Its destructor would unwind by an exception, through functions that may be noexcept.
  union {
    boost::context::fiber inner_;  // NOLINT(readability-identifier-naming): private too
  };
};

}  // namespace skv::simt
