// Structures of skv_cuda.h as callers fill them in, checked, as the codec takes them.
#pragma once

#include <skv/skv_cuda.h>

#include <skv/cuda/codec.hpp>

namespace skv::c_cuda {

// All fail with invalid_argument (null, misaligned, sizes that are none, unknown values) or unsupported
// (members that this version does not know). `what` is the argument's name.

result<cuda::block_geometry> read(const skv_cuda_geometry* geometry, const char* what);
result<cuda::block_batch> read(const skv_cuda_batch* batch, const char* what);
result<cuda::paged_cache> read(const skv_cuda_paged_cache* cache, const char* what);
result<cuda::encoded_places> read(const skv_cuda_encoded_places* places, const char* what);
result<cuda::stored_places> read(const skv_cuda_stored_places* places, const char* what);
/// Null: everything.
result<cuda::wanted_range> read(const skv_cuda_wanted_range* wanted, const char* what);
/// Null: none.
result<cuda::launch_limits> read(const skv_cuda_limits* limits, const char* what);

}  // namespace skv::c_cuda
