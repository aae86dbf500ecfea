// What all calls with a batch begin with.
#pragma once

#include "arguments.hpp"
#include "c_api/call.hpp"

namespace skv::c_cuda {

/// f(batch, limits) makes the call.
template <class F>
skv_status call_with_batch(const skv_cuda_batch* batch, const skv_cuda_limits* limits, const F& f) {
  return c_api::call([&]() -> result<done> {
    const auto items = read(batch, "batch");
    if (!items) return items.failure();
    const auto within = read(limits, "limits");
    if (!within) return within.failure();
    return f(*items, *within);
  });
}

}  // namespace skv::c_cuda
