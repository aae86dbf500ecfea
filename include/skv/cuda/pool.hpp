// A pool of compressed blocks in device memory: what compressing saves becomes room for more tokens.
#pragma once

#include <memory>
#include <skv/base/status.hpp>
#include <skv/cuda/codec.hpp>
#include <type_traits>

namespace skv::cuda {

/// What a pool holds. Free and used sectors are all sectors, after every call.
struct pool_counts {
  std::uint64_t free_sectors, used_sectors;
  std::uint64_t blocks;  ///< stored
  std::uint64_t bytes;   ///< of these, compressed
};

/// A pool as kernels see it: trivially copyable, valid as long as the pool. All pointers are device
/// pointers; behind them is what the calls before on the stream left. The compressed bytes of an entry are its
/// sectors one after another, in the order of their numbers in `sectors_dev`; the last one may be filled in part.
struct pool_ref {
  std::byte* arena;            ///< [sectors][1 << sector_bits] bytes, at a multiple of 256
  std::uint32_t sector_bits;   ///< log2 of the bytes of a sector
  std::uint32_t sectors;       ///< in the arena
  std::uint32_t entries;       ///< how many blocks there can be
  std::uint32_t max_sectors;   ///< of an entry
  std::uint32_t tiles;         ///< of a block
  std::uint32_t* free_dev;     ///< [sectors], of which the first counts_dev->free_sectors are free
  std::uint32_t* states_dev;   ///< [entries], kEmpty, or the size in bytes + kStored
  std::uint32_t* sectors_dev;  ///< [entries][max_sectors]
  tile_record* records_dev;    ///< [entries][tiles]
  pool_counts* counts_dev;

  /// Sizes are multiples of 4.
  static constexpr std::uint32_t kEmpty = 0, kStored = 1;

  SKV_HOST_DEVICE bool holds(std::int64_t entry) const {
    return entry >= 0 && entry < entries && states_dev[entry] != kEmpty;
  }
  /// Of an entry that it holds.
  SKV_HOST_DEVICE std::uint32_t bytes(std::int64_t entry) const {
    return states_dev[entry] - kStored;
  }
  SKV_HOST_DEVICE std::uint32_t sectors_of(std::uint32_t bytes) const {
    return (bytes >> sector_bits) + ((bytes & ((1u << sector_bits) - 1)) != 0);
  }
  /// The numbers of an entry's sectors.
  SKV_HOST_DEVICE std::uint32_t* sectors_at(std::int64_t entry) const {
    return sectors_dev + entry * max_sectors;
  }
  SKV_HOST_DEVICE tile_record* records_at(std::int64_t entry) const {
    return records_dev + entry * tiles;
  }
  SKV_HOST_DEVICE std::byte* sector(std::uint32_t number) const {
    return arena + (std::size_t{number} << sector_bits);
  }
};
static_assert(std::is_trivially_copyable_v<pool_ref>, "it is a kernel's parameter");

/// Which entries of a pool the blocks of a batch are; `first` and `layer_stride` count entries. The caller
/// chooses them, as it chooses the blocks of a paged cache: block `b` of layer `l` may well be entry `l * blocks + b`.
struct pool_entries {
  std::int64_t first = 0;
  std::int64_t layer_stride = 0;
  /// [items], on the device, read when the work runs, as those of block_places; null: item i is i. A negative
  /// index is no entry: the item is skipped.
  const std::int32_t* indices_dev = nullptr;

  SKV_HOST_DEVICE bool exists(std::uint32_t item) const {
    return indices_dev == nullptr || indices_dev[item] >= 0;
  }
  SKV_HOST_DEVICE std::int64_t at(std::uint32_t layer, std::uint32_t item) const {
    return first + layer * layer_stride +
           (indices_dev == nullptr ? std::int64_t{item} : indices_dev[item]);
  }
};

struct pool_options {
  std::uint32_t sectors = 0;         ///< at least 1
  std::uint32_t sector_bytes = 512;  ///< a power of two from 64 to 65536
  std::uint32_t entries = 0;  ///< how many blocks there can be, whatever their size; at least 1
  /// Of a block: larger ones are not stored. 0: as many as any block needs. Each takes 4 bytes of
  /// every entry.
  std::uint32_t max_sectors = 0;
};

/// Holds compressed blocks in sectors of an arena in device memory:
///
///     coder.encode_async(batch, cache, means, places, room, stream);           // in place
///     p.store_async(batch, entries, as_stored(places), statuses, stream);
///     // blocks whose status is ok are free for other tokens; later, into any block:
///     p.restore_async(coder, batch, entries, places, means, cache, true, statuses, room, stream);
///     p.drop_async(batch, entries, statuses, stream);
///
/// Batches, their arrays [layers][items] and their layers are those of a codec of the same geometry.
/// Calls enqueue on `stream`, return and fail as those of codec, and need no workspace, but for what decodes; they
/// can be captured in a graph. The memory is on the device that was current when the pool was made, which must be
/// current in calls. A pool may be used by one thread at a time, and must live until the calls, and the graphs that
/// captured them, are done.
///
/// store, drop and clear change the pool: they must follow each other on the device, on one stream
/// or ordered by events, each after the restores of entries that it changes and before those that
/// want what it stored. Nothing then waits for anything: within a call sectors are only taken, or
/// only given back, each by one addition to a counter. load and restore only read: any number may
/// run at once, beside a store or drop of other entries.
class pool {
 public:
  /// Takes device memory, all that there will be, and waits until it is ready. Fails with invalid_argument (the
  /// geometry, the options), wrong_profile (no scales for the geometry) or unsupported (no device, no memory there).
  static result<pool> make(const profile_ptr& p, const block_geometry& geometry,
                           const pool_options& options);
  pool(pool&&) noexcept;
  pool& operator=(pool&&) noexcept;
  ~pool();

  pool_ref ref() const;
  /// Bytes of the device, all in all: the arena and what is known of its sectors and entries.
  std::size_t memory_bytes() const;
  /// Waits for `stream`, which may not be captured. Fails with unsupported (an error of the device).
  result<pool_counts> read_counts(void* stream) const;

  /// Moves blocks that encode_async left (in slots, in place or packed) into the pool, with their
  /// records. What it read is left as it is. `statuses` [layers][items], another array than that of `in`, tells
  /// of each block: ok (it is stored, or skipped); does_not_fit (it had stayed raw, needs more than
  /// max_sectors, or the arena is full: nothing is stored, and the arena counts as full for the rest of the
  /// batch); invalid_argument (no such entry, or it holds a block already); corrupt (no size or place that
  /// encoding leaves), or what else in.statuses says. A block in place that is not stored is restored by
  /// decode_async, in place.
  result<done> store_async(const block_batch& batch, const pool_entries& entries,
                           const stored_places& in, status* statuses, void* stream,
                           launch_limits limits = {}) const;

  /// Copies blocks out of the pool, as encode_async would have left them in slots: bytes, records,
  /// sizes, statuses. These are ok; does_not_fit (skipped); invalid_argument (the entry holds
  /// nothing, there is no such entry, or no slot with room for it). The pool keeps the blocks. Packed places are
  /// refused; offsets and total_bytes are not used.
  result<done> load_async(const block_batch& batch, const pool_entries& entries,
                          const encoded_places& out, void* stream, launch_limits limits = {}) const;

  /// load_async and then coder.decode_async: bytes are loaded into slots, or into the blocks of
  /// `numbers` themselves (`in_place`), and decoded from there. `statuses` are those of decode_async;
  /// of blocks that could not be loaded they are those of load_async (in place, ok if skipped).
  /// Fails with invalid_argument if the codec is of another geometry; where it is decoding that is refused, loading
  /// has been enqueued. In place no page may be in the batch twice.
  result<done> restore_async(const codec& coder, const block_batch& batch,
                             const pool_entries& entries, const encoded_places& places,
                             const paged_cache& means, const paged_cache& numbers, bool in_place,
                             status* statuses, workspace room, void* stream,
                             launch_limits limits = {}) const;

  /// Gives the sectors of entries back. `statuses` [layers][items]: ok (dropped, or skipped);
  /// invalid_argument (the entry holds nothing, or there is no such entry). Of several blocks of a
  /// batch that are one entry, one is ok.
  result<done> drop_async(const block_batch& batch, const pool_entries& entries, status* statuses,
                          void* stream, launch_limits limits = {}) const;

  /// Drops everything.
  result<done> clear_async(void* stream) const;

 private:
  struct state;
  explicit pool(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

}  // namespace skv::cuda
