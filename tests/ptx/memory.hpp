// The memories that a kernel accesses, and what of them it may.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "simt/buffer.hpp"
#include "simt/launch.hpp"

namespace skv::ptx {

using simt::outcome;

/// Ends a launch.
struct fault : std::runtime_error {
  fault(outcome is, const std::string& message) : std::runtime_error(message), what_is(is) {}
  outcome what_is;
};

enum class access {
  load,
  store,
  update,       ///< both, as atomics do
  begin_store,  ///< of a copy that is made later: until then nothing is there
};

/// Do `bytes` bytes at `at` lie in `size` bytes?
constexpr bool is_within(std::uint64_t at, std::uint64_t bytes, std::uint64_t size) {
  return bytes <= size && at <= size - bytes;
}

/// Device memory that may be accessed: where it begins and ends, and what of it was written.
struct memory_range {
  std::uintptr_t begin, end;
  std::uint8_t* written = nullptr;  ///< of each byte 1 if it was; null: all counts as written

  bool holds(std::uint64_t address, std::size_t bytes) const {
    return is_within(address - begin, bytes, end - begin);
  }
  /// Faults if what is loaded was not written.
  void note(std::uint64_t address, std::size_t bytes, access is) const {
    if (written == nullptr) return;
    std::uint8_t* const first = written + (address - begin);
    for (std::size_t i = 0; i < bytes; ++i) {
      if (is != access::store && first[i] == 0) fail(address, bytes);
      if (is != access::load) first[i] = 1;
    }
  }

 private:
  [[noreturn]] void fail(std::uint64_t address, std::size_t bytes) const;
};
/// By where they begin.
using memory_map = std::map<std::uintptr_t, memory_range>;
/// That in which an address lies, or null.
inline const memory_range* find(const memory_map& all, std::uint64_t address) {
  const auto behind = all.upper_bound(address);
  if (behind == all.begin()) return nullptr;
  const memory_range& r = std::prev(behind)->second;
  return address < r.end ? &r : nullptr;
}

/// Shared memory, and who was there since the block's threads last met: another warp may not read what
/// one has written, nor write what one has read or written. Nobody may read what was never written.
class shared_memory {
 public:
  shared_memory(std::size_t bytes, std::uint64_t seed);

  std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  void next_epoch() { ++epoch_; }
  void note(std::size_t at, std::size_t bytes, std::uint32_t warp, access is) {
    for (std::size_t i = at; i < at + bytes; ++i) {
      if (is == access::load || is == access::update) note_read(i, warp);
      if (is != access::load) note_write(i, warp, is != access::begin_store);
    }
  }

 private:
  static constexpr std::uint16_t kMany = 0xffff;
  /// The last one to a byte.
  struct visit {
    std::uint32_t epoch = 0;
    std::uint16_t warp = 0;
    bool leaves_something = false;
  };
  bool was_visited_by_another(visit v, std::uint32_t warp) const {
    return v.epoch == epoch_ && v.warp != warp;
  }
  void note_read(std::size_t byte, std::uint32_t warp) {
    const visit written = writes_[byte];
    if (was_visited_by_another(written, warp) || !written.leaves_something) fail_read(byte, warp);
    visit& read = reads_[byte];
    read = {epoch_, was_visited_by_another(read, warp) ? kMany : static_cast<std::uint16_t>(warp)};
  }
  void note_write(std::size_t byte, std::uint32_t warp, bool leaves_something) {
    visit& written = writes_[byte];
    const bool was_read = was_visited_by_another(reads_[byte], warp);
    if (was_read || was_visited_by_another(written, warp)) fail_write(was_read);
    written = {epoch_, static_cast<std::uint16_t>(warp), leaves_something};
  }
  [[noreturn]] void fail_read(std::size_t byte, std::uint32_t warp) const;
  [[noreturn]] static void fail_write(bool was_read);

  simt::fenced_bytes bytes_;
  std::uint32_t epoch_ = 1;
  std::vector<visit> writes_, reads_;
};

}  // namespace skv::ptx
