// A file that appears under its name complete, or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <skv/base/status.hpp>
#include <span>

#include "io/descriptor.hpp"
#include "io/unfinished.hpp"

namespace skv::io {

/// Writes to a temporary file in the folder of the final name and renames it over that name on
/// commit; until then an existing file keeps its bytes. Not committed, the temporary is removed by
/// the destructor, and by signals after remove_unfinished_on_signals(). One thread at a time.
///
/// Errors are io_error and name the final path, a full disk among them. After a write that failed
/// the file cannot be committed. A committed file is not yet synchronised with the disk.
class output_file {
 public:
  /// The name must be free or that of a regular file: folders, links (/dev/stdout is one), pipes
  /// and devices are refused. The file's mode is 0666 less the umask.
  static result<output_file> create(const std::filesystem::path& final_path);

  /// Writes behind the last byte.
  result<done> append(std::span<const std::byte> bytes);

  /// Writes at a place; beyond the end, what lies between reads as zeros.
  result<done> write_at(std::uint64_t offset, std::span<const std::byte> bytes);

  std::uint64_t size() const { return size_; }

  /// Closes the file and gives it its name, once.
  result<done> commit();

 private:
  output_file(std::filesystem::path final_path, unfinished_file temporary, descriptor file);

  std::filesystem::path final_path_;  // absolute
  unfinished_file temporary_;
  descriptor file_;  // behind temporary_: closed before the name is removed
  std::uint64_t size_ = 0;
  bool complete_ = true;
};

}  // namespace skv::io
