// Memory as a kernel sees it: of an exact size, between red zones that tell of writes beyond it.
#pragma once

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/random.hpp"

namespace skv::simt {

/// Bytes between red zones filled with canaries. Under AddressSanitizer the zones are poisoned, so
/// that any access ends the program there and then.
class fenced_bytes {
 public:
  static constexpr std::size_t kZone = 16384;
  static constexpr std::byte kCanary{0xA5};

  /// Filled with random bytes of the seed. Aligned to `alignment` and to no more.
  fenced_bytes(std::string name, std::size_t size, std::size_t alignment, std::uint64_t seed)
      : name_(std::move(name)), size_(size) {
    const std::size_t twice = 2 * alignment;
    const std::size_t all = (alignment + size + 2 * kZone + twice - 1) / twice * twice;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(twice, all)));
    if (memory_ == nullptr) throw std::bad_alloc();
    data_ = memory_.get() + kZone + alignment;
    end_ = memory_.get() + all;
    paint();
    test::random_source random(seed);
    for (std::size_t i = 0; i < size; ++i) data_[i] = static_cast<std::byte>(random.bits());
    poison();
  }
  fenced_bytes(const fenced_bytes&) = delete;
  fenced_bytes& operator=(const fenced_bytes&) = delete;
  ~fenced_bytes() { ASAN_UNPOISON_MEMORY_REGION(memory_.get(), end_ - memory_.get()); }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool holds(const void* address) const { return address >= data_ && address < data_ + size_; }

  /// What was written beyond the bytes, or nothing. Heals the zones.
  std::string damage() {
    ASAN_UNPOISON_MEMORY_REGION(memory_.get(), data_ - memory_.get());
    ASAN_UNPOISON_MEMORY_REGION(data_ + size_, end_ - data_ - size_);
    std::string text;
    for (std::byte* p = data_; p-- != memory_.get();)
      if (*p != kCanary) {
        text += " begins " + std::to_string(data_ - p) + " bytes before it";
        break;
      }
    for (std::byte* p = data_ + size_; p != end_; ++p)
      if (*p != kCanary) {
        text += std::string(text.empty() ? "" : ", and another") + " begins " +
                std::to_string(p - data_ - size_) + " bytes after its end";
        break;
      }
    if (!text.empty()) {
      paint();
      text = "write outside of " + name_ + " (" + std::to_string(size_) + " bytes):" + text;
    }
    poison();
    return text;
  }

 private:
  struct free_memory {
    void operator()(std::byte* p) const { std::free(p); }
  };

  void paint() {
    std::fill(memory_.get(), data_, kCanary);
    std::fill(data_ + size_, end_, kCanary);
  }
  void poison() {
    ASAN_POISON_MEMORY_REGION(memory_.get(), data_ - memory_.get());
    ASAN_POISON_MEMORY_REGION(data_ + size_, end_ - data_ - size_);
  }

  std::string name_;
  std::size_t size_;
  std::unique_ptr<std::byte, free_memory> memory_;
  std::byte* data_ = nullptr;
  std::byte* end_ = nullptr;
};

/// The global buffers that are alive; launch() looks at the red zones of all.
inline std::vector<fenced_bytes*>& live_buffers() {
  static thread_local std::vector<fenced_bytes*> buffers;
  return buffers;
}

/// Global memory for `count` Ts. Starts filled with garbage.
template <class T>
class buffer {
  static_assert(std::is_trivially_copyable_v<T>, "device memory holds plain data");

 public:
  buffer(const std::string& name, std::size_t count)
      : bytes_(std::make_unique<fenced_bytes>("buffer " + name, count * sizeof(T), kAlignment,
                                              count)) {
    live_buffers().push_back(bytes_.get());
  }
  buffer(const std::string& name, std::span<const T> values) : buffer(name, values.size()) {
    if (!values.empty()) std::memcpy(data(), values.data(), values.size_bytes());
  }
  buffer(buffer&&) noexcept = default;
  buffer& operator=(buffer&&) = delete;
  ~buffer() {
    if (bytes_ != nullptr) std::erase(live_buffers(), bytes_.get());
  }

  T* data() const { return reinterpret_cast<T*>(bytes_->data()); }
  std::size_t size() const { return bytes_->size() / sizeof(T); }
  T& operator[](std::size_t i) const { return data()[i]; }
  T* begin() const { return data(); }
  T* end() const { return data() + size(); }
  std::span<T> span() const { return {data(), size()}; }
  void fill(const T& value) const {
    for (T& each : span()) each = value;
  }

 private:
  static constexpr std::size_t kAlignment = 256;  // as cudaMalloc's
  std::unique_ptr<fenced_bytes> bytes_;
};

}  // namespace skv::simt
