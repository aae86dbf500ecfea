#include "arguments.hpp"

#include <cstddef>
#include <initializer_list>
#include <string>

#include "c_api/sized.hpp"

namespace skv::c_cuda {
namespace {

using c_api::take_sized;

static_assert(SKV_CUDA_MAX_TENSORS == cuda::kMaxTensors);
static_assert(sizeof(status) == sizeof(std::uint8_t), "statuses on the device are bytes");

error refuse(const char* what, const std::string& why) {
  return fail(status::invalid_argument, std::string(what) + ": " + why);
}

struct array {
  const char* name;
  const void* at;
  std::size_t alignment;

  template <class T>
  array(const char* n, const T* p) : name(n), at(p), alignment(alignof(T)) {}
};

// The device would fault at a misaligned address.
result<done> check_aligned(const char* what, std::initializer_list<array> arrays) {
  for (const array& a : arrays)
    if (reinterpret_cast<std::uintptr_t>(a.at) % a.alignment != 0)
      return refuse(what, std::string(a.name) + ": misaligned pointer");
  return done{};
}

result<done> check_reserved(const char* what, std::uint32_t reserved) {
  if (reserved == 0) return done{};
  return fail(status::unsupported, std::string(what) + ": its reserved member is not zero");
}

result<cuda::block_places> convert(const skv_cuda_block_places& p, const char* what) {
  if (const auto ok = check_aligned(what, {{"indices_dev", p.indices_dev},
                                           {"pointers_dev", p.pointers_dev},
                                           {"layer_bases_dev", p.layer_bases_dev}});
      !ok)
    return ok.failure();
  return cuda::block_places{static_cast<std::byte*>(p.base),
                            p.layer_stride_bytes,
                            p.block_stride_bytes,
                            p.indices_dev,
                            reinterpret_cast<std::byte* const*>(p.pointers_dev),
                            p.pointer_layer_stride,
                            reinterpret_cast<std::byte* const*>(p.layer_bases_dev)};
}

}  // namespace

error null_pointer(const char* what) { return refuse(what, "null pointer"); }

result<profile_ptr> read(const skv_profile* profile) {
  if (profile == nullptr) return null_pointer("profile");
  const void* bytes = nullptr;
  size_t size = 0;
  if (skv_profile_bytes(profile, &bytes, &size) != SKV_OK)
    return fail(status::invalid_argument, skv_last_error());
  return profile::parse({static_cast<const std::byte*>(bytes), size});
}

result<const std::uint32_t*> read(const std::uint32_t* array_dev, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(array_dev) % alignof(std::uint32_t) != 0)
    return refuse(what, "misaligned pointer");
  return array_dev;
}

result<cuda::paged_cache> read_if_given(const skv_cuda_paged_cache* cache, const char* what) {
  return cache == nullptr ? cuda::paged_cache{} : read(cache, what);
}

result<cuda::block_geometry> read(const skv_cuda_geometry* geometry, const char* what) {
  const auto g = take_sized(geometry, offsetof(skv_cuda_geometry, tile_tokens), what);
  if (!g) return g.failure();
  cuda::block_geometry made;
  made.first_layer = g->first_layer;
  made.layers = g->layers;
  made.tokens = g->tokens;
  made.tensor_count = g->tensor_count;
  made.tile_tokens = g->tile_tokens;
  made.tile_heads = g->tile_heads;
  for (std::uint32_t i = 0; i < cuda::kMaxTensors && i < g->tensor_count; ++i) {
    const skv_cuda_tensor& t = g->tensors[i];
    if (t.kind > SKV_KIND_LATENT) return refuse(what, "unknown kind " + std::to_string(t.kind));
    made.tensors[i] = {static_cast<tensor_kind>(t.kind), t.heads, t.head_dim, t.opaque_bytes};
  }
  return made;
}

result<cuda::block_batch> read(const skv_cuda_batch* batch, const char* what) {
  const auto b = take_sized(batch, offsetof(skv_cuda_batch, item_count_dev), what);
  if (!b) return b.failure();
  if (const auto ok = check_reserved(what, b->reserved); !ok) return ok.failure();
  if (const auto ok = check_aligned(
          what, {{"item_count_dev", b->item_count_dev}, {"token_counts_dev", b->token_counts_dev}});
      !ok)
    return ok.failure();
  return cuda::block_batch{b->items, b->item_count_dev, b->token_counts_dev, b->first_layer,
                           b->layers};
}

result<cuda::paged_cache> read(const skv_cuda_paged_cache* cache, const char* what) {
  const auto c = take_sized(cache, sizeof *cache, what);
  if (!c) return c.failure();
  const auto blocks = convert(c->blocks, what);
  if (!blocks) return blocks.failure();
  cuda::paged_cache made{*blocks, {}};
  for (std::uint32_t i = 0; i < cuda::kMaxTensors; ++i) {
    const skv_cuda_tensor_place& t = c->tensors[i];
    const auto own = convert(t.blocks, what);
    if (!own) return own.failure();
    made.tensors[i] = {t.offset_bytes, t.token_stride_bytes, t.head_stride_bytes, *own};
  }
  return made;
}

result<cuda::encoded_places> read(const skv_cuda_encoded_places* places, const char* what) {
  const auto p = take_sized(places, sizeof *places, what);
  if (!p) return p.failure();
  if (const auto ok = check_reserved(what, p->reserved); !ok) return ok.failure();
  const auto slots = convert(p->slots, what);
  if (!slots) return slots.failure();
  if (const auto ok = check_aligned(what, {{"records", p->records},
                                           {"sizes", p->sizes},
                                           {"offsets", p->offsets},
                                           {"total_bytes", p->total_bytes}});
      !ok)
    return ok.failure();
  return cuda::encoded_places{*slots,
                              p->slot_bytes,
                              static_cast<std::byte*>(p->packed),
                              p->packed_bytes,
                              reinterpret_cast<tile_record*>(p->records),
                              p->sizes,
                              reinterpret_cast<status*>(p->statuses),
                              p->offsets,
                              p->total_bytes};
}

result<cuda::stored_places> read(const skv_cuda_stored_places* places, const char* what) {
  const auto p = take_sized(places, sizeof *places, what);
  if (!p) return p.failure();
  if (const auto ok = check_reserved(what, p->reserved); !ok) return ok.failure();
  const auto slots = convert(p->slots, what);
  if (!slots) return slots.failure();
  if (const auto ok = check_aligned(
          what, {{"records", p->records}, {"sizes", p->sizes}, {"offsets", p->offsets}});
      !ok)
    return ok.failure();
  return cuda::stored_places{*slots,
                             p->slot_bytes,
                             static_cast<const std::byte*>(p->packed),
                             p->packed_bytes,
                             p->offsets,
                             reinterpret_cast<const tile_record*>(p->records),
                             p->sizes,
                             reinterpret_cast<const status*>(p->statuses)};
}

result<cuda::wanted_range> read(const skv_cuda_wanted_range* wanted, const char* what) {
  cuda::wanted_range made;
  if (wanted == nullptr) return made;
  const auto w = take_sized(wanted, sizeof *wanted, what);
  if (!w) return w.failure();
  made.first_token = w->first_token;
  made.first_head = w->first_head;
  if (w->tokens != 0) made.tokens = w->tokens;
  if (w->heads != 0) made.heads = w->heads;
  return made;
}

result<cuda::pool_options> read(const skv_cuda_pool_options* options, const char* what) {
  const auto o = take_sized(options, offsetof(skv_cuda_pool_options, sector_bytes), what);
  if (!o) return o.failure();
  cuda::pool_options made;
  made.sectors = o->sectors;
  made.entries = o->entries;
  if (o->sector_bytes != 0) made.sector_bytes = o->sector_bytes;
  made.max_sectors = o->max_sectors;
  return made;
}

result<cuda::pool_entries> read(const skv_cuda_pool_entries* entries, const char* what) {
  const auto e = take_sized(entries, sizeof *entries, what);
  if (!e) return e.failure();
  if (const auto ok = check_aligned(what, {{"indices_dev", e->indices_dev}}); !ok)
    return ok.failure();
  return cuda::pool_entries{e->first, e->layer_stride, e->indices_dev};
}

result<cuda::launch_limits> read(const skv_cuda_limits* limits, const char* what) {
  if (limits == nullptr) return cuda::launch_limits{};
  const auto l = take_sized(limits, offsetof(skv_cuda_limits, reserved), what);
  if (!l) return l.failure();
  if (const auto ok = check_reserved(what, l->reserved); !ok) return ok.failure();
  return cuda::launch_limits{l->multiprocessors};
}

}  // namespace skv::c_cuda
