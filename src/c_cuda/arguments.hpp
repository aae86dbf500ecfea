// Structures of skv_cuda.h as callers fill them in, checked, as the codec takes them.
#pragma once

#include <skv/skv_cuda.h>

#include <skv/cuda/pool.hpp>
#include <skv/profile/profile.hpp>

namespace skv::c_cuda {

error null_pointer(const char* what);

// All fail with invalid_argument (null, misaligned, sizes that are none, unknown values) or unsupported
// (members that this version does not know). `what` is the argument's name.

/// A profile belongs to the library of skv.h: what is known of it here are its bytes.
result<profile_ptr> read(const skv_profile* profile);
result<cuda::block_geometry> read(const skv_cuda_geometry* geometry, const char* what);
result<cuda::block_batch> read(const skv_cuda_batch* batch, const char* what);
result<cuda::paged_cache> read(const skv_cuda_paged_cache* cache, const char* what);
/// Null: an empty one, which who needs it refuses.
result<cuda::paged_cache> read_if_given(const skv_cuda_paged_cache* cache, const char* what);
/// An array of the device, or null.
result<const std::uint32_t*> read(const std::uint32_t* array_dev, const char* what);
result<cuda::encoded_places> read(const skv_cuda_encoded_places* places, const char* what);
result<cuda::stored_places> read(const skv_cuda_stored_places* places, const char* what);
/// Null: everything.
result<cuda::wanted_range> read(const skv_cuda_wanted_range* wanted, const char* what);
result<cuda::pool_options> read(const skv_cuda_pool_options* options, const char* what);
result<cuda::pool_entries> read(const skv_cuda_pool_entries* entries, const char* what);
/// Null: none.
result<cuda::launch_limits> read(const skv_cuda_limits* limits, const char* what);

}  // namespace skv::c_cuda
