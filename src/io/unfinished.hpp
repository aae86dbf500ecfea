// Files that must not outlive an interrupted program.
#pragma once

#include <filesystem>
#include <utility>

namespace skv::io {

/// From now on SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGPIPE first remove every unfinished_file of
/// this process and then end it as they would have; one that the parent chose to ignore (nohup)
/// stays ignored. SIGXFSZ is ignored, so that a file-size limit becomes an error of the write.
/// For a program's main, once; a library leaves signals alone.
void remove_unfinished_on_signals();

/// The name of a file that is removed when this object dies, or when a signal ends the program.
class unfinished_file {
 public:
  /// Makes no file yet. `absolute` is shorter than PATH_MAX (a longer one could not be opened).
  explicit unfinished_file(const std::filesystem::path& absolute);
  unfinished_file(unfinished_file&& other) noexcept : entry_(std::exchange(other.entry_, {})) {}
  unfinished_file& operator=(unfinished_file&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~unfinished_file();

  /// Makes the file and opens it for reading and writing; its mode is 0666 less the umask. -1, and
  /// errno, if there is one already or it cannot be made. No moment is left in which a signal could
  /// end the program and leave the file.
  int create();

  const char* path() const;

  /// The file is finished: forgets the name.
  void release();

  struct entry;

 private:
  entry* entry_ = nullptr;
};

}  // namespace skv::io
