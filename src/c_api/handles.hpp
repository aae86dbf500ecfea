// What the opaque handles of skv.h are. A library beside this one (for another device) does not see
// them: it takes the same handles and asks for what it needs by skv_profile_bytes.
#pragma once

#include <skv/skv.h>

#include <atomic>
#include <cstddef>
#include <skv/cpu/codec.hpp>
#include <utility>

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

struct skv_profile : skv::c_api::counted {
  explicit skv_profile(skv::profile_ptr p) : held(std::move(p)) {}
  const skv::profile_ptr held;
};

struct skv_codec : skv::c_api::counted {
  explicit skv_codec(skv::profile_ptr p) : coder(std::move(p)) {}
  const skv::cpu::codec coder;
};
