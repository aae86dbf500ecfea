#include <skv/cuda/pool.hpp>

#include "pool_layout.hpp"
#include "prepared_kernel.hpp"
#include "refuse.hpp"

namespace skv::cuda {

struct pool::state {
  block_plan plan{};
  pool_layout layout;
  std::byte* memory = nullptr;
  pool_ref ref{};
  prepared_kernel store, load, drop, clear;

  ~state() { cudaFree(memory); }

  result<done> prepare() {
    auto device = device_properties::current();
    if (!device) return device.failure();
    for (const auto& [kernel, entry] :
         {std::pair{&store, find_store_kernel()}, std::pair{&load, find_load_kernel()},
          std::pair{&drop, find_drop_kernel()}, std::pair{&clear, find_clear_kernel()}}) {
      auto made = prepared_kernel::make(entry, plan, *device);
      if (!made) return made.failure();
      *kernel = *made;
    }
    return done{};
  }

  pool_change* change() const { return reinterpret_cast<pool_change*>(memory + layout.change); }

  /// What a kernel that moves sectors begins with.
  result<done> begin_change(void* stream) const {
    auto* const on = static_cast<cudaStream_t>(stream);
    cudaError_t e = cudaMemsetAsync(change(), 0, sizeof(pool_change), on);
    if (e == cudaSuccess)
      e = cudaMemcpyAsync(&change()->free_before, &ref.counts_dev->free_sectors,
                          sizeof ref.counts_dev->free_sectors, cudaMemcpyDeviceToDevice, on);
    if (e != cudaSuccess) return device_error(e, "a change of the pool cannot begin");
    return done{};
  }
};

pool::pool(std::unique_ptr<state> s) : state_(std::move(s)) {}
pool::pool(pool&&) noexcept = default;
pool& pool::operator=(pool&&) noexcept = default;
pool::~pool() = default;

result<pool> pool::make(const profile_ptr& p, const block_geometry& geometry,
                        const pool_options& options) {
  auto s = std::make_unique<state>();
  plan_arrays arrays;
  auto plan = make_plan(*p, geometry, arrays);
  if (!plan) return plan.failure();
  s->plan = *plan;
  auto layout = pool_layout::make(s->plan, options);
  if (!layout) return layout.failure();
  s->layout = *layout;
  if (auto ok = s->prepare(); !ok) return ok.failure();
  void* memory = nullptr;
  cudaError_t e = cudaMalloc(&memory, s->layout.bytes);
  if (e != cudaSuccess) return device_error(e, "there is no memory for the pool");
  s->memory = static_cast<std::byte*>(memory);
  s->ref = s->layout.ref(s->memory);
  pool made(std::move(s));
  if (auto ok = made.clear_async(nullptr); !ok) return ok.failure();
  e = cudaStreamSynchronize(nullptr);
  if (e != cudaSuccess) return device_error(e, "the pool cannot be cleared");
  return made;
}

pool_ref pool::ref() const { return state_->ref; }
std::size_t pool::memory_bytes() const { return state_->layout.bytes; }

result<pool_counts> pool::read_counts(void* stream) const {
  pool_counts counts{};
  auto* const on = static_cast<cudaStream_t>(stream);
  cudaError_t e =
      cudaMemcpyAsync(&counts, state_->ref.counts_dev, sizeof counts, cudaMemcpyDeviceToHost, on);
  if (e == cudaSuccess) e = cudaStreamSynchronize(on);
  if (e != cudaSuccess) return device_error(e, "the pool's counts cannot be read");
  return counts;
}

result<done> pool::store_async(const block_batch& batch, const pool_entries& entries,
                               const stored_places& in, status* statuses, void* stream,
                               launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  if (auto ok = check_stored(in); !ok) return ok;
  if (in.records == nullptr || statuses == nullptr)
    return bad("records and statuses must be given");
  if (statuses == in.statuses)
    return bad("what storing says of blocks must not overwrite what encoding said");
  const schedule grid = s.store.schedule_of(*plan, batch.items, limits, false);
  if (auto ok = s.begin_change(stream); !ok) return ok;
  store_parameters p{*plan, batch, s.ref, entries, in, statuses, s.change(), grid.round_blocks};
  return s.store.launch(grid, p, stream);
}

result<done> pool::load_async(const block_batch& batch, const pool_entries& entries,
                              const encoded_places& out, void* stream, launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  if (out.packed != nullptr) return bad("blocks are loaded into slots");
  if (auto ok = check_slots(out.slots); !ok) return ok;
  if (out.records == nullptr || out.sizes == nullptr || out.statuses == nullptr)
    return bad("records, sizes and statuses must be given");
  const schedule grid = s.load.schedule_of(*plan, batch.items, limits, false);
  load_parameters p{*plan, batch, s.ref, entries, out, grid.round_blocks};
  return s.load.launch(grid, p, stream);
}

result<done> pool::restore_async(const codec& coder, const block_batch& batch,
                                 const pool_entries& entries, const encoded_places& places,
                                 const paged_cache& means, const paged_cache& numbers,
                                 bool in_place, status* statuses, workspace room, void* stream,
                                 launch_limits limits) const {
  const state& s = *state_;
  if (coder.layers() != s.plan.layers || coder.tiles_per_block() != s.plan.tiles ||
      coder.max_block_bytes() != round_up(s.plan.tiles * s.plan.stage_bytes, kBlockAlign))
    return bad("the codec and the pool are of different geometries");
  if (auto ok = load_async(batch, entries, places, stream, limits); !ok) return ok;
  return coder.decode_async(batch, as_stored(places), means, numbers, in_place, {}, statuses, room,
                            stream, limits);
}

result<done> pool::drop_async(const block_batch& batch, const pool_entries& entries,
                              status* statuses, void* stream, launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  if (statuses == nullptr) return bad("statuses must be given");
  if (auto ok = s.begin_change(stream); !ok) return ok;
  drop_parameters p{*plan, batch, s.ref, entries, statuses, s.change()};
  return s.drop.launch(s.drop.schedule_of(*plan, batch.items, limits, false), p, stream);
}

result<done> pool::clear_async(void* stream) const {
  const state& s = *state_;
  clear_parameters p{s.ref};
  return s.clear.launch(s.clear.grid_of({}), p, stream);
}

}  // namespace skv::cuda
