#include "ptx/memory.hpp"

namespace skv::ptx {

void memory_range::fail(std::uint64_t address, std::size_t bytes) const {
  throw fault(outcome::unwritten,
              "a read of memory to which nothing was written: " + std::to_string(bytes) +
                  " bytes at " + std::to_string(address) + ", " + std::to_string(address - begin) +
                  " into its " + std::to_string(end - begin));
}

shared_memory::shared_memory(std::size_t bytes, std::uint64_t seed)
    : bytes_("shared memory", bytes, 16, seed), writes_(bytes), reads_(bytes) {}

void shared_memory::note(std::size_t at, std::size_t bytes, std::uint32_t warp, access is) {
  for (std::size_t i = at; i < at + bytes; ++i) {
    if (is == access::load || is == access::update) note_read(i, warp);
    if (is != access::load) note_write(i, warp, is != access::begin_store);
  }
}
void shared_memory::note_read(std::size_t byte, std::uint32_t warp) {
  const visit written = writes_[byte];
  if (written.epoch == epoch_ && written.warp != warp)
    throw fault(outcome::race, "a read of what another warp has written, with no barrier between");
  if (!written.leaves_something)
    throw fault(outcome::unwritten, "a read of shared memory to which nothing was written: byte " +
                                        std::to_string(byte));
  visit& read = reads_[byte];
  read = {epoch_, read.epoch == epoch_ && read.warp != warp ? kMany : warp};
}
void shared_memory::note_write(std::size_t byte, std::uint32_t warp, bool leaves_something) {
  visit& written = writes_[byte];
  const visit read = reads_[byte];
  const bool was_read = read.epoch == epoch_ && read.warp != warp;
  if (was_read || (written.epoch == epoch_ && written.warp != warp))
    throw fault(outcome::race, std::string("a write of what another warp has ") +
                                   (was_read ? "read" : "written") + ", with no barrier between");
  written = {epoch_, warp, leaves_something};
}

}  // namespace skv::ptx
