// The benchmarks of linear propagation.
#pragma once

#include <benchmark/benchmark.h>

#include "device_linear.hpp"
#include "device_run.hpp"

namespace skv::bench {

class linear_runs {
 public:
  /// `pages` is asked when the first benchmark runs.
  linear_runs(bench_device& device, std::size_t mib, const page_set* (*pages)())
      : device_(device), mib_(mib), pages_(pages) {}

  /// They refer to this object.
  void register_all();
  /// Gives back what is on the device, before it goes.
  void forget() { subject_.reset(); }

 private:
  void run(benchmark::State& state, std::uint32_t items, linear_work what, bool with_linear);
  linear_subject& made_for(std::uint32_t items);

  bench_device& device_;
  std::size_t mib_;
  const page_set* (*pages_)();
  std::unique_ptr<linear_subject> subject_;
  std::uint32_t items_ = 0;
  std::string wrong_;  ///< why the subject cannot be timed
};

}  // namespace skv::bench
