// A whole file as read-only memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <skv/base/status.hpp>
#include <span>
#include <utility>

namespace skv::io {

/// Owns the mapping. Somebody who shortens the file while it is mapped takes the pages away, and
/// reading them then ends the program (SIGBUS), as with every program that maps files.
class mapped_file {
 public:
  /// Maps a regular file; an empty one gives an empty span. io_error names the path and the
  /// reason: missing, unreadable, a folder, a pipe or a device.
  static result<mapped_file> open(const std::filesystem::path& path);

  mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mapped_file();

  /// Valid as long as this object; a move keeps it valid. Aligned to a page.
  std::span<const std::byte> bytes() const { return bytes_; }

  /// Tells the system that the file is read from front to back, once. A hint: nothing fails.
  void advise_sequential() const;

 private:
  explicit mapped_file(std::span<std::byte> bytes) : bytes_(bytes) {}

  std::span<std::byte> bytes_;
};

}  // namespace skv::io
