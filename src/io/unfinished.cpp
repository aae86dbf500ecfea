#include "io/unfinished.hpp"

#include <unistd.h>

#include <atomic>
#include <cassert>
#include <climits>
#include <csignal>
#include <cstring>

namespace skv::io {
namespace {

/// unused -> filling -> entered -> unused by the owner; entered -> claimed by a signal handler,
/// for ever. Whoever leaves `entered` by compare-and-swap alone may read or change the path.
enum class entry_state { unused, filling, entered, claimed };

}  // namespace

struct unfinished_file::entry {
  std::atomic<entry_state> state = entry_state::filling;
  entry* next = nullptr;
  char path[PATH_MAX] = {};
};

namespace {

using entry = unfinished_file::entry;

// A handler may walk the list at any moment: entries are used again, never freed.
std::atomic<entry*> first_entry = nullptr;
std::atomic<pid_t> owner = 0;
std::atomic_flag ending;

static_assert(std::atomic<entry_state>::is_always_lock_free);
static_assert(std::atomic<entry*>::is_always_lock_free);
static_assert(std::atomic<pid_t>::is_always_lock_free);

entry* take_entry() {
  for (entry* e = first_entry; e != nullptr; e = e->next) {
    auto expected = entry_state::unused;
    if (e->state.compare_exchange_strong(expected, entry_state::filling)) return e;
  }
  auto* const e = new entry;
  e->next = first_entry;
  while (!first_entry.compare_exchange_weak(e->next, e)) {
  }
  return e;
}

bool leave(entry& e, entry_state next) {
  auto expected = entry_state::entered;
  return e.state.compare_exchange_strong(expected, next);
}

}  // namespace

extern "C" {
// Only calls that are safe in a signal handler.
static void remove_unfinished_and_end(int signal_number) {
  if (ending.test_and_set()) return;  // another thread's handler is about to end the program
  if (::getpid() == owner)            // else: forked, and the files are the parent's
    for (entry* e = first_entry; e != nullptr; e = e->next)
      if (leave(*e, entry_state::claimed)) ::unlink(e->path);
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);  // delivered when this handler returns
}
}

void remove_unfinished_on_signals() {
  owner = ::getpid();
  std::signal(SIGXFSZ, SIG_IGN);
  struct sigaction ours = {};
  ours.sa_handler = remove_unfinished_and_end;
  ours.sa_flags = SA_RESTART;
  ::sigfillset(&ours.sa_mask);
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    struct sigaction old = {};
    if (::sigaction(signal_number, nullptr, &old) == 0 && old.sa_handler != SIG_IGN)
      ::sigaction(signal_number, &ours, nullptr);
  }
}

unfinished_file::unfinished_file(const std::filesystem::path& absolute) : entry_(take_entry()) {
  const auto& name = absolute.native();
  assert(name.size() < sizeof entry_->path);
  std::memcpy(entry_->path, name.c_str(), name.size() + 1);
  entry_->state = entry_state::entered;
}

unfinished_file::~unfinished_file() {
  if (entry_ == nullptr) return;
  // Unlinked while still entered: a handler that comes now finds nothing left to do.
  ::unlink(entry_->path);
  release();
}

const char* unfinished_file::path() const { return entry_->path; }

void unfinished_file::release() {
  if (entry* const e = std::exchange(entry_, nullptr)) leave(*e, entry_state::unused);
}

}  // namespace skv::io
