// The C ABI, CUDA part: blocks of a paged cache in device memory, compressed and restored on a stream.
// Link skv::c_cuda, which brings skv::c. No CUDA header is needed: a stream is a cudaStream_t passed as
// void* (null: the default stream), device pointers are pointers.
//
// What skv.h says of statuses, skv_last_error, null and senseless arguments, and of structures that
// begin with `struct_size`, holds here. Names in `_dev`, and all pointers in the places below, are device
// pointers (pinned host memory that the device can write serves as well). They are checked for null and
// alignment; memory that is not there behind one is an error of the device, which CUDA reports later.
//
// A batch has `items` (pages of requests) in every layer of a geometry, or in some of its layers; a block is
// one item in one layer. Arrays of a batch are [layers][items], of the whole geometry also if the batch has
// only some layers: a call then does for these what one for all does for them, and leaves what belongs to
// others alone. Statuses on the device are bytes with the values of skv_status.
//
// Structures own nothing, and a call copies them; a captured graph keeps their values. What their pointers lead to
// is read when the work runs, by every replay anew: it must stay until then, and may be changed in between. Nobody
// checks that indices and pointers in arrays lead to memory that is there. Strides and offsets are bytes.
// docs/layouts.md describes the caches of engines.
#pragma once

#include <skv/skv.h>

// This is C: NOLINTBEGIN(modernize-*, readability-identifier-naming)
#ifdef __cplusplus
extern "C" {
#endif

// --- what blocks are -----------------------------------------------------------------------------

/// At most K, V and two more in a block.
enum { SKV_CUDA_MAX_TENSORS = 4 };

/// A tensor of every block, [tokens, heads, head_dim] of numbers, at most 65536 in a row of a token; or bytes of any
/// kind. Never grows.
typedef struct skv_cuda_tensor {
  skv_kind kind;
  uint32_t heads, head_dim;
  /// Not 0: so many contiguous bytes of a block, no numbers, kept as they are, however many tokens it has. The
  /// members above then count for nothing, and means have no place for them.
  uint32_t opaque_bytes;
} skv_cuda_tensor;

/// What every block consists of: the same for those who encode and decode. A tile has at most 1 MiB of numbers, a
/// block at most 4096 tiles and 2 GiB. May be shorter by the members from `tile_tokens` on.
typedef struct skv_cuda_geometry {
  size_t struct_size;
  uint32_t first_layer;   ///< of the model; the profile has scales for each layer
  uint32_t layers;        ///< 1 to 65536
  uint32_t tokens;        ///< per block, 1 to 65536
  uint32_t tensor_count;  ///< of `tensors`
  skv_cuda_tensor tensors[SKV_CUDA_MAX_TENSORS];
  uint32_t tile_tokens;  ///< tokens of a tile; 0: as many as make about 8,192 numbers of a head
  uint32_t tile_heads;   ///< heads of a tile; 0: likewise. Other tiles give other bytes.
} skv_cuda_geometry;

/// Where blocks begin. Either by a number: layer l begins at `base + l * layer_stride_bytes`, or at
/// `layer_bases_dev[l]`, and in it block b at `b * block_stride_bytes`. Or by a pointer:
/// `pointers_dev[l * pointer_layer_stride + item] + l * layer_stride_bytes`. Layers count from the
/// geometry's first. Never grows.
typedef struct skv_cuda_block_places {
  void* base;
  int64_t layer_stride_bytes;
  int64_t block_stride_bytes;
  const int32_t* indices_dev;    ///< [items]; null: item i is block i; negative: it is skipped
  void* const* pointers_dev;     ///< [items] or [layers][pointer_layer_stride]; null in it: skipped
  int64_t pointer_layer_stride;  ///< between layers' pointers; 0: they are the same
  void* const* layer_bases_dev;  ///< [layers] of the geometry; null: layers begin at base
} skv_cuda_block_places;

/// Where a tensor lies in its block: channels are contiguous; tokens and heads have strides. Everything is a
/// multiple of the size of a number. Never grows.
typedef struct skv_cuda_tensor_place {
  int64_t offset_bytes;  ///< from the block's start, also beyond its end
  int64_t token_stride_bytes;
  int64_t head_stride_bytes;  ///< of no account where there is one head
  /// Its own blocks, if it does not lie in those of its cache: K and V, or scales, in arrays of their own; all
  /// zero: it does. An item that one of a codec's tensors lacks is skipped in all of them.
  skv_cuda_block_places blocks;
} skv_cuda_tensor_place;

/// A paged cache: numbers aligned to their size.
typedef struct skv_cuda_paged_cache {
  size_t struct_size;
  skv_cuda_block_places blocks;  ///< not needed where every tensor has its own
  skv_cuda_tensor_place tensors[SKV_CUDA_MAX_TENSORS];  ///< in the order of the geometry
} skv_cuda_paged_cache;

/// Some items; in all layers of the geometry at most 2^31 - 1 blocks. Element (l, i) of an array is number
/// l * items + i, however many items there are now; those of others are left alone. May be shorter by the members
/// from `item_count_dev` on.
typedef struct skv_cuda_batch {
  size_t struct_size;
  uint32_t items;                  ///< in a captured graph the most there can be
  uint32_t reserved;               ///< 0
  const uint32_t* item_count_dev;  ///< [1], how many there are now, at most `items`; null: all
  /// [items], tokens in a block, the first ones; null: all. Others are neither read nor written. Decoding needs the
  /// counts of encoding.
  const uint32_t* token_counts_dev;
  uint32_t first_layer;  ///< of the geometry, whose own first one is 0
  uint32_t layers;       ///< from there on; 0: all
} skv_cuda_batch;

/// Where compressed blocks go, and what is said of each.
///
/// Slots: a block's bytes go to the start of its slot if they are at most `slot_bytes`; otherwise its status is
/// SKV_DOES_NOT_FIT, its size 0, and nothing is written there. Slots may be the raw blocks themselves (in place):
/// one is only overwritten once all of the block is encoded and fits. What lies in the slot and is of no tensor may
/// then be lost. Otherwise slots overlap neither each other nor what a call reads. Where K and V have blocks of
/// their own, a codec for each codes them in place.
/// Packed: blocks follow each other in the order of the batch, each at a multiple of 16; those of every call
/// begin at `packed`.
typedef struct skv_cuda_encoded_places {
  size_t struct_size;
  skv_cuda_block_places slots;  ///< starts at multiples of 4; not used if `packed` is given
  uint32_t slot_bytes;          ///< room in each slot
  uint32_t reserved;            ///< 0
  void* packed;                 ///< at a multiple of 16
  uint64_t packed_bytes;        ///< room there
  skv_tile_record* records;     ///< [layers][items][skv_cuda_tiles_per_block]
  uint32_t* sizes;              ///< [layers][items], bytes; 0 for what is skipped
  uint8_t* statuses;            ///< [layers][items]: SKV_OK (also: skipped) or SKV_DOES_NOT_FIT
  uint64_t* offsets;            ///< [layers][items], bytes from `packed`; needed if that is given
  uint64_t* total_bytes;        ///< [1], the same; of all blocks, those that do not fit included
} skv_cuda_encoded_places;

/// Where compressed blocks are, as encoding left them. The content of none of these arrays is trusted, but for
/// those that say where slots are.
typedef struct skv_cuda_stored_places {
  size_t struct_size;
  skv_cuda_block_places slots;
  uint32_t slot_bytes;
  uint32_t reserved;  ///< 0
  const void* packed;
  uint64_t packed_bytes;
  const skv_tile_record* records;
  const uint32_t* sizes;
  const uint8_t* statuses;  ///< of encoding: blocks that are not SKV_OK there stayed raw
  const uint64_t* offsets;
} skv_cuda_stored_places;

/// Tokens of every block and heads that are wanted: tiles that have none of them are not touched; tiles that have
/// some are decoded whole, and opaque bytes always.
typedef struct skv_cuda_wanted_range {
  size_t struct_size;
  uint32_t first_token, tokens;  ///< 0 tokens: all from first_token on
  uint32_t first_head, heads;    ///< 0 heads: all from first_head on
} skv_cuda_wanted_range;

/// What a call may use of the device.
typedef struct skv_cuda_limits {
  size_t struct_size;
  uint32_t multiprocessors;  ///< at most so many SMs are used, the others left alone; 0: all
  uint32_t reserved;         ///< 0
} skv_cuda_limits;

// --- the codec --------------------------------------------------------------------------------

/// Codes blocks as a profile and a geometry say; its bytes are those of the CPU codec for the same
/// tiles. Holds tables and scales in the memory of the device that was current when it was made, and
/// must be used while that one is current.
///
/// Immutable, counted by references: any number of threads and streams may use one at once, each call in flight
/// with a workspace of its own: device memory at a multiple of 256, whose content does not matter and need not be
/// kept, so that calls which follow each other on a stream may share it. Work on a stream and graphs that captured
/// calls hold no reference: keep one until the stream is done, and for each such graph until its last replay is.
typedef struct skv_cuda_codec skv_cuda_codec;

/// Copies the profile's tables to the current device and waits for that (not while a stream is captured); keeps
/// what it needs of the profile. Fails with SKV_INVALID_ARGUMENT (also: a geometry that cannot be),
/// SKV_WRONG_PROFILE (no scales for the geometry), SKV_UNSUPPORTED (no device, no memory on it, a block too large
/// for it), SKV_OUT_OF_MEMORY (of the host).
SKV_API skv_status skv_cuda_codec_create(const skv_profile* profile,
                                         const skv_cuda_geometry* geometry, skv_cuda_codec** codec);
/// One more reference. Returns `codec`, which may be null.
SKV_API skv_cuda_codec* skv_cuda_codec_retain(skv_cuda_codec* codec);
/// One reference less; the last one frees, and may wait for the device. Null does nothing.
SKV_API void skv_cuda_codec_release(skv_cuda_codec* codec);

/// Tile records per block. Fails with SKV_INVALID_ARGUMENT, as the next three.
SKV_API skv_status skv_cuda_tiles_per_block(const skv_cuda_codec* codec, uint32_t* tiles);
/// The size of a slot that holds every block.
SKV_API skv_status skv_cuda_max_block_bytes(const skv_cuda_codec* codec, uint32_t* bytes);
/// The room in which so many items fit in all layers, packed.
SKV_API skv_status skv_cuda_max_compressed_bytes(const skv_cuda_codec* codec, uint32_t items,
                                                 uint64_t* bytes);
/// What a call with these limits needs for batches of up to `max_items`; null: with any. It grows with the
/// device, hardly with the batch.
SKV_API skv_status skv_cuda_workspace_bytes(const skv_cuda_codec* codec, uint32_t max_items,
                                            const skv_cuda_limits* limits, size_t* bytes);

// The calls enqueue on `stream` and return: no allocation on the device, no synchronisation, no read
// of device memory by the host. They can be captured in a graph. The structures may go away when they
// return; all device memory that they name must stay until the stream is done, and for a graph until its last
// replay is. A status other than SKV_OK says what is wrong with the call, and nothing was enqueued, unless CUDA
// itself refused the launch (SKV_UNSUPPORTED); what is wrong with a block is in its status, on the device.

/// Compresses the blocks of `numbers`, in the profile's target format. `means` is read only if the profile's means
/// are given, and may be null otherwise; it has the geometry's tensors in the profile's mean format, in a layout of
/// its own; an item that has no block there stays raw (SKV_DOES_NOT_FIT). `limits` null: none. In place no block
/// may be in the batch twice: one would be read while the other is written over it, and its content be lost.
/// Fails with
/// - SKV_INVALID_ARGUMENT: a structure or pointer that is null or misaligned, arrays that are missing,
///   a workspace that is too small, layers that the geometry does not have, more than 2^31 - 1 blocks.
/// - SKV_UNSUPPORTED: a member that this version does not know is not zero; CUDA refused the launch.
/// - SKV_OUT_OF_MEMORY: of the host.
SKV_API skv_status skv_cuda_encode_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                         const skv_cuda_paged_cache* numbers,
                                         const skv_cuda_paged_cache* means,
                                         const skv_cuda_encoded_places* out, void* workspace_dev,
                                         size_t workspace_bytes, const skv_cuda_limits* limits,
                                         void* stream);

/// Packs what skv_cuda_encode_async left in slots or in place, and leaves that as it is: `out` then holds
/// what encoding would have written as packed, but for the records, which stay where they are
/// (out->records is not used). A block that has no compressed bytes takes no room, and its status is that
/// of `in`; one that finds no room in out->packed is SKV_DOES_NOT_FIT; one whose size or place cannot be is
/// SKV_CORRUPT. Sizes are 0 for all of these. Arrays of `out` may be those of `in`, where it need not be
/// known what found no room; out->packed may not be memory that `in` has blocks in. Fails as
/// skv_cuda_encode_async, and with SKV_INVALID_ARGUMENT if `out` is not packed.
SKV_API skv_status skv_cuda_compact_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                          const skv_cuda_stored_places* in,
                                          const skv_cuda_encoded_places* out, void* workspace_dev,
                                          size_t workspace_bytes, const skv_cuda_limits* limits,
                                          void* stream);

/// Restores what skv_cuda_encode_async wrote into `numbers`, which may lie elsewhere and otherwise than what was
/// encoded. The means must be the same bits. `statuses` [layers][items] tells of each block: SKV_OK (also:
/// skipped); SKV_DOES_NOT_FIT (it had stayed raw, and is not in this cache); SKV_TRUNCATED, SKV_CORRUPT,
/// SKV_WRONG_PREDICTION (the numbers written are worth nothing); or what else in->statuses says of it. `in_place`
/// (not 0): slots are the blocks of `numbers` themselves; then `wanted` must be null or everything, and no block in
/// the batch twice: its content would be lost. A block that had stayed raw is then SKV_OK, and one that cannot be
/// decoded keeps its compressed bytes. `wanted` null: everything. `statuses` may be in->statuses. Fails as
/// skv_cuda_encode_async.
SKV_API skv_status skv_cuda_decode_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                         const skv_cuda_stored_places* in,
                                         const skv_cuda_paged_cache* means,
                                         const skv_cuda_paged_cache* numbers, int in_place,
                                         const skv_cuda_wanted_range* wanted, uint8_t* statuses,
                                         void* workspace_dev, size_t workspace_bytes,
                                         const skv_cuda_limits* limits, void* stream);

// --- the block pool ---------------------------------------------------------------------------

/// What a pool has room for. May be shorter by the members from `sector_bytes` on.
typedef struct skv_cuda_pool_options {
  size_t struct_size;
  uint32_t sectors;       ///< at least 1
  uint32_t entries;       ///< how many blocks there can be, whatever their size; at least 1
  uint32_t sector_bytes;  ///< a power of two from 64 to 65536; 0: 512
  uint32_t max_sectors;  ///< of a block: larger ones are not stored. 0: as many as any block needs.
                         ///< Each takes 4 bytes of every entry.
} skv_cuda_pool_options;

/// Which entries of a pool the blocks of a batch are: that of `item` in `layer` is
/// `first + layer * layer_stride + indices_dev[item]`. The caller chooses them, as it chooses the blocks of a
/// paged cache: block b of layer l may well be entry l * blocks + b.
typedef struct skv_cuda_pool_entries {
  size_t struct_size;
  int64_t first;
  int64_t layer_stride;
  const int32_t* indices_dev;  ///< [items]; null: item i is i; negative: the item is skipped
} skv_cuda_pool_entries;

/// What a pool holds. Free and used sectors are all sectors, after every call.
typedef struct skv_cuda_pool_counts {
  size_t struct_size;
  uint64_t free_sectors, used_sectors;
  uint64_t blocks;  ///< stored
  uint64_t bytes;   ///< of these, compressed
} skv_cuda_pool_counts;

/// A pool as kernels read it: to be copied freely, and valid as long as the pool. What lies behind the device
/// pointers is what the calls before on the stream left. The compressed bytes of entry e are its sectors one
/// after another, in the order of their numbers in `sectors_dev`; the last one may be filled in part.
typedef struct skv_cuda_pool_ref {
  size_t struct_size;
  const void* arena;            ///< [sectors][1 << sector_bits] bytes, at a multiple of 256
  uint32_t sector_bits;         ///< log2 of the bytes of a sector
  uint32_t sectors;             ///< in the arena
  uint32_t entries;             ///< how many blocks there can be
  uint32_t max_sectors;         ///< of an entry
  uint32_t tiles;               ///< of a block
  uint32_t reserved;            ///< 0
  const uint32_t* free_dev;     ///< [sectors], of which the first counts_dev[0] are free
  const uint32_t* states_dev;   ///< [entries]: 0, nothing is stored; else the size in bytes + 1
  const uint32_t* sectors_dev;  ///< [entries][max_sectors]
  const skv_tile_record* records_dev;  ///< [entries][tiles]
  const uint64_t* counts_dev;          ///< [4]: as in skv_cuda_pool_counts, in that order
} skv_cuda_pool_ref;

/// Holds compressed blocks in sectors of an arena in device memory, so that what compressing saves becomes
/// room for more tokens:
///
///     skv_cuda_encode_async: in place
///     skv_cuda_pool_store_async: blocks whose status is SKV_OK are free for other tokens
///     skv_cuda_pool_restore_async: later, into any block
///     skv_cuda_pool_drop_async
///
/// Batches, their arrays [layers][items] and their layers are those of a codec of the same geometry. The pool is
/// in the memory of the device that was current when it was made, and must be used while that one is current.
///
/// Counted by references. It may be used by one thread at a time, but for retain and release. Store, drop and
/// clear change it: they must follow each other on the device, on one stream or ordered by events, each after
/// the restores of entries that it changes and before those that want what it stored. Nothing then waits for
/// anything: within a call sectors are only taken, or only given back, each by one addition to a counter. Load and
/// restore only read: any number may run at once, beside a store or drop of other entries. Work on a stream and
/// captured graphs hold no reference, as with the codec.
typedef struct skv_cuda_pool skv_cuda_pool;

/// Takes device memory, all that there will be, and waits until it is ready. Fails with SKV_INVALID_ARGUMENT
/// (also: a geometry or options that cannot be), SKV_WRONG_PROFILE (no scales for the geometry),
/// SKV_UNSUPPORTED (no device, no memory on it), SKV_OUT_OF_MEMORY (of the host).
SKV_API skv_status skv_cuda_pool_create(const skv_profile* profile,
                                        const skv_cuda_geometry* geometry,
                                        const skv_cuda_pool_options* options, skv_cuda_pool** pool);
/// One more reference. Returns `pool`, which may be null.
SKV_API skv_cuda_pool* skv_cuda_pool_retain(skv_cuda_pool* pool);
/// One reference less; the last one frees, and may wait for the device. Null does nothing.
SKV_API void skv_cuda_pool_release(skv_cuda_pool* pool);

/// Device memory, all in all: the arena and what is known of its sectors and entries. Fails with
/// SKV_INVALID_ARGUMENT, as the next one.
SKV_API skv_status skv_cuda_pool_memory_bytes(const skv_cuda_pool* pool, size_t* bytes);
/// Fills in `ref` as far as its struct_size reaches, and zeros after what the library knows.
SKV_API skv_status skv_cuda_pool_get_ref(const skv_cuda_pool* pool, skv_cuda_pool_ref* ref);
/// Waits for `stream`, then fills in `counts` as skv_cuda_pool_get_ref does. Not while the stream is captured;
/// fails with SKV_INVALID_ARGUMENT, SKV_UNSUPPORTED (an error of the device).
SKV_API skv_status skv_cuda_pool_read_counts(const skv_cuda_pool* pool, void* stream,
                                             skv_cuda_pool_counts* counts);

// As the codec's calls, these enqueue on `stream` and return, and can be captured in a graph. They need no
// workspace, but for what decodes. They fail as skv_cuda_encode_async; a full arena is no failure, but the status
// of a block.

/// Moves blocks that skv_cuda_encode_async left (in slots, in place or packed) into the pool, with their
/// records. What it read is left as it is. `statuses` [layers][items], another array than in->statuses, tells
/// of each block:
/// - SKV_OK: it is stored, or skipped.
/// - SKV_DOES_NOT_FIT: it had stayed raw, needs more than max_sectors, or the arena is full: nothing is
///   stored, and the arena counts as full for the rest of the batch.
/// - SKV_INVALID_ARGUMENT: there is no such entry, or it holds a block already.
/// - SKV_CORRUPT: no size or place that encoding leaves; or what else in->statuses says.
/// A block in place that is not stored is restored by skv_cuda_decode_async, in place.
SKV_API skv_status skv_cuda_pool_store_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                             const skv_cuda_pool_entries* entries,
                                             const skv_cuda_stored_places* in, uint8_t* statuses,
                                             const skv_cuda_limits* limits, void* stream);

/// Copies blocks out of the pool, as skv_cuda_encode_async would have left them in slots: bytes, records,
/// sizes, statuses. These are SKV_OK; SKV_DOES_NOT_FIT (skipped); SKV_INVALID_ARGUMENT (there is no such entry,
/// it holds nothing, or there is no slot with room for it). The pool keeps the blocks. Packed places are
/// refused; `offsets` and `total_bytes` are not used.
SKV_API skv_status skv_cuda_pool_load_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                            const skv_cuda_pool_entries* entries,
                                            const skv_cuda_encoded_places* out,
                                            const skv_cuda_limits* limits, void* stream);

/// skv_cuda_pool_load_async and then skv_cuda_decode_async: bytes are loaded into the slots of `places`, or, if
/// these are the blocks of `numbers` themselves, `in_place` (not 0), and decoded from there. `statuses`
/// [layers][items] are those of decoding; of blocks that could not be loaded they are those of loading (in place,
/// SKV_OK if skipped). In place no block may be in the batch twice. `workspace_dev` is the codec's. Fails also with
/// SKV_INVALID_ARGUMENT if the codec is of another geometry; where it is decoding that is refused, loading may have
/// been enqueued.
SKV_API skv_status skv_cuda_pool_restore_async(
    const skv_cuda_pool* pool, const skv_cuda_codec* codec, const skv_cuda_batch* batch,
    const skv_cuda_pool_entries* entries, const skv_cuda_encoded_places* places,
    const skv_cuda_paged_cache* means, const skv_cuda_paged_cache* numbers, int in_place,
    uint8_t* statuses, void* workspace_dev, size_t workspace_bytes, const skv_cuda_limits* limits,
    void* stream);

/// Gives the sectors of entries back. `statuses` [layers][items]: SKV_OK (dropped, or skipped);
/// SKV_INVALID_ARGUMENT (the entry holds nothing, or there is no such entry). Of several blocks of a batch that
/// are one entry, one is SKV_OK.
SKV_API skv_status skv_cuda_pool_drop_async(const skv_cuda_pool* pool, const skv_cuda_batch* batch,
                                            const skv_cuda_pool_entries* entries, uint8_t* statuses,
                                            const skv_cuda_limits* limits, void* stream);

/// Drops everything.
SKV_API skv_status skv_cuda_pool_clear_async(const skv_cuda_pool* pool, void* stream);

// --- linear propagation -----------------------------------------------------------------------

/// Makes the means of a profile with linear propagation (`skv calibrate --linear`): what one layer's exact
/// numbers tell of the next. Holds the weights of the geometry's layers in the memory of the device that was
/// current when it was made. Immutable and counted by references, as skv_cuda_codec.
///
/// A pass takes a batch through the layers: for every tensor of the geometry, layer after layer and in a
/// layer K before V, skv_cuda_linear_predict_async, then the encoding or decoding of that tensor with these
/// means, then skv_cuda_linear_update_async. (A decoder needs a codec for that tensor alone, and calls it
/// for the layer; an encoder may encode all at the end.) What is passed on lies in the workspace, device memory at a
/// multiple of 256: a pass needs the same one, and batches of the same `items`, throughout. Until the pass is
/// done nothing else may work there: it must be another workspace than that of the codec's calls.
///
/// Layers and tensors are numbered as in the geometry, from 0; caches hold all of them, and the layers of a batch
/// do not count. Tensors of the profile that are not in the geometry count as zeros, and so do blocks that are not
/// there and tokens behind those of a block.
typedef struct skv_cuda_linear skv_cuda_linear;

/// Copies the weights to the current device and waits for that. Fails with SKV_INVALID_ARGUMENT (also: a
/// profile without linear propagation), SKV_WRONG_PROFILE (a tensor of another shape, or none that the
/// profile knows), SKV_UNSUPPORTED (no device, no memory on it), SKV_OUT_OF_MEMORY (of the host).
SKV_API skv_status skv_cuda_linear_create(const skv_profile* profile,
                                          const skv_cuda_geometry* geometry,
                                          skv_cuda_linear** linear);
/// One more reference. Returns `linear`, which may be null.
SKV_API skv_cuda_linear* skv_cuda_linear_retain(skv_cuda_linear* linear);
/// One reference less; the last one frees, and may wait for the device. Null does nothing.
SKV_API void skv_cuda_linear_release(skv_cuda_linear* linear);

/// What a pass needs for batches of up to `max_items`. Fails with SKV_INVALID_ARGUMENT, as the next two.
SKV_API skv_status skv_cuda_linear_workspace_bytes(const skv_cuda_linear* linear,
                                                   uint32_t max_items, size_t* bytes);
/// Device memory that the weights take.
SKV_API skv_status skv_cuda_linear_device_bytes(const skv_cuda_linear* linear, size_t* bytes);
/// `starts`: 1 if nothing from this layer of the geometry on needs layers before it, so that a pass over
/// a geometry which begins there gives the means of one over all.
SKV_API skv_status skv_cuda_linear_starts_chain(const skv_cuda_linear* linear, uint32_t layer,
                                                int* starts);

// As the codec's calls, these enqueue on `stream` and return, and can be captured in a graph.
// `first_positions_dev` [items] are the sequence positions of the blocks' first tokens; null: item i begins
// at i times the geometry's tokens. They fail as skv_cuda_encode_async.

/// Writes one tensor's means, of the profile's mean format, into `means`. `bases` is read only if the
/// profile's bases are given, and may be null otherwise. An item without a block there gets no means.
SKV_API skv_status skv_cuda_linear_predict_async(const skv_cuda_linear* linear, uint32_t layer,
                                                 uint32_t tensor, const skv_cuda_batch* batch,
                                                 const uint32_t* first_positions_dev,
                                                 const skv_cuda_paged_cache* bases,
                                                 const skv_cuda_paged_cache* means,
                                                 void* workspace_dev, size_t workspace_bytes,
                                                 const skv_cuda_limits* limits, void* stream);

/// Passes on what one tensor's exact numbers tell. `numbers` null: the batch lacks this tensor. `bases` as
/// they were when it was predicted.
SKV_API skv_status skv_cuda_linear_update_async(const skv_cuda_linear* linear, uint32_t layer,
                                                uint32_t tensor, const skv_cuda_batch* batch,
                                                const uint32_t* first_positions_dev,
                                                const skv_cuda_paged_cache* numbers,
                                                const skv_cuda_paged_cache* bases,
                                                void* workspace_dev, size_t workspace_bytes,
                                                const skv_cuda_limits* limits, void* stream);

/// Puts outside rows, by their number in the profile, into the workspace before the first prediction of a
/// pass: int8 innovations, one row behind the other. A token's is row `ids_dev` [items][tokens], zeros if
/// that is not below `row_count`; with `ids_dev` null its own, of [items][tokens] rows.
SKV_API skv_status skv_cuda_linear_take_async(const skv_cuda_linear* linear, uint32_t outside,
                                              const skv_cuda_batch* batch, const int8_t* rows_dev,
                                              const uint32_t* ids_dev, uint32_t row_count,
                                              void* workspace_dev, size_t workspace_bytes,
                                              const skv_cuda_limits* limits, void* stream);

/// The same of a draft's tensor, in the format that the profile names: the first tensor of `draft` in its
/// layer 0. Blocks that the draft does not have count as zeros.
SKV_API skv_status skv_cuda_linear_take_draft_async(const skv_cuda_linear* linear, uint32_t outside,
                                                    const skv_cuda_batch* batch,
                                                    const uint32_t* first_positions_dev,
                                                    const skv_cuda_paged_cache* draft,
                                                    void* workspace_dev, size_t workspace_bytes,
                                                    const skv_cuda_limits* limits, void* stream);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-*, readability-identifier-naming)
