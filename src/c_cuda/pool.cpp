#include <skv/cuda/pool.hpp>

#include "batch_call.hpp"
#include "c_api/sized.hpp"
#include "handles.hpp"

using namespace skv;
using namespace skv::c_api;
using namespace skv::c_cuda;

struct skv_cuda_pool : counted {
  explicit skv_cuda_pool(cuda::pool p) : held(std::move(p)) {}
  const cuda::pool held;
};

namespace {

// skv_cuda_pool_ref says what the kernels keep.
static_assert(cuda::pool_ref::kEmpty == 0 && cuda::pool_ref::kStored == 1);
static_assert(sizeof(cuda::pool_counts) == 4 * sizeof(std::uint64_t));
static_assert(offsetof(cuda::pool_counts, free_sectors) == 0);
static_assert(offsetof(cuda::pool_counts, used_sectors) == 8);
static_assert(offsetof(cuda::pool_counts, blocks) == 16);
static_assert(offsetof(cuda::pool_counts, bytes) == 24);

// f(batch, entries, limits) makes the call.
template <class F>
skv_status call_with_entries(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                             const skv_cuda_pool_entries* entries, const skv_cuda_limits* limits,
                             const F& f) {
  return call_with_batch(
      batch, limits,
      [&](const cuda::block_batch& items, cuda::launch_limits within) -> result<done> {
        const auto which = read(entries, "entries");
        if (!which) return which.failure();
        if (pool == nullptr) return null_pointer("pool");
        return f(items, *which, within);
      });
}

}  // namespace

skv_status skv_cuda_pool_create(const skv_profile* profile, const skv_cuda_geometry* geometry,
                                const skv_cuda_pool_options* options, skv_cuda_pool** pool) {
  return call([&]() -> result<done> {
    if (pool == nullptr) return null_pointer("pool");
    const auto blocks = read(geometry, "geometry");
    if (!blocks) return blocks.failure();
    const auto room = read(options, "options");
    if (!room) return room.failure();
    const auto used = read(profile);
    if (!used) return used.failure();
    auto made = cuda::pool::make(*used, *blocks, *room);
    if (!made) return made.failure();
    *pool = new skv_cuda_pool(*std::move(made));
    return done{};
  });
}

skv_cuda_pool* skv_cuda_pool_retain(skv_cuda_pool* pool) { return retain(pool); }
void skv_cuda_pool_release(skv_cuda_pool* pool) { release(pool); }

skv_status skv_cuda_pool_memory_bytes(const skv_cuda_pool* pool, size_t* bytes) {
  return call([&]() -> result<done> {
    if (pool == nullptr) return null_pointer("pool");
    if (bytes == nullptr) return null_pointer("the result");
    *bytes = pool->held.memory_bytes();
    return done{};
  });
}

skv_status skv_cuda_pool_get_ref(const skv_cuda_pool* pool, skv_cuda_pool_ref* ref) {
  return call([&]() -> result<done> {
    if (pool == nullptr) return null_pointer("pool");
    if (auto ok = check_sized(ref, sizeof ref->struct_size, "ref"); !ok) return ok;
    const cuda::pool_ref r = pool->held.ref();
    skv_cuda_pool_ref known{};
    known.arena = r.arena;
    known.sector_bits = r.sector_bits;
    known.sectors = r.sectors;
    known.entries = r.entries;
    known.max_sectors = r.max_sectors;
    known.tiles = r.tiles;
    known.free_dev = r.free_dev;
    known.states_dev = r.states_dev;
    known.sectors_dev = r.sectors_dev;
    known.records_dev = reinterpret_cast<const skv_tile_record*>(r.records_dev);
    known.counts_dev = reinterpret_cast<const uint64_t*>(r.counts_dev);
    write_sized(ref, known);
    return done{};
  });
}

skv_status skv_cuda_pool_read_counts(const skv_cuda_pool* pool, void* stream,
                                     skv_cuda_pool_counts* counts) {
  return call([&]() -> result<done> {
    if (pool == nullptr) return null_pointer("pool");
    if (auto ok = check_sized(counts, sizeof counts->struct_size, "counts"); !ok) return ok;
    const auto now = pool->held.read_counts(stream);
    if (!now) return now.failure();
    write_sized(counts, {0, now->free_sectors, now->used_sectors, now->blocks, now->bytes});
    return done{};
  });
}

skv_status skv_cuda_pool_store_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                     const skv_cuda_pool_entries* entries,
                                     const skv_cuda_stored_places* in, uint8_t* statuses,
                                     const skv_cuda_limits* limits, void* stream) {
  return call_with_entries(pool, batch, entries, limits,
                           [&](const cuda::block_batch& items, const cuda::pool_entries& which,
                               cuda::launch_limits within) -> result<done> {
                             const auto from = read(in, "in");
                             if (!from) return from.failure();
                             return pool->held.store_async(items, which, *from,
                                                           reinterpret_cast<status*>(statuses),
                                                           stream, within);
                           });
}

skv_status skv_cuda_pool_load_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                    const skv_cuda_pool_entries* entries,
                                    const skv_cuda_encoded_places* out,
                                    const skv_cuda_limits* limits, void* stream) {
  return call_with_entries(pool, batch, entries, limits,
                           [&](const cuda::block_batch& items, const cuda::pool_entries& which,
                               cuda::launch_limits within) -> result<done> {
                             const auto to = read(out, "out");
                             if (!to) return to.failure();
                             return pool->held.load_async(items, which, *to, stream, within);
                           });
}

skv_status skv_cuda_pool_restore_async(
    const skv_cuda_pool* pool, const skv_cuda_codec* codec, const skv_cuda_batch* batch,
    const skv_cuda_pool_entries* entries, const skv_cuda_encoded_places* places,
    const skv_cuda_paged_cache* means, const skv_cuda_paged_cache* numbers, int in_place,
    uint8_t* statuses, void* workspace_dev, size_t workspace_bytes, const skv_cuda_limits* limits,
    void* stream) {
  return call_with_entries(pool, batch, entries, limits,
                           [&](const cuda::block_batch& items, const cuda::pool_entries& which,
                               cuda::launch_limits within) -> result<done> {
                             const auto at = read(places, "places");
                             if (!at) return at.failure();
                             const auto predicted = read_if_given(means, "means");
                             if (!predicted) return predicted.failure();
                             const auto to = read(numbers, "numbers");
                             if (!to) return to.failure();
                             if (codec == nullptr) return null_pointer("codec");
                             return pool->held.restore_async(
                                 codec->coder, items, which, *at, *predicted, *to, in_place != 0,
                                 reinterpret_cast<status*>(statuses),
                                 {workspace_dev, workspace_bytes}, stream, within);
                           });
}

skv_status skv_cuda_pool_drop_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                    const skv_cuda_pool_entries* entries, uint8_t* statuses,
                                    const skv_cuda_limits* limits, void* stream) {
  return call_with_entries(pool, batch, entries, limits,
                           [&](const cuda::block_batch& items, const cuda::pool_entries& which,
                               cuda::launch_limits within) {
                             return pool->held.drop_async(
                                 items, which, reinterpret_cast<status*>(statuses), stream, within);
                           });
}

skv_status skv_cuda_pool_clear_async(const skv_cuda_pool* pool, void* stream) {
  return call([&]() -> result<done> {
    if (pool == nullptr) return null_pointer("pool");
    return pool->held.clear_async(stream);
  });
}
