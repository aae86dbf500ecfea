#include "simt/machine.hpp"

#include <string>
#include <utility>

namespace skv::simt {
namespace {

std::string name_of(meeting what) {
  constexpr const char* kNames[] = {"nothing", "ballot",       "any",       "any_bits",  "sum",
                                    "shuffle", "multiply_add", "sync_warp", "sync_block"};
  return kNames[static_cast<std::size_t>(what)];
}

std::string name_of(const thread_state& t) {
  return "block " + std::to_string(t.block) + " warp " + std::to_string(t.thread / kWarpThreads) +
         " lane " + std::to_string(t.thread % kWarpThreads);
}

std::string to_string(const call_site& site) {
  const std::string path = site.file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(site.line);
}

/// The integer meaning of PTX's mma.m16n8k32 for s8 (PTX ISA, "Matrix Fragments for mma.m16n8k32").
void multiply_add(matrix_operands (&lanes)[kWarpThreads]) {
  constexpr std::uint32_t kRows = 16, kColumns = 8, kInner = 32;
  const auto byte_of = [](std::uint32_t word, std::uint32_t i) {
    return static_cast<std::int8_t>(word >> (8 * i));
  };
  std::int8_t a[kRows][kInner], b[kColumns][kInner];
  for (std::uint32_t row = 0; row < kRows; ++row)
    for (std::uint32_t k = 0; k < kInner; ++k)
      a[row][k] = byte_of(lanes[row % 8 * 4 + k % 16 / 4].a[row / 8 + k / 16 * 2], k % 4);
  for (std::uint32_t k = 0; k < kInner; ++k)
    for (std::uint32_t column = 0; column < kColumns; ++column)
      b[column][k] = byte_of(lanes[column * 4 + k % 16 / 4].b[k / 16], k % 4);
  for (std::uint32_t row = 0; row < kRows; ++row)
    for (std::uint32_t column = 0; column < kColumns; ++column) {
      std::int32_t& sum = lanes[row % 8 * 4 + column / 2].sums[row / 8 * 2 + column % 2];
      auto total = static_cast<std::uint32_t>(sum);
      for (std::uint32_t k = 0; k < kInner; ++k)
        total += static_cast<std::uint32_t>(a[row][k] * b[column][k]);
      sum = static_cast<std::int32_t>(total);
    }
}

}  // namespace

machine::machine(const launch_shape& shape, void (*body)(const void*), const void* kernel)
    : shape_(shape),
      random_(shape.seed),
      blocks_(shape.blocks),
      warps_(std::size_t{shape.blocks} * warps_per_block()) {
  live_ = std::size_t{shape.blocks} * shape.threads_per_block;
  threads_ = std::make_unique<thread_state[]>(live_);
  static thread_local stack_pool stacks;
  stacks.reserve(live_);
  for (std::uint32_t b = 0; b < shape.blocks; ++b)
    blocks_[b].shared = std::make_unique<fenced_bytes>(
        "shared memory of block " + std::to_string(b), shape.shared_bytes, 16, random_.next());
  for (std::size_t i = 0; i < live_; ++i) {
    thread_state& t = threads_[i];
    t.host = this;
    t.block = static_cast<std::uint32_t>(i / shape.threads_per_block);
    t.thread = static_cast<std::uint32_t>(i % shape.threads_per_block);
    t.in_block = &blocks_[t.block];
    t.in_warp = &warps_[i / kWarpThreads];
    t.runner.start(stacks[i], [this, &t, body, kernel] {
      body(kernel);
      finish(t);
    });
  }
  for (warp_state& warp : warps_) make_runnable(warp, ~0u);
}

report machine::run() {
  thread_state* const outer = std::exchange(current, nullptr);
  while (live_ != 0 && report_) {
    if (runnable_.empty())
      fail(outcome::deadlock, "deadlock: no thread can run; " + standstill());
    else if (spinning_ == runnable_threads_)
      fail(outcome::deadlock,
           "deadlock: all threads that can run poll for changes; " + standstill());
    else if (report_.steps == shape_.step_limit)
      fail(outcome::livelock,
           "livelock: no end after " + std::to_string(report_.steps) + " steps; " + standstill());
    if (!report_) break;
    ++report_.steps;
    current = &pick();
    current->runner.resume();
  }
  current = outer;
  check_memory();
  if (!report_) report_.message += " (seed " + std::to_string(shape_.seed) + ")";
  return report_;
}

/// Uniform picks keep all threads about equally far. Bursts, where only a block or a warp runs,
/// let some come far ahead, as on a GPU, and all of them end.
thread_state& machine::pick() {
  const auto any_of = [&](std::size_t count) {
    return random_.below(static_cast<std::uint32_t>(count));
  };
  if (burst_ == 0) {
    burst_ = 1 + random_.below(1u << random_.below(kLogBurst));
    scope_ = static_cast<scope>(random_.below(3));
    focus_ = static_cast<std::uint32_t>(runnable_[any_of(runnable_.size())] - warps_.data());
  }
  --burst_;
  warp_state* warp = nullptr;
  if (scope_ == scope::warp && warps_[focus_].runnable != 0) {
    warp = &warps_[focus_];
  } else if (scope_ == scope::block) {
    const std::uint32_t count = warps_per_block(), first = any_of(count);
    warp_state* const of_block = &warps_[focus_ / count * count];
    for (std::uint32_t i = 0; i < count && warp == nullptr; ++i)
      if (of_block[(first + i) % count].runnable != 0) warp = &of_block[(first + i) % count];
  }
  if (warp == nullptr) {
    if (scope_ != scope::all) burst_ = 0;
    warp = runnable_[any_of(runnable_.size())];
  }
  const int turn = static_cast<int>(random_.below(kWarpThreads));
  const int bit = std::countr_zero(std::rotr(warp->runnable, turn));
  const auto lane = static_cast<std::size_t>((bit + turn) % static_cast<int>(kWarpThreads));
  return threads_[static_cast<std::size_t>(warp - warps_.data()) * kWarpThreads + lane];
}

void machine::poll(thread_state& t, const call_site& site, const void* at) {
  if (t.polled != at) ++epoch_, spinning_ = 0;  // it walks on
  if (t.polls_epoch != epoch_ || t.polled != at) t.polls = 0;
  t.polled = at;
  t.polls_epoch = epoch_;
  if (++t.polls == kPolls) ++spinning_;
  yield(t, site, false);
}

void machine::meet(thread_state& t, meeting what, const call_site& site) {
  warp_state& warp = *t.in_warp;
  block_state& block = *t.in_block;
  const auto here = [&] { return std::string(name_of(what)) + " (" + to_string(site) + ")"; };
  ++epoch_, spinning_ = 0;
  t.site = site;
  if (warp.waiting == 0) {
    warp.what = what;
    warp.site = site;
  } else if (warp.what != what || !(warp.site == site)) {
    fail(outcome::divergence, "divergence: " + name_of(t) + " comes to " + here() +
                                  " while lanes of its warp wait at " + name_of(warp.what) + " (" +
                                  to_string(warp.site) + ")");
  }
  if (warp.ended != 0)
    fail(outcome::divergence, "divergence: " + name_of(t) + " comes to " + here() +
                                  " after lanes of its warp have ended");
  else if (what == meeting::sync_block && block.ended != 0)
    fail(outcome::divergence, "divergence: " + name_of(t) + " comes to " + here() +
                                  " after threads of its block have ended");
  ++warp.waiting;
  stop_running(warp, 1u << t.thread % kWarpThreads);
  if (what == meeting::sync_block) {
    if (++block.waiting == shape_.threads_per_block) {
      block.waiting = 0;
      for (std::uint32_t i = 0; i < warps_per_block(); ++i)
        complete(warps_[std::size_t{t.block} * warps_per_block() + i]);
    }
  } else if (warp.waiting == kWarpThreads) {
    complete(warp);
  }
  t.runner.pause();
}

/// All have come: results, and everybody may run.
void machine::complete(warp_state& warp) {
  std::uint32_t votes = 0, bits = 0, total = 0, brought[kWarpThreads];
  for (std::uint32_t i = 0; i < kWarpThreads; ++i) {
    brought[i] = warp.values[i];
    votes |= std::uint32_t{brought[i] != 0} << i;
    bits |= brought[i];
    total += brought[i];
  }
  for (std::uint32_t i = 0; i < kWarpThreads; ++i) switch (warp.what) {
      case meeting::ballot: warp.values[i] = votes; break;
      case meeting::any: warp.values[i] = votes != 0; break;
      case meeting::any_bits: warp.values[i] = bits; break;
      case meeting::sum: warp.values[i] = total; break;
      case meeting::shuffle: warp.values[i] = brought[warp.sources[i]]; break;
      default: break;
    }
  if (warp.what == meeting::multiply_add) multiply_add(warp.matrices);
  warp.waiting = 0;
  warp.what = meeting::none;
  make_runnable(warp, ~0u);
}

void machine::finish(thread_state& t) {
  ++epoch_, spinning_ = 0;
  --live_;
  ++t.in_warp->ended;
  ++t.in_block->ended;
  stop_running(*t.in_warp, 1u << t.thread % kWarpThreads);
  if (t.in_warp->waiting != 0)
    fail(outcome::divergence,
         "divergence: " + name_of(t) + " ends while lanes of its warp wait at " +
             name_of(t.in_warp->what) + " (" + to_string(t.in_warp->site) + ")");
  else if (t.in_block->waiting != 0)
    fail(outcome::divergence,
         "divergence: " + name_of(t) + " ends while threads of its block wait at sync_block");
}

void machine::make_runnable(warp_state& warp, std::uint32_t lanes) {
  if (warp.runnable == 0) {
    warp.place = static_cast<std::uint32_t>(runnable_.size());
    runnable_.push_back(&warp);
  }
  runnable_threads_ += static_cast<std::size_t>(std::popcount(lanes & ~warp.runnable));
  warp.runnable |= lanes;
}

void machine::stop_running(warp_state& warp, std::uint32_t lanes) {
  runnable_threads_ -= static_cast<std::size_t>(std::popcount(lanes & warp.runnable));
  warp.runnable &= ~lanes;
  if (warp.runnable != 0) return;
  runnable_[warp.place] = runnable_.back();
  runnable_[warp.place]->place = warp.place;
  runnable_.pop_back();
}

void machine::fail(outcome what, std::string message) {
  if (!report_) return;  // the first error is the cause
  report_.what = what;
  report_.message = std::move(message);
}

/// Where threads that have not ended are: one of each place.
std::string machine::standstill() const {
  std::vector<std::pair<std::string, std::size_t>> places;
  for (std::size_t i = 0; i < std::size_t{shape_.blocks} * shape_.threads_per_block; ++i) {
    const thread_state& t = threads_[i];
    if (t.runner.finished()) continue;
    const bool runs = t.in_warp->runnable >> t.thread % kWarpThreads & 1;
    const std::string place =
        t.site.line == 0 ? "has not come to a scheduling point"
                         : (runs ? "runs from " : "waits at " + name_of(t.in_warp->what) + " ") +
                               to_string(t.site);
    bool known = false;
    for (auto& [text, others] : places)
      if (text.ends_with(place)) {
        ++others;
        known = true;
        break;
      }
    if (!known && places.size() < 8) places.emplace_back(name_of(t) + " " + place, 0);
  }
  std::string text;
  for (const auto& [place, others] : places)
    text += (text.empty() ? "" : "; ") + place +
            (others == 0 ? "" : " (and " + std::to_string(others) + " more)");
  return text;
}

void machine::check_memory() {
  std::string text;
  std::size_t told = 0;
  const auto check = [&](fenced_bytes& bytes) {
    const std::string damage = bytes.damage();
    if (damage.empty() || ++told > 4) return;  // all blocks may have the same
    text += (text.empty() ? "" : "; ") + damage;
  };
  for (block_state& block : blocks_) check(*block.shared);
  for (fenced_bytes* bytes : live_buffers()) check(*bytes);
  if (told == 0) return;
  if (told > 4) text += "; and " + std::to_string(told - 4) + " more";
  if (report_) report_.what = outcome::overrun;
  report_.message += (report_.message.empty() ? "" : "; ") + text;
}

}  // namespace skv::simt
