// Addresses far apart: a range that is reserved, of which only what is opened is memory. An access anywhere
// else ends the program, so an address of which bits beyond 32 are lost does not stay unseen.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

namespace skv::simt {

class far_memory {
 public:
  /// The content of the pages that are open.
  using image = std::map<std::byte*, std::vector<std::byte>>;
  static constexpr std::byte kUnwritten{0x5a};

  far_memory() : page_bytes_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    void* const p =
        mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    start_ = static_cast<std::byte*>(p);
  }
  far_memory(const far_memory&) = delete;
  far_memory& operator=(const far_memory&) = delete;
  ~far_memory() { munmap(start_, kBytes); }

  /// Half of the range lies on either side.
  std::byte* middle() const { return start_ + kBytes / 2; }

  /// Makes memory of the pages that these bytes lie in, filled with kUnwritten.
  void open(const void* at, std::size_t bytes) {
    if (bytes == 0) return;
    const std::size_t first = page_of(at), last = page_of(as_bytes(at) + bytes - 1);
    for (std::size_t page = first; page <= last; ++page) {
      std::byte* const p = start_ + page * page_bytes_;
      if (open_.contains(p)) continue;
      if (mprotect(p, page_bytes_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
      std::fill_n(p, page_bytes_, kUnwritten);
      open_[p];
    }
  }
  /// An array so many bytes from the middle, of which some elements are open.
  template <class T>
  T* array(std::int64_t at, std::span<const std::size_t> open_elements) {
    static_assert(std::is_trivially_copyable_v<T>);
    T* const a = reinterpret_cast<T*>(middle() + at);
    for (const std::size_t i : open_elements) open(a + i, sizeof(T));
    return a;
  }

  image content() const {
    image all = open_;
    for (auto& [at, bytes] : all) bytes.assign(at, at + page_bytes_);
    return all;
  }
  /// Writes to an image what lies in memory at `at` if these bytes are there.
  void copy_into(image& all, const void* at, std::span<const std::byte> bytes) const {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::byte* const to = as_bytes(at) + i;
      std::byte* const page = start_ + page_of(to) * page_bytes_;
      all.at(page)[static_cast<std::size_t>(to - page)] = bytes[i];
    }
  }
  void fill() const {
    for (const auto& [at, bytes] : open_) std::fill_n(at, page_bytes_, kUnwritten);
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{32} << 40;

  static const std::byte* as_bytes(const void* at) { return static_cast<const std::byte*>(at); }
  std::size_t page_of(const void* at) const {
    return static_cast<std::size_t>(as_bytes(at) - start_) / page_bytes_;
  }

  std::size_t page_bytes_;
  std::byte* start_ = nullptr;
  image open_;  // without content
};

}  // namespace skv::simt
