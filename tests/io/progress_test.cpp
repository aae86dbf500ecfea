#include "io/progress.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "scratch_folder.hpp"

namespace skv::io {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(progress_line, shows_percent_and_rate) {
  EXPECT_EQ(progress_line("compressing", 3, 4, 1.0), " 75%   0.00 GB/s  compressing");
  EXPECT_EQ(progress_line("x", 8'000'000'000, 16'000'000'000, 2.0), " 50%   4.00 GB/s  x");
  EXPECT_EQ(progress_line("x", 123'450'000'000, 123'450'000'000, 1.0), "100%  123.45 GB/s  x");
}

TEST(progress_line, takes_odd_numbers) {
  EXPECT_EQ(progress_line("x", 0, 0, 0.0), "100%   0.00 GB/s  x");
  EXPECT_EQ(progress_line("x", 0, 10, 0.0), "  0%   0.00 GB/s  x");
  EXPECT_EQ(progress_line("x", 11, 10, 1.0), "100%   0.00 GB/s  x");
  EXPECT_EQ(progress_line("x", 999'999, 1'000'000, 1.0), " 99%   0.00 GB/s  x");
  const std::uint64_t huge = ~std::uint64_t{0};
  EXPECT_THAT(progress_line("x", huge - 1, huge, 1e-9), HasSubstr("%"));
}

TEST(progress_line, fits_a_narrow_terminal) {
  EXPECT_EQ(progress_line(std::string(200, 'w'), 1, 2, 1.0).size(), 79U);
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xbc";
  const std::string line = progress_line(umlauts, 1, 2, 1.0);
  EXPECT_LE(line.size(), 79U);
  EXPECT_THAT(line, EndsWith("\xbc"));
}

/// Puts another file in the place of stderr.
class stderr_swap {
 public:
  explicit stderr_swap(int fd) : saved_(::dup(STDERR_FILENO)) { ::dup2(fd, STDERR_FILENO); }
  stderr_swap(const stderr_swap&) = delete;
  stderr_swap& operator=(const stderr_swap&) = delete;
  ~stderr_swap() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

void work(std::chrono::milliseconds time) {
  progress bar("compressing", 1000);
  bar.add(250);
  std::this_thread::sleep_for(time);
  bar.add(250);
}

TEST(progress, is_silent_when_stderr_is_a_file) {
  const scratch_folder folder;
  const int fd = ::open((folder / "log").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  {
    const stderr_swap swap(fd);
    work(550ms);
  }
  ::close(fd);
  EXPECT_EQ(text_of(folder / "log"), "");
}

class progress_on_a_terminal : public testing::Test {
 protected:
  void SetUp() override {
    master = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0)
      GTEST_SKIP() << "no pseudo terminals here";
    slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
    ASSERT_GE(slave, 0);
  }
  void TearDown() override {
    ::close(slave);
    ::close(master);
  }

  /// What the terminal has received; the kernel hands it on with some delay and in pieces.
  std::string shown() const {
    std::string text;
    char piece[4096];
    pollfd ready = {master, POLLIN, 0};
    while (::poll(&ready, 1, 100) == 1) {
      const ssize_t size = ::read(master, piece, sizeof piece);
      if (size <= 0) break;
      text.append(piece, static_cast<std::size_t>(size));
    }
    return text;
  }

  int master = -1, slave = -1;
};

TEST_F(progress_on_a_terminal, shows_long_work_and_clears_its_line) {
  {
    const stderr_swap swap(slave);
    work(550ms);
  }
  const std::string text = shown();
  EXPECT_THAT(text, StartsWith("\r 50%   0.00 GB/s  compressing"));
  EXPECT_THAT(text, EndsWith("\r" + std::string(29, ' ') + "\r"));
}

TEST_F(progress_on_a_terminal, is_silent_about_short_work) {
  {
    const stderr_swap swap(slave);
    work(0ms);
  }
  EXPECT_EQ(shown(), "");
}

TEST_F(progress_on_a_terminal, counts_from_many_threads) {
  {
    const stderr_swap swap(slave);
    progress bar("compressing", 8000);
    std::vector<std::thread> threads;
    threads.reserve(8);
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&bar] {
        for (int j = 0; j < 700; ++j) {
          bar.add(1);
          std::this_thread::sleep_for(1ms);
        }
      });
    for (auto& thread : threads) thread.join();
    std::this_thread::sleep_for(150ms);  // until the next line is due
    bar.add(2400);
  }
  EXPECT_THAT(shown(), HasSubstr("100%"));
}

}  // namespace
}  // namespace skv::io
