#include "io/unfinished.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/descriptor.hpp"
#include "io/output_file.hpp"
#include "scratch_folder.hpp"

// The cases named _death run in processes of their own.

namespace skv::io {
namespace {

output_file create_or_exit(const std::filesystem::path& path) {
  auto file = output_file::create(path);
  if (!file) ::_exit(100);
  return *std::move(file);
}

void make(unfinished_file& file) {
  const descriptor opened(file.create());
  EXPECT_TRUE(opened);
  EXPECT_TRUE(std::filesystem::exists(file.path()));
}

TEST(unfinished_file, is_removed_unless_released) {
  const scratch_folder folder;
  {
    unfinished_file abandoned(folder / "abandoned");
    unfinished_file finished(folder / "finished");
    EXPECT_EQ(finished.path(), (folder / "finished").string());
    EXPECT_EQ(folder.entries(), 0U);
    make(abandoned);
    make(finished);
    finished.release();
  }
  EXPECT_EQ(folder.entries(), 1U);
  EXPECT_TRUE(std::filesystem::exists(folder / "finished"));
}

TEST(unfinished_file, leaves_a_file_that_it_did_not_make) {
  const scratch_folder folder;
  fill_file(folder / "file", "text");
  { const unfinished_file never_made(folder / "file"); }
  {
    unfinished_file file(folder / "file");
    EXPECT_EQ(file.create(), -1);
    EXPECT_EQ(errno, EEXIST);
  }
  EXPECT_EQ(text_of(folder / "file"), "text");
}

TEST(unfinished_file, moves) {
  const scratch_folder folder;
  unfinished_file a(folder / "a");
  make(a);
  {
    unfinished_file b(folder / "b");
    make(b);
    b = std::move(a);
    EXPECT_EQ(b.path(), (folder / "a").string());
    const unfinished_file moved(std::move(b));
    EXPECT_EQ(moved.path(), (folder / "a").string());
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
}

// What a full disk does: the first write is short, the next one fails. In a process of its own,
// since the limit cannot be taken back.
int write_beyond_the_limit(const std::filesystem::path& path) {
  remove_unfinished_on_signals();  // else SIGXFSZ would end the process
  const rlimit limit{1000, 1000};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
  auto file = output_file::create(path);
  if (!file || !file->append(as_bytes(std::string(600, 'x')))) return 2;
  const auto outcome = file->append(as_bytes(std::string(600, 'x')));
  if (outcome.code() != status::io_error) return 3;
  if (outcome.failure().message != "cannot write to '" + path.string() + "': File too large")
    return 4;
  return file->commit() ? 5 : 0;
}

TEST(unfinished_file_death, no_room_is_an_error) {
  const scratch_folder folder;
  fill_file(folder / "out", "old");
  EXPECT_EXIT(::_exit(write_beyond_the_limit(folder / "out")), testing::ExitedWithCode(0), "");
  EXPECT_EQ(text_of(folder / "out"), "old");
  EXPECT_EQ(folder.entries(), 1U);
}

void die_while_writing(const scratch_folder& folder, int signal_number) {
  remove_unfinished_on_signals();
  output_file finished = create_or_exit(folder / "finished");
  output_file first = create_or_exit(folder / "first");
  output_file second = create_or_exit(folder / "second");
  { output_file abandoned = create_or_exit(folder / "abandoned"); }
  if (!first.append(as_bytes("text")) || !finished.commit()) ::_exit(1);
  std::raise(signal_number);
}

TEST(unfinished_file_death, signals_remove_what_is_unfinished) {
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    const scratch_folder folder;
    EXPECT_EXIT(die_while_writing(folder, signal_number), testing::KilledBySignal(signal_number),
                "");
    EXPECT_EQ(folder.entries(), 1U) << signal_number;
    EXPECT_TRUE(std::filesystem::exists(folder / "finished"));
  }
}

void die_amid_threads(const scratch_folder& folder) {
  remove_unfinished_on_signals();
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&folder, i] {
      for (;;) {
        output_file file = create_or_exit(folder / std::to_string(i));
        if (i % 2 == 0 && !file.append(as_bytes("text"))) ::_exit(1);
      }
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::raise(SIGTERM);
  for (auto& thread : threads) thread.join();
}

TEST(unfinished_file_death, signals_leave_nothing_that_other_threads_make) {
  const scratch_folder folder;
  for (int round = 0; round < 10; ++round) {
    EXPECT_EXIT(die_amid_threads(folder), testing::KilledBySignal(SIGTERM), "");
    EXPECT_EQ(folder.entries(), 0U);
  }
}

TEST(unfinished_file_death, ignored_signals_stay_ignored) {
  const auto survive = [] {
    std::signal(SIGHUP, SIG_IGN);
    remove_unfinished_on_signals();
    std::raise(SIGHUP);
    ::_exit(0);
  };
  EXPECT_EXIT(survive(), testing::ExitedWithCode(0), "");
}

TEST(unfinished_file_death, a_forked_child_leaves_its_parents_files) {
  const scratch_folder folder;
  const auto die_as_a_child = [&folder] {
    remove_unfinished_on_signals();
    output_file file = create_or_exit(folder / "out");
    const pid_t child = ::fork();
    if (child == 0) std::raise(SIGTERM);
    int how = 0;
    if (::waitpid(child, &how, 0) != child || !WIFSIGNALED(how)) ::_exit(1);
    ::_exit(file.commit() ? 0 : 2);
  };
  EXPECT_EXIT(die_as_a_child(), testing::ExitedWithCode(0), "");
  EXPECT_TRUE(std::filesystem::exists(folder / "out"));
}

}  // namespace
}  // namespace skv::io
