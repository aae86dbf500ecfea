#include "device_linear_runs.hpp"

#include <algorithm>

namespace skv::bench {

linear_subject& linear_runs::made_for(std::uint32_t items) {
  if (subject_ != nullptr && items_ == items && device_.arena.user() == subject_.get())
    return *subject_;
  subject_.reset();
  subject_ = std::make_unique<linear_subject>(items, *pages_(), device_.arena);
  items_ = items;
  wrong_ = subject_->fits() ? subject_->verify() : "the device has too little memory";
  device_.all_came_back &= !subject_->fits() || wrong_.empty();
  return *subject_;
}

void linear_runs::run(benchmark::State& state, std::uint32_t items, linear_work what,
                      bool with_linear) {
  const page_set& pages = *pages_();
  if (items == 0)
    items = static_cast<std::uint32_t>(
        std::max<std::size_t>(1, (mib_ << 19) / (pages.page_bytes * pages.geometry.layers)));
  linear_subject& s = made_for(items);
  if (!wrong_.empty()) return state.SkipWithError(wrong_.c_str());
  // What is decoded must have been encoded with the same means.
  if (what == linear_work::decode) s.run(linear_work::encode, with_linear);
  double seconds = 0;
  for (auto _ : state) {
    const float milliseconds = milliseconds_of(s.stream(), [&] { s.run(what, with_linear); });
    state.SetIterationTime(milliseconds * 1e-3);
    seconds += milliseconds * 1e-3;
  }
  const auto raw = static_cast<double>(s.raw_bytes());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(s.raw_bytes()));
  state.counters["copy_percent"] =
      100 * raw * static_cast<double>(state.iterations()) / (device_.copy_rate * seconds);
  if (with_linear)
    state.counters["int8"] =
        benchmark::Counter(s.multiply_adds(), benchmark::Counter::kIsIterationInvariantRate);
}

void linear_runs::register_all() {
  constexpr std::pair<linear_work, const char*> kWorks[] = {{linear_work::pass, "pass"},
                                                            {linear_work::encode, "encode"},
                                                            {linear_work::decode, "decode"}};
  for (const std::uint32_t items : {0u, request_pages(mib_)})
    for (const auto& [what, work] : kWorks)
      for (const bool with_linear : {true, false}) {
        if (what == linear_work::pass && !with_linear) continue;
        std::string name = std::string("linear/") + work + "/bf16/given/";
        name += items == 0 ? "all" : "request";
        if (what != linear_work::pass) name += with_linear ? "/with" : "/without";
        benchmark::RegisterBenchmark(name.c_str(),
                                     [this, items, work = what, with_linear](auto& state) {
                                       run(state, items, work, with_linear);
                                     })
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond)
            ->Iterations(iterations(mib_, items == 0 ? 1 : 20))
            ->Repetitions(repetitions(mib_))
            ->ReportAggregatesOnly();
      }
}

}  // namespace skv::bench
