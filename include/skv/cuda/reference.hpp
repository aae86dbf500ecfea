// A prediction from outside on a stream, such as the cache of a quantised model: the mirror of
// predict/reference.hpp.
#pragma once

#include <skv/base/status.hpp>
#include <skv/cuda/pages.hpp>

namespace skv::cuda {

/// Means that are there before the tensors are.
struct reference {
  paged_cache means;

  result<paged_cache> predict_async(std::uint32_t, std::uint32_t, void*) const { return means; }
  result<done> update_async(std::uint32_t, std::uint32_t, const paged_cache&, void*) const {
    return done{};
  }
};

}  // namespace skv::cuda
