// A scene on a device as a caller from C has it.
#pragma once

#include <skv/skv_cuda.h>

#include <memory>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {

struct release_handle {
  void operator()(skv_profile* p) const { skv_profile_release(p); }
  void operator()(skv_cuda_codec* c) const { skv_cuda_codec_release(c); }
  void operator()(skv_cuda_linear* l) const { skv_cuda_linear_release(l); }
  void operator()(skv_cuda_pool* p) const { skv_cuda_pool_release(p); }
};
using c_profile = std::unique_ptr<skv_profile, release_handle>;
using c_codec = std::unique_ptr<skv_cuda_codec, release_handle>;
using c_linear = std::unique_ptr<skv_cuda_linear, release_handle>;
using c_pool = std::unique_ptr<skv_cuda_pool, release_handle>;

template <class T>
T sized() {
  T t{};
  t.struct_size = sizeof t;
  return t;
}

inline skv_cuda_block_places to_c(const cuda::block_places& p) {
  return {p.base,
          p.layer_stride_bytes,
          p.block_stride_bytes,
          p.indices_dev,
          reinterpret_cast<void* const*>(p.pointers_dev),
          p.pointer_layer_stride,
          reinterpret_cast<void* const*>(p.layer_bases_dev)};
}

inline skv_cuda_paged_cache to_c(const cuda::paged_cache& c) {
  auto made = sized<skv_cuda_paged_cache>();
  made.blocks = to_c(c.blocks);
  for (std::uint32_t i = 0; i < cuda::kMaxTensors; ++i)
    made.tensors[i] = {c.tensors[i].offset_bytes, c.tensors[i].token_stride_bytes,
                       c.tensors[i].head_stride_bytes, to_c(c.tensors[i].blocks)};
  return made;
}

inline skv_cuda_geometry to_c(const cuda::block_geometry& g) {
  auto made = sized<skv_cuda_geometry>();
  made.first_layer = g.first_layer;
  made.layers = g.layers;
  made.tokens = g.tokens;
  made.tensor_count = g.tensor_count;
  for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
    const auto& t = g.tensors[i];
    made.tensors[i] = {static_cast<skv_kind>(t.kind), t.heads, t.head_dim, t.opaque_bytes};
  }
  made.tile_tokens = g.tile_tokens;
  made.tile_heads = g.tile_heads;
  return made;
}

inline skv_cuda_encoded_places to_c(const cuda::encoded_places& p) {
  auto made = sized<skv_cuda_encoded_places>();
  made.slots = to_c(p.slots);
  made.slot_bytes = p.slot_bytes;
  made.packed = p.packed;
  made.packed_bytes = p.packed_bytes;
  made.records = reinterpret_cast<skv_tile_record*>(p.records);
  made.sizes = p.sizes;
  made.statuses = reinterpret_cast<std::uint8_t*>(p.statuses);
  made.offsets = p.offsets;
  made.total_bytes = p.total_bytes;
  return made;
}

/// What was written, to be read.
inline skv_cuda_stored_places as_stored(const skv_cuda_encoded_places& p) {
  auto made = sized<skv_cuda_stored_places>();
  made.slots = p.slots;
  made.slot_bytes = p.slot_bytes;
  made.packed = p.packed;
  made.packed_bytes = p.packed_bytes;
  made.records = p.records;
  made.sizes = p.sizes;
  made.statuses = p.statuses;
  made.offsets = p.offsets;
  return made;
}

inline std::uint8_t* to_c(const device_array<status>& statuses) {
  return reinterpret_cast<std::uint8_t*>(statuses.data());
}

inline c_profile c_profile_of(const profile& p) {
  skv_profile* made = nullptr;
  EXPECT_EQ(skv_profile_from_bytes(p.bytes().data(), p.bytes().size(), &made), SKV_OK);
  return c_profile(made);
}

struct c_scene {
  const gpu_scene& g;
  c_codec codec;
  skv_cuda_batch batch = sized<skv_cuda_batch>();
  skv_cuda_paged_cache numbers, means;
  skv_cuda_encoded_places out;
  skv_cuda_stored_places in;
  bool in_place;

  c_scene(const gpu_scene& scene, output how)
      : g(scene),
        numbers(to_c(g.numbers_at.cache)),
        means(to_c(g.means_at.cache)),
        out(to_c(g.places(how))),
        in(as_stored(out)),
        in_place(how == output::in_place) {
    const c_profile profile = c_profile_of(*g.scene.used_profile);
    const skv_cuda_geometry geometry = to_c(g.scene.geometry);
    skv_cuda_codec* c = nullptr;
    EXPECT_EQ(skv_cuda_codec_create(profile.get(), &geometry, &c), SKV_OK) << skv_last_error();
    codec.reset(c);
    batch.items = g.scene.items;
    batch.token_counts_dev = g.token_counts.data();
  }

  skv_status encode(cudaStream_t stream, const skv_cuda_limits* limits = nullptr) const {
    return skv_cuda_encode_async(codec.get(), &batch, &numbers, &means, &out, g.work.data(),
                                 g.work.size(), limits, stream);
  }
  skv_status decode(cudaStream_t stream, const skv_cuda_wanted_range* wanted = nullptr) const {
    return skv_cuda_decode_async(codec.get(), &batch, &in, &means, &numbers, in_place, wanted,
                                 to_c(g.decoded), g.work.data(), g.work.size(), nullptr, stream);
  }
};

}  // namespace skv::gpu
