#include "io/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace skv::io {
namespace {

using namespace std::chrono_literals;

constexpr auto kFirstPrint = 500ms;
constexpr auto kInterval = 100ms;
constexpr std::size_t kMaxWidth = 79;  // a longer line could wrap and would not be overwritten

}  // namespace

std::string progress_line(std::string_view what, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, double seconds) {
  const double part = done_bytes >= total_bytes
                          ? 1.0
                          : static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  const double rate = seconds > 0 ? static_cast<double>(done_bytes) / seconds / 1e9 : 0.0;
  char numbers[64];
  // Rounded down: 100% means done.
  std::snprintf(numbers, sizeof numbers, "%3d%%  %5.2f GB/s  ", static_cast<int>(part * 100), rate);
  std::string line = numbers;
  line += what;
  if (line.size() > kMaxWidth) {
    std::size_t end = kMaxWidth;
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;  // UTF-8
    line.resize(end);
  }
  return line;
}

progress::progress(std::string_view what, std::uint64_t total_bytes)
    : what_(what),
      total_bytes_(total_bytes),
      shown_(::isatty(STDERR_FILENO) == 1),
      start_(clock::now()),
      next_print_((start_ + kFirstPrint).time_since_epoch().count()) {}

progress::~progress() {
  // Spaces, since not every terminal knows the escape sequence that clears a line.
  if (printed_width_ > 0) std::fprintf(stderr, "\r%*s\r", static_cast<int>(printed_width_), "");
}

void progress::add(std::uint64_t bytes) {
  const std::uint64_t done_bytes = done_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (!shown_) return;
  const auto now = clock::now();
  if (now.time_since_epoch().count() < next_print_.load(std::memory_order_relaxed)) return;
  const std::unique_lock only_one(printing_, std::try_to_lock);
  if (!only_one) return;  // another thread is just printing
  next_print_.store((now + kInterval).time_since_epoch().count(), std::memory_order_relaxed);

  std::string line = progress_line(what_, done_bytes, total_bytes_,
                                   std::chrono::duration<double>(now - start_).count());
  const std::size_t width = line.size();
  line.resize(std::max(width, printed_width_), ' ');  // over what was longer before
  printed_width_ = width;
  std::fprintf(stderr, "\r%s", line.c_str());
}

}  // namespace skv::io
