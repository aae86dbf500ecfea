// What tests of the CUDA part of the C ABI have in common that need no device.
#pragma once

#include <gtest/gtest.h>
#include <skv/skv_cuda.h>

#include <cstdlib>
#include <memory>

namespace skv::test {

struct release_profile {
  void operator()(skv_profile* p) const { skv_profile_release(p); }
};
using c_profile = std::unique_ptr<skv_profile, release_profile>;

inline c_profile make_profile() {
  skv_profile* made = nullptr;
  EXPECT_EQ(skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_GIVEN, SKV_FORMAT_BF16, &made), SKV_OK);
  return c_profile(made);
}

template <class T>
T sized() {
  T t{};
  t.struct_size = sizeof t;
  return t;
}

inline skv_cuda_geometry geometry_of(std::uint32_t heads = 2, std::uint32_t head_dim = 64) {
  auto g = sized<skv_cuda_geometry>();
  g.layers = 1;
  g.tokens = 16;
  g.tensor_count = 2;
  g.tensors[0] = {SKV_KIND_K, heads, head_dim, 0};
  g.tensors[1] = {SKV_KIND_V, heads, head_dim, 0};
  return g;
}

/// Structures that a codec would take; there is none to take them.
struct call_case {
  skv_cuda_batch batch = sized<skv_cuda_batch>();
  skv_cuda_paged_cache numbers = sized<skv_cuda_paged_cache>();
  skv_cuda_paged_cache means = sized<skv_cuda_paged_cache>();
  skv_cuda_encoded_places out = sized<skv_cuda_encoded_places>();
  skv_cuda_stored_places in = sized<skv_cuda_stored_places>();
  skv_cuda_wanted_range wanted = sized<skv_cuda_wanted_range>();
  skv_cuda_limits limits = sized<skv_cuda_limits>();

  skv_status encode(const skv_cuda_batch* b, const skv_cuda_paged_cache* n,
                    const skv_cuda_encoded_places* o) const {
    return skv_cuda_encode_async(nullptr, b, n, &means, o, nullptr, 0, &limits, nullptr);
  }
  skv_status encode() const { return encode(&batch, &numbers, &out); }
  skv_status compact() const {
    return skv_cuda_compact_async(nullptr, &batch, &in, &out, nullptr, 0, &limits, nullptr);
  }
  skv_status decode() const {
    return skv_cuda_decode_async(nullptr, &batch, &in, &means, &numbers, 0, &wanted, nullptr,
                                 nullptr, 0, &limits, nullptr);
  }
};

template <class T>
T* at(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

class c_cuda : public testing::Test {
 protected:
  // CUDA reads it once: at the first call that asks for a device, whichever test makes it.
  static void SetUpTestSuite() { setenv("CUDA_VISIBLE_DEVICES", "-1", 1); }
};

}  // namespace skv::test
