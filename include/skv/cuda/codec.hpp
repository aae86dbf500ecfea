// The codec on the GPU: blocks of a paged cache, in device memory, on a stream.
#pragma once

#include <memory>
#include <skv/base/status.hpp>
#include <skv/cuda/pages.hpp>
#include <skv/profile/profile.hpp>
#include <skv/tile/block_image.hpp>

namespace skv::cuda {

/// Some blocks: `items` of them in every layer of the codec's geometry, or in a range of its layers. Arrays
/// of a batch are [layers][items], of the whole geometry also if the batch has only some layers: a call then
/// does for these what one for all does for them, and leaves what belongs to others alone. In a captured
/// graph `items` is the most there can be: replays read how many there are now. Element (l, i) of an array is
/// number l * items + i all the same; those of items that are not there now are left alone.
struct block_batch {
  std::uint32_t items = 0;  ///< in all layers of the geometry at most 2^31 - 1 blocks
  const std::uint32_t* item_count_dev = nullptr;  ///< [1], how many there are now; null: all
  /// [items], tokens in a block, the first ones; null: all. Others are neither read nor written. Decoding needs the
  /// counts of encoding.
  const std::uint32_t* token_counts_dev = nullptr;
  std::uint32_t first_layer = 0;  ///< of the geometry, whose own first one is 0
  std::uint32_t layers = 0;       ///< from there on; 0: all

  SKV_HOST_DEVICE std::uint32_t item_count() const {
    if (item_count_dev == nullptr) return items;
    return *item_count_dev < items ? *item_count_dev : items;
  }
  SKV_HOST_DEVICE std::uint32_t tokens(std::uint32_t item, std::uint32_t of) const {
    if (token_counts_dev == nullptr) return of;
    return token_counts_dev[item] < of ? token_counts_dev[item] : of;
  }
};

/// Layers of a geometry: the first, and the one behind the last.
struct layer_range {
  std::uint32_t first, end;
};

/// Which ones a batch has, of `layers`. Fails with invalid_argument if there are none such.
inline result<layer_range> layers_of(const block_batch& batch, std::uint32_t layers) {
  if (batch.first_layer >= layers || batch.layers > layers - batch.first_layer)
    return fail(status::invalid_argument, "a batch with layers that the geometry does not have");
  return layer_range{batch.first_layer,
                     batch.layers == 0 ? layers : batch.first_layer + batch.layers};
}

/// Where compressed blocks go, and what is said of each. Device pointers; pinned host memory that
/// the device can write serves as well.
///
/// Slots: a block's bytes go to the start of its slot if they are at most `slot_bytes`; otherwise
/// its status is does_not_fit, its size 0, and nothing is written there. Slots may be the raw
/// blocks themselves (in place): a block is only overwritten once all of it is encoded and fits. No page
/// may then be in the batch twice: where requests share one, name it once, or its numbers are lost. What lies
/// in the slot and is of no tensor may be lost, too. Where K and V have blocks of their own, a codec for each codes
/// them in place. Otherwise slots overlap neither each other nor what a call reads.
/// Packed: blocks follow each other in the order of the batch, each at a multiple of kBlockAlign; those of
/// every call begin at `packed`, and its offsets and total count from there, also for some layers only.
struct encoded_places {
  block_places slots;              ///< starts at multiples of 4; not used if `packed` is set
  std::uint32_t slot_bytes = 0;    ///< room in each slot: max_block_bytes holds any block
  std::byte* packed = nullptr;     ///< at a multiple of kBlockAlign
  std::uint64_t packed_bytes = 0;  ///< room there
  tile_record* records = nullptr;  ///< [layers][items][tiles_per_block]
  std::uint32_t* sizes = nullptr;  ///< [layers][items], bytes; 0 for what is skipped
  status* statuses = nullptr;      ///< [layers][items]: ok (also: skipped) or does_not_fit
  /// [layers][items], where packed blocks begin, in bytes from `packed`; needed if that is set, as the next one is
  std::uint64_t* offsets = nullptr;
  std::uint64_t* total_bytes = nullptr;  ///< [1], of all blocks, those that do not fit included
};

/// Where compressed blocks are, as encoding left them. None of these arrays is trusted, but for those that say
/// where slots are.
struct stored_places {
  block_places slots;
  std::uint32_t slot_bytes = 0;
  const std::byte* packed = nullptr;
  std::uint64_t packed_bytes = 0;
  const std::uint64_t* offsets = nullptr;
  const tile_record* records = nullptr;
  const std::uint32_t* sizes = nullptr;
  /// Of encoding: a block that is not ok there has no compressed bytes; does_not_fit: it stayed raw.
  const status* statuses = nullptr;
};

/// What was written, to be read.
inline stored_places as_stored(const encoded_places& e) {
  return {e.slots,   e.slot_bytes, e.packed, e.packed_bytes,
          e.offsets, e.records,    e.sizes,  e.statuses};
}

/// Tokens of every block and heads that are wanted: tiles that have none of them are not touched; tiles that have
/// some are decoded whole, and opaque bytes always.
struct wanted_range {
  std::uint32_t first_token = 0, tokens = 0xffffffff;
  std::uint32_t first_head = 0, heads = 0xffffffff;
};

/// Packed blocks begin at multiples of this.
inline constexpr std::uint32_t kBlockAlign = 16;

/// What a call may use of the device.
struct launch_limits {
  /// At most so many SMs are used, and the others left alone: the grid has one block for each, as
  /// large as the kernel can have, which stays until all is done. 0: all.
  std::uint32_t multiprocessors = 0;
};

/// Room that a call works in. Its content does not matter and need not be kept: calls that follow each other on a
/// stream may share it; calls that may run at once, replays of graphs included, may not.
struct workspace {
  void* data = nullptr;  ///< device memory at a multiple of 256
  std::size_t bytes = 0;
};

/// Codes blocks as a profile and a geometry say. Holds tables and scales in the memory of the device
/// that was current when it was made, and must be used while that one is. Immutable: any number of threads and
/// streams may use one at once, with a workspace for each call in flight. It must live until the calls, and the
/// graphs that captured them, are done; its end may wait for the device.
///
/// Numbers are rows of contiguous channels, aligned to their size. Calls enqueue on `stream` (a
/// cudaStream_t; null: the default stream) and return: no allocation, no synchronisation, no read of device
/// arrays by the host. They can be captured in a graph. Device memory that they name must stay until the
/// stream is done, and for a graph until its last replay is; replays read arrays anew (indices, pointers, counts).
///
/// A result that is not `done` says what is wrong with the call: invalid_argument (arrays that are missing,
/// numbers or slots that are not aligned, a workspace that is too small, layers that the geometry does not have,
/// too many blocks), before anything is enqueued; or unsupported (CUDA refused the launch). What is wrong with a
/// block is in its status, on the device, and no matter of the others.
class codec {
 public:
  /// Copies the profile's tables to the current device and waits for that: not while a stream is captured. Fails
  /// with invalid_argument (the geometry), wrong_profile (no scales for it), unsupported (no device, no memory
  /// there, a block too large for it).
  static result<codec> make(const profile_ptr& p, const block_geometry& geometry);
  codec(codec&&) noexcept;
  codec& operator=(codec&&) noexcept;
  ~codec();

  std::uint32_t layers() const;
  /// Tile records per block.
  std::uint32_t tiles_per_block() const;
  /// A slot of this size holds every block.
  std::uint32_t max_block_bytes() const;
  /// Room in which so many items fit, packed.
  std::uint64_t max_compressed_bytes(std::uint32_t items) const;
  /// What the calls need, with such limits, for batches of up to `max_items`; without limits: with any. It grows
  /// with the device, hardly with the batch.
  std::size_t workspace_bytes(std::uint32_t max_items, launch_limits limits = {}) const;

  /// Encodes `numbers`, in the profile's target format. `means` is read only if the profile's means are given, and
  /// may be {} otherwise; it has the geometry's tensors in the profile's mean format, in a layout of its own. An
  /// item that has no block there stays raw: does_not_fit.
  result<done> encode_async(const block_batch& batch, const paged_cache& numbers,
                            const paged_cache& means, const encoded_places& out, workspace room,
                            void* stream, launch_limits limits = {}) const;

  /// Packs what encode_async left in slots or in place: `out` then holds what it would have written
  /// as packed, but for the records, which stay where they are (out.records is not used). A block that
  /// has no compressed bytes takes no room, and its status is that of `in`; one that finds no room in
  /// out.packed does_not_fit; one whose size or place cannot be is corrupt. Sizes are 0 for all of
  /// these. Arrays of `out` may be those of `in`, where it need not be known what found no room.
  result<done> compact_async(const block_batch& batch, const stored_places& in,
                             const encoded_places& out, workspace room, void* stream,
                             launch_limits limits = {}) const;

  /// Decodes what encode_async wrote, into `numbers`, which may lie elsewhere and otherwise than those that were
  /// encoded. The means must be the same bits. `statuses` [layers][items] tells of each block:
  /// ok (also: skipped); does_not_fit (it had stayed raw, and is not in this cache); truncated, corrupt,
  /// wrong_prediction (the numbers written are worth nothing); or what else in.statuses says of it.
  /// `statuses` may be in.statuses.
  /// `in_place`: slots are the blocks of `numbers` themselves; then `wanted` must be everything, a
  /// block that had stayed raw is ok, and one that cannot be decoded keeps its compressed bytes. No
  /// page may be in the batch twice, as in encoding.
  result<done> decode_async(const block_batch& batch, const stored_places& in,
                            const paged_cache& means, const paged_cache& numbers, bool in_place,
                            const wanted_range& wanted, status* statuses, workspace room,
                            void* stream, launch_limits limits = {}) const;

 private:
  struct state;
  explicit codec(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

}  // namespace skv::cuda
