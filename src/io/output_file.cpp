#include "io/output_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include "io/messages.hpp"

namespace skv::io {
namespace {

constexpr std::size_t kMaxWriteBytes = std::size_t{1} << 30;  // some systems refuse 2 GiB
constexpr int kMaxAttempts = 16;

/// Does not hold the final name, which may already be as long as names can be.
std::string temporary_name() {
  std::random_device random;
  std::string name = ".skv-unfinished-";
  for (int i = 0; i < 2; ++i) {
    std::array<char, 8> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), random() & 0xffffffffU, 16).ptr;
    name.append(digits.begin(), end);
  }
  return name;
}

const char* kind_that_is_refused(mode_t mode) {
  if (S_ISREG(mode)) return nullptr;
  if (S_ISDIR(mode)) return "it is a directory";
  if (S_ISLNK(mode)) return "it is a symbolic link; give the name of a regular file";
  return "it is not a regular file";
}

error refusal(const std::filesystem::path& path, const char* why) {
  return fail(status::io_error, "cannot write to " + in_quotes(path.native()) + ": " + why);
}

}  // namespace

output_file::output_file(std::filesystem::path final_path, unfinished_file temporary,
                         descriptor file)
    : final_path_(std::move(final_path)),
      temporary_(std::move(temporary)),
      file_(std::move(file)) {}

result<output_file> output_file::create(const std::filesystem::path& final_path) {
  if (!final_path.has_filename()) return refusal(final_path, "it names no file");
  struct stat info = {};
  if (::lstat(final_path.c_str(), &info) == 0) {
    if (const char* why = kind_that_is_refused(info.st_mode)) return refusal(final_path, why);
  } else if (errno != ENOENT) {
    return system_failure("cannot write to", final_path, errno);
  }

  // Absolute, since the program may change its working folder before the file is finished.
  std::error_code failure;
  const auto absolute = std::filesystem::absolute(final_path, failure);
  if (failure) return system_failure("cannot write to", final_path, failure.value());

  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const auto name = absolute.parent_path() / temporary_name();
    if (name.native().size() >= PATH_MAX)
      return system_failure("cannot write to", final_path, ENAMETOOLONG);
    unfinished_file temporary(name);
    descriptor file(temporary.create());
    const int reason = errno;
    if (file) return output_file(absolute, std::move(temporary), std::move(file));
    if (reason != EEXIST && reason != EINTR)
      return system_failure("cannot create a temporary file beside", final_path, reason);
  }
  return system_failure("cannot create a temporary file beside", final_path, EEXIST);
}

result<done> output_file::append(std::span<const std::byte> bytes) {
  return write_at(size_, bytes);
}

result<done> output_file::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  constexpr std::uint64_t kMaxSize = std::numeric_limits<off_t>::max();
  const auto failed = [this](int reason) {
    complete_ = false;
    return system_failure("cannot write to", final_path_, reason);
  };
  if (!file_) return failed(EBADF);  // committed, or moved from
  if (offset > kMaxSize || bytes.size() > kMaxSize - offset) return failed(EFBIG);
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(file_.get(), bytes.data(), std::min(bytes.size(), kMaxWriteBytes),
                 static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed(written < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
    size_ = std::max(size_, offset);
  }
  return done{};
}

result<done> output_file::commit() {
  if (!file_) return refusal(final_path_, "the file is already closed");
  if (!complete_) return refusal(final_path_, "an earlier write failed");
  // EINTR counts: it says that what a network file system held back may not have been written.
  if (const int reason = file_.close())
    return system_failure("cannot finish writing to", final_path_, reason);
  if (std::rename(temporary_.path(), final_path_.c_str()) != 0)
    return system_failure("cannot give the finished file its name", final_path_, errno);
  temporary_.release();
  return done{};
}

}  // namespace skv::io
