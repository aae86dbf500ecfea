#include "engine/workers.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "engine/kernels.hpp"

namespace engine {

struct workers::team {
  std::mutex guard;
  std::condition_variable starts, ends;
  std::uint64_t loops = 0;  // begun
  bool closes = false;
  const std::function<void(std::size_t)>* body = nullptr;
  std::size_t count = 0;
  std::atomic<std::size_t> next = 0;
  std::size_t busy = 0;
  std::exception_ptr failure;
  std::vector<std::thread> others;

  void work() {
    try {
      for (std::size_t i; (i = next++) < count;) (*body)(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(guard);
      if (!failure) failure = std::current_exception();
    }
  }

  void wait_for_loops() {
    std::uint64_t seen = 0;
    std::unique_lock lock(guard);
    while (true) {
      starts.wait(lock, [&] { return closes || loops != seen; });
      if (closes) return;
      seen = loops;
      lock.unlock();
      work();
      lock.lock();
      if (--busy == 0) ends.notify_one();
    }
  }
};

workers::workers(unsigned threads, skv::cpu::isa set)
    : team_(std::make_unique<team>()),
      kernels_(&kernels_for(skv::cpu::is_available(set) ? set : skv::cpu::best_isa())) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  team_->others.reserve(threads - 1);  // so that none is lost half-way
  try {
    for (unsigned i = 1; i < threads; ++i)
      team_->others.emplace_back([t = team_.get()] { t->wait_for_loops(); });
  } catch (const std::system_error&) {
    // No more threads to be had: those that there are do it all.
  }
}

workers::~workers() {
  {
    const std::lock_guard lock(team_->guard);
    team_->closes = true;
  }
  team_->starts.notify_all();
  for (std::thread& t : team_->others) t.join();
}

unsigned workers::threads() const { return static_cast<unsigned>(team_->others.size()) + 1; }

void workers::for_each(std::size_t count, const std::function<void(std::size_t)>& f) {
  team& t = *team_;
  if (count < 2 || t.others.empty()) {
    for (std::size_t i = 0; i < count; ++i) f(i);
    return;
  }
  {
    const std::lock_guard lock(t.guard);
    t.body = &f;
    t.count = count;
    t.next = 0;
    t.busy = t.others.size();
    ++t.loops;
  }
  t.starts.notify_all();
  t.work();
  std::unique_lock lock(t.guard);
  t.ends.wait(lock, [&] { return t.busy == 0; });
  if (auto failure = std::exchange(t.failure, nullptr)) std::rethrow_exception(failure);
}

}  // namespace engine
