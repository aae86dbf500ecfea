#include "io/unfinished.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

namespace skv::io {
namespace {

/// The owner goes unused -> named -> making -> made -> unused (or back to named, if no file could
/// be made); a signal handler goes made -> claimed, for ever, and then alone may remove the file.
/// It reads no path in another state, so that an owner may fill in a new one.
enum class entry_state { unused, named, making, made, claimed };

}  // namespace

struct unfinished_file::entry {
  std::atomic<entry_state> state = entry_state::named;
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
    if (e->state.compare_exchange_strong(expected, entry_state::named)) return e;
  }
  auto* const e = new entry;
  e->next = first_entry;
  while (!first_entry.compare_exchange_weak(e->next, e)) {
  }
  return e;
}

bool change(entry& e, entry_state from, entry_state to) {
  return e.state.compare_exchange_strong(from, to);
}

}  // namespace

extern "C" {
// Only calls that are safe in a signal handler.
static void remove_unfinished_and_end(int signal_number) {
  if (ending.test_and_set()) return;  // another thread's handler is about to end the program
  if (::getpid() == owner) {          // else: forked, and the files are the parent's
    for (entry* e = first_entry; e != nullptr; e = e->next) {
      // Another thread's open() is over in no time; but it may hang in a network file system.
      for (int i = 0; i < 1000 && e->state == entry_state::making; ++i) {
        const timespec millisecond = {0, 1'000'000};
        ::nanosleep(&millisecond, nullptr);
      }
      if (change(*e, entry_state::made, entry_state::claimed)) ::unlink(e->path);
    }
  }
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
}

unfinished_file::~unfinished_file() {
  if (entry_ == nullptr) return;
  // Removed while still `made`: a handler that comes in between finds nothing left to do.
  if (entry_->state == entry_state::made) ::unlink(entry_->path);
  release();
}

int unfinished_file::create() {
  // A handler waits for entries that are `making`, and so must not interrupt this very thread.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  entry_->state = entry_state::making;
  // Either this thread sees `ending`, or the handler, which sets it first, sees `making`.
  const bool too_late = ending.test();
  const int fd = too_late ? -1 : ::open(entry_->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  const int reason = errno;
  entry_->state = fd >= 0 ? entry_state::made : entry_state::named;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (too_late)
    for (;;) ::pause();  // the program ends
  errno = reason;
  return fd;
}

const char* unfinished_file::path() const { return entry_->path; }

void unfinished_file::release() {
  if (entry* const e = std::exchange(entry_, nullptr))
    if (!change(*e, entry_state::named, entry_state::unused))
      change(*e, entry_state::made, entry_state::unused);
}

}  // namespace skv::io
