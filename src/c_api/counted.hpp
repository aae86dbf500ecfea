// Handles that are shared: what retain and release do.
#pragma once

#include <atomic>
#include <cstddef>

namespace skv::c_api {

/// Counts references, beginning with one.
class counted {
 public:
  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  /// Was it the last one? The frees of others must then have happened before.
  bool release() { return references_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

 private:
  std::atomic<std::size_t> references_ = 1;
};

template <class Handle>
Handle* retain(Handle* h) {
  if (h != nullptr) h->retain();
  return h;
}

template <class Handle>
void release(Handle* h) {
  if (h != nullptr && h->release()) delete h;
}

}  // namespace skv::c_api
