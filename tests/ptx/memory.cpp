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

void shared_memory::fail_read(std::size_t byte, std::uint32_t warp) const {
  if (was_visited_by_another(writes_[byte], warp))
    throw fault(outcome::race, "a read of what another warp has written, with no barrier between");
  throw fault(outcome::unwritten,
              "a read of shared memory to which nothing was written: byte " + std::to_string(byte));
}
void shared_memory::fail_write(bool was_read) {
  throw fault(outcome::race, std::string("a write of what another warp has ") +
                                 (was_read ? "read" : "written") + ", with no barrier between");
}

}  // namespace skv::ptx
