// Threads that share loops, and the instruction set that their loops are compiled for.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <skv/cpu/codec.hpp>

namespace engine {

struct kernels;  // kernels.hpp

/// A team of threads. Whatever their number and the instruction set, results are the same to the
/// last bit: every number is made by one thread, in one order. One loop at a time.
class workers {
 public:
  /// `threads` 0: one per processor. A `set` that is not available falls back to one that is.
  explicit workers(unsigned threads = 0, skv::cpu::isa set = skv::cpu::best_isa());
  ~workers();
  workers(const workers&) = delete;
  workers& operator=(const workers&) = delete;

  unsigned threads() const;
  const engine::kernels& kernels() const { return *kernels_; }

  /// Calls f(i) for i in [0, count), the calling thread among the team. f throws nothing but
  /// std::bad_alloc, which comes out here.
  void for_each(std::size_t count, const std::function<void(std::size_t)>& f);

 private:
  struct team;
  std::unique_ptr<team> team_;
  const engine::kernels* kernels_;
};

}  // namespace engine
