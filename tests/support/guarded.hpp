// Memory with a forbidden page on both sides: a read or write beyond it ends the test, also in
// builds without sanitizers and from instructions that those do not see.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>

namespace skv::test {

/// Which end of the memory touches the forbidden page. On the other side lie bytes to check.
enum class flush { left, right };

class guarded_bytes {
 public:
  explicit guarded_bytes(std::size_t size, flush side = flush::right, std::byte fill = kCanary)
      : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    usable_ = (size + kMargin + page - 1) / page * page;
    mapped_ = usable_ + 2 * page;
    void* p = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(p);
    usable_at_ = base_ + page;
    if (mprotect(usable_at_, usable_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = side == flush::right ? usable_at_ + usable_ - size : usable_at_;
    std::memset(usable_at_, static_cast<int>(kCanary), usable_);
    std::memset(data_, static_cast<int>(fill), size);
  }
  /// A copy of `from`.
  explicit guarded_bytes(std::span<const std::byte> from, flush side = flush::right)
      : guarded_bytes(from.size(), side) {
    if (!from.empty()) std::memcpy(data_, from.data(), from.size());
  }
  guarded_bytes(guarded_bytes&& other) noexcept
      : base_(other.base_),
        usable_at_(other.usable_at_),
        data_(other.data_),
        size_(other.size_),
        usable_(other.usable_),
        mapped_(other.mapped_) {
    other.base_ = nullptr;
  }
  guarded_bytes& operator=(guarded_bytes&&) = delete;
  ~guarded_bytes() {
    if (base_ != nullptr) munmap(base_, mapped_);
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }

  /// Is everything around the memory as it was?
  bool margins_intact() const {
    for (const std::byte* p = usable_at_; p < usable_at_ + usable_; ++p)
      if ((p < data_ || p >= data_ + size_) && *p != kCanary) return false;
    return true;
  }

  static constexpr std::byte kCanary{0xA5};

 private:
  static constexpr std::size_t kMargin = 256;
  std::byte* base_ = nullptr;
  std::byte* usable_at_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0, usable_ = 0, mapped_ = 0;
};

}  // namespace skv::test
