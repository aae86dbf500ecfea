#include "io/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <limits>

#include "io/descriptor.hpp"
#include "io/messages.hpp"

namespace skv::io {

result<mapped_file> mapped_file::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a pipe without a writer would hold the program here; regular files ignore it.
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return system_failure("cannot open", path, errno);

  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) return system_failure("cannot examine", path, errno);
  if (S_ISDIR(info.st_mode)) return system_failure("cannot read", path, EISDIR);
  if (!S_ISREG(info.st_mode))
    return fail(status::io_error,
                "cannot map " + in_quotes(path.native()) + ": it is not a regular file");

  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size == 0) return mapped_file({});  // mmap refuses an empty range
  if (size > std::numeric_limits<std::size_t>::max())
    return system_failure("cannot map", path, EFBIG);
  void* const address = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_PRIVATE,
                               file.get(), 0);  // the mapping outlives the descriptor
  if (address == MAP_FAILED) return system_failure("cannot map", path, errno);
  return mapped_file({static_cast<std::byte*>(address), static_cast<std::size_t>(size)});
}

mapped_file::~mapped_file() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

void mapped_file::advise_sequential() const {
  if (!bytes_.empty()) ::madvise(bytes_.data(), bytes_.size(), MADV_SEQUENTIAL);
}

}  // namespace skv::io
