// The C ABI, host part: profiles, tiles of a cache to and from compressed bytes, and linear propagation,
// which predicts them. Link skv::c.
//
// Functions return a status. On any but SKV_OK nothing is created, and skv_last_error says why. No
// argument crashes them that is null, zero, overflowing or an unknown value; memory that is not
// there behind a pointer does.
//
// Threads: profiles, codecs and embeddings are immutable, so any number of threads may use one at once. No
// function may run while another thread releases the last reference to a handle that it uses.
// Batches that run at once must not write the same memory.
//
// Structures that begin with `struct_size` may grow at their end. Set it to sizeof, and all that
// you do not use to zero: `skv_slice slice = {0}; slice.struct_size = sizeof slice;`. A library
// that is newer than its caller takes what it does not find as zero; one that is older takes what
// it does not know if it is zero, and otherwise fails with SKV_UNSUPPORTED.
#pragma once

// This is C: NOLINTBEGIN(modernize-*, readability-identifier-naming)
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define SKV_API __attribute__((visibility("default")))
#else
#define SKV_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// An outcome. The values never change; of several outcomes the largest is reported. More may be
/// added at the end.
typedef int32_t skv_status;
enum {
  SKV_OK = 0,
  SKV_DOES_NOT_FIT = 1,      ///< the output is larger than the capacity given for it
  SKV_INVALID_ARGUMENT = 2,  ///< a shape, format or pointer that the call does not accept
  SKV_UNSUPPORTED = 3,       ///< well formed, but from a newer version
  SKV_IO_ERROR = 4,          ///< the operating system refused something other than memory
  SKV_TRUNCATED = 5,         ///< the input ends before what it announces
  SKV_CORRUPT = 6,           ///< bytes that no encoder writes, or a checksum that differs
  SKV_WRONG_PROFILE = 7,     ///< the profile is not the one that the data were coded with
  SKV_WRONG_PREDICTION = 8,  ///< the means are not those that the data were coded with
  SKV_OUT_OF_MEMORY = 9      ///< there is no memory to work in; says nothing of the input
};

/// How numbers are stored. docs/format.md, section "Number formats".
typedef uint32_t skv_format;
enum { SKV_FORMAT_BF16 = 1, SKV_FORMAT_FP16 = 2, SKV_FORMAT_E4M3 = 3, SKV_FORMAT_E5M2 = 4 };

/// Where the means come from that numbers are predicted by.
typedef uint32_t skv_source;
enum {
  SKV_SOURCE_NONE = 0,            ///< there are none
  SKV_SOURCE_PREVIOUS_TOKEN = 1,  ///< the number of the token before, in the same tile
  SKV_SOURCE_GIVEN = 2            ///< the caller gives the same ones to encoder and decoder
};

/// Which tensor of a layer.
typedef uint32_t skv_kind;
enum { SKV_KIND_K = 0, SKV_KIND_V = 1, SKV_KIND_LATENT = 2 };

// --- the library ------------------------------------------------------------------------------

/// The version of the library: major << 16 | minor << 8 | patch.
SKV_API uint32_t skv_version(void);

/// The name of a status, such as "does_not_fit"; "unknown status" for other values. Never null.
SKV_API const char* skv_status_string(skv_status status);

/// Why the last call of this thread failed: a sentence that names the cause, and the item of a
/// batch ("item 3: layers.1.k: ..."); empty after a success. Belongs to the thread and holds until
/// its next call of a function that returns a status. Never null; long messages are cut.
SKV_API const char* skv_last_error(void);

/// For libraries beside this one, such as skv_c_cuda, whose functions report as those here do: what
/// skv_last_error gives from now on. Copied; null is empty.
SKV_API void skv_set_last_error(const char* message);

/// What this library reads. Bit i of a mask stands for the value i.
typedef struct skv_formats_info {
  size_t struct_size;
  uint32_t number_formats;       ///< mask of skv_format
  uint32_t sources;              ///< mask of skv_source
  uint32_t profile_version_min;  ///< .skvp files
  uint32_t profile_version_max;
  uint32_t container_version_min;  ///< .skv files, whose tiles and records are those coded here
  uint32_t container_version_max;
} skv_formats_info;

/// Fills in `info` as far as its struct_size reaches, and zeros after what the library knows. Fails
/// with SKV_INVALID_ARGUMENT.
SKV_API skv_status skv_formats(skv_formats_info* info);

// --- profiles: what both ends must agree on; docs/profiles.md ---------------------------------

/// An immutable profile, counted by references. Who makes one gets a reference.
typedef struct skv_profile skv_profile;

/// Reads the bytes of a .skvp file; they may go away afterwards. Any bytes are safe: fails with
/// SKV_TRUNCATED, SKV_CORRUPT, SKV_UNSUPPORTED, SKV_INVALID_ARGUMENT, SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_profile_from_bytes(const void* bytes, size_t size, skv_profile** profile);

/// A built-in profile that fits nothing in particular and takes tensors of any shape. `mean` equals
/// `target`, or, if means are given for an fp8 target, may be bf16 or fp16. Fails with
/// SKV_INVALID_ARGUMENT for other combinations, SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_profile_default(skv_format target, skv_source source, skv_format mean,
                                       skv_profile** profile);

/// A new profile for the heads [first, first + count) of every tensor, for tensor parallelism: the
/// tiles coded with it are those of the same heads under `whole`, its id is another. Fails with
/// SKV_INVALID_ARGUMENT if a tensor has fewer heads or count is 0, SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_profile_slice_heads(const skv_profile* whole, uint32_t first, uint32_t count,
                                           skv_profile** profile);

/// One more reference. Returns `profile`, which may be null.
SKV_API skv_profile* skv_profile_retain(skv_profile* profile);
/// One reference less; the last one frees. Null does nothing.
SKV_API void skv_profile_release(skv_profile* profile);

/// The bytes of the .skvp file, which live as long as the profile. Fails with SKV_INVALID_ARGUMENT.
SKV_API skv_status skv_profile_bytes(const skv_profile* profile, const void** bytes, size_t* size);
/// The 16 bytes that name a profile: the XXH3-128 of its bytes. Fails with SKV_INVALID_ARGUMENT.
SKV_API skv_status skv_profile_id(const skv_profile* profile, uint8_t id[16]);
/// What the profile codes; null for what is not asked for. Fails with SKV_INVALID_ARGUMENT.
SKV_API skv_status skv_profile_coding(const skv_profile* profile, skv_format* target,
                                      skv_source* source, skv_format* mean);

// --- tiles ------------------------------------------------------------------------------------

/// What is known of a tile beside its bytes; keep it with them. docs/format.md, section "Block
/// image".
typedef struct skv_tile_record {
  uint32_t packed;           ///< size, tail steps, mode
  uint32_t data_hash;        ///< of the numbers
  uint32_t prediction_hash;  ///< of the means, if they are given
} skv_tile_record;

/// The size of a tile in bytes, 0 for null.
SKV_API uint32_t skv_tile_bytes(const skv_tile_record* record);

/// Some tokens of some heads of one tensor [tokens, heads, head_dim] of a cache.
typedef struct skv_slice {
  size_t struct_size;
  uint32_t layer;
  skv_kind kind;
  uint32_t heads, head_dim;         ///< of the whole tensor, as the profile knows it
  uint32_t first_head, head_count;  ///< those that the slice holds
  uint32_t tokens;                  ///< that the slice holds
  uint32_t reserved;                ///< 0
} skv_slice;

/// Into how many tiles the slice is cut, each with a record of its own: consecutive tokens, as many
/// a tile as make about 65,536 numbers, less in the last. Tiles can be decoded alone: a run of them
/// is a slice of its own, whose first token is a multiple of `tokens_per_tile`. Either may be null.
/// Fails with SKV_INVALID_ARGUMENT: a size is 0, heads that do not exist, or one token with more
/// than 2^22 numbers.
SKV_API skv_status skv_tile_count(const skv_slice* slice, size_t* tiles, uint32_t* tokens_per_tile);

// --- the codec --------------------------------------------------------------------------------

/// Codes as a profile says, with the best instruction set at hand; all of them write the same
/// bytes. Immutable, counted by references; keeps what it needs of the profile.
typedef struct skv_codec skv_codec;

/// Fails with SKV_INVALID_ARGUMENT, SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_codec_create(const skv_profile* profile, skv_codec** codec);
/// One more reference. Returns `codec`, which may be null.
SKV_API skv_codec* skv_codec_retain(skv_codec* codec);
/// One reference less; the last one frees. Null does nothing.
SKV_API void skv_codec_release(skv_codec* codec);

/// The bytes that the slice never exceeds when compressed: those of its numbers. Fails as
/// skv_tile_count.
SKV_API skv_status skv_max_compressed_bytes(const skv_codec* codec, const skv_slice* slice,
                                            size_t* bytes);

// Numbers and means are patterns of the profile's target and mean format, little-endian. A row is
// one token: head_count * head_dim of them without a gap, from the slice's first head on. Rows lie
// a stride of bytes apart, at any alignment; a stride of 0 stands for rows without a gap. (Where
// heads lie outside of tokens in memory, code each head as a slice.)

/// One slice to compress. May be shorter by the members from `means` on.
typedef struct skv_encode_item {
  size_t struct_size;          ///< the same for all items of a batch
  const skv_slice* slice;      ///< items may share one
  const void* numbers;         ///< [tokens][head_count][head_dim]
  size_t number_stride_bytes;  ///< between tokens
  void* compressed;            ///< out: the tiles, one after the other; all of the room may be used
  size_t capacity_bytes;       ///< of `compressed`
  skv_tile_record* records;    ///< out: one per tile
  size_t record_capacity;      ///< at least skv_tile_count
  size_t compressed_bytes;  ///< out: what was written; what it takes, after SKV_DOES_NOT_FIT; or 0
  size_t record_count;      ///< out: how many tiles were written; 0 after a failure
  skv_status status;        ///< out: the worst of its tiles
  uint32_t reserved;        ///< 0
  const void* means;        ///< likewise [tokens][head_count][head_dim]; read if means are given
  size_t mean_stride_bytes;
} skv_encode_item;

/// One slice to restore. May be shorter by the members from `means` on.
typedef struct skv_decode_item {
  size_t struct_size;              ///< the same for all items of a batch
  const skv_slice* slice;          ///< as it was encoded
  const void* compressed;          ///< as it was encoded
  size_t compressed_bytes;         ///< from `compressed` on; may be more than the records need
  const skv_tile_record* records;  ///< as they were encoded
  size_t record_count;             ///< exactly skv_tile_count
  void* numbers;               ///< out: [tokens][head_count][head_dim]; not what lies between rows
  size_t number_stride_bytes;  ///< between tokens
  size_t capacity_bytes;       ///< from `numbers` to the end of the last row, or more
  skv_status status;           ///< out: the worst of its tiles
  uint32_t reserved;           ///< 0
  const void* means;           ///< the encoder's; read if means are given
  size_t mean_stride_bytes;
} skv_decode_item;

/// Compresses `count` items on up to `threads` threads, this one among them (0: as many as there
/// are processors), tile by tile, and returns when all are done. Bytes and records are a pure
/// function of numbers, means and profile. Returns the worst status of the items; each item has its
/// own, and one that fails keeps none of the others from being done. Of an item:
/// - SKV_DOES_NOT_FIT: needs more than its capacity; nothing is written to `compressed`. With less
///   room than skv_max_compressed_bytes it is coded in a temporary buffer of that size first.
/// - SKV_INVALID_ARGUMENT: a slice that is none, a null pointer, a stride smaller than a row, sizes
///   that overflow, too few records.
/// - SKV_UNSUPPORTED: a member that this version does not know is not zero.
/// - SKV_WRONG_PROFILE: the profile has no scales for the tensor, or for another shape.
/// - SKV_OUT_OF_MEMORY.
/// If `items` is null or misaligned, `codec` is null, or sizes make no array of items,
/// SKV_INVALID_ARGUMENT is returned and no item touched; likewise SKV_OUT_OF_MEMORY if there is
/// none for the batch itself. No items are no error.
SKV_API skv_status skv_encode(const skv_codec* codec, skv_encode_item* items, size_t count,
                              uint32_t threads);

/// The mirror, in all that skv_encode says of threads, items and statuses. Any records and bytes
/// are safe. `numbers` of an item that fails hold no particular values. Of an item:
/// - SKV_DOES_NOT_FIT: the rows are larger than `capacity_bytes`; nothing is written.
/// - SKV_TRUNCATED: fewer bytes or records than the slice has.
/// - SKV_CORRUPT: the numbers do not match their hash, or there are too many records.
/// - SKV_WRONG_PREDICTION: the means are not the encoder's.
/// - SKV_INVALID_ARGUMENT, SKV_UNSUPPORTED, SKV_WRONG_PROFILE, SKV_OUT_OF_MEMORY as above.
SKV_API skv_status skv_decode(const skv_codec* codec, skv_decode_item* items, size_t count,
                              uint32_t threads);

// --- linear propagation; docs/linear-propagation.md --------------------------------------------

/// The embeddings of a model, where they lie in memory. Immutable, counted by references.
typedef struct skv_embedding skv_embedding;

/// A row for every token id: `numbers` [rows][width], little-endian, without gaps, at any alignment. Reads
/// them once, for their hash, and borrows them: they must stay as long as the embedding and all passes
/// made with it. `format`: a skv_format, or 0 for IEEE single. Fails with SKV_INVALID_ARGUMENT,
/// SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_embedding_create(skv_format format, uint32_t rows, uint32_t width,
                                        const void* numbers, skv_embedding** embedding);
/// One more reference. Returns `embedding`, which may be null.
SKV_API skv_embedding* skv_embedding_retain(skv_embedding* embedding);
/// One reference less; the last one frees. Null does nothing.
SKV_API void skv_embedding_release(skv_embedding* embedding);

/// A tensor of a smaller model's cache on the tokens of a pass, K as it was turned by the same positions. Its
/// last token is the pass's last; of the first ones some may lack. The numbers are borrowed as long as the
/// pass. Never grows.
typedef struct skv_draft_tensor {
  const skv_slice* slice;  ///< all heads; read while the pass is made
  const void* numbers;     ///< [tokens][heads][head_dim]
  size_t number_stride_bytes;
  skv_format format;
  uint32_t reserved;  ///< 0
} skv_draft_tensor;

/// The tokens of a pass. May be shorter by the members from `embedding` on, which only profiles use that
/// were fitted with them; they are checked with any.
typedef struct skv_linear_tokens {
  size_t struct_size;
  const uint32_t* positions;  ///< [count], what K was turned by, in any order; null: 0, 1, 2 ...
  uint32_t count;             ///< at least 1
  uint32_t reserved;          ///< 0
  const skv_embedding* embedding;
  const uint32_t* ids;            ///< [count], for the embedding
  const skv_draft_tensor* draft;  ///< [draft_count]
  size_t draft_count;
} skv_linear_tokens;

/// Makes the means of a profile with linear propagation (`skv calibrate --linear`): what one layer's exact
/// numbers tell of the next. A pass takes tokens through the layers: for every tensor, layer after layer and
/// in a layer K before V, skv_linear_predict, then skv_encode or skv_decode of that tensor with these means,
/// then skv_linear_update. Tensors that are left out, or tokens that one lacks, count as zeros.
///
/// Used by one thread at a time. No token tells anything of another: to use several threads, or to code pages
/// apart, make a pass for some tokens each.
typedef struct skv_linear_pass skv_linear_pass;

/// Copies positions and ids, and keeps what it needs of the profile. Fails with
/// - SKV_INVALID_ARGUMENT: a profile without linear propagation, no tokens, a null pointer, a draft's slice or
///   rows that are none or lack heads, an unknown format.
/// - SKV_WRONG_PREDICTION: the profile predicts from an embedding or a draft that is not given, or is not what
///   it was fitted with.
/// - SKV_UNSUPPORTED: a member that this version does not know is not zero.
/// - SKV_OUT_OF_MEMORY.
SKV_API skv_status skv_linear_pass_create(const skv_profile* profile,
                                          const skv_linear_tokens* tokens, skv_linear_pass** pass);
/// Ends it, done or not. Null does nothing.
SKV_API void skv_linear_pass_release(skv_linear_pass* pass);

/// Writes the means of a tensor, patterns of the profile's mean format: rows as those of skv_decode_item.
/// `tensor` has all heads, and of the pass's tokens all or the first ones. `bases` are what is corrected: read
/// only if the profile's bases are given (null otherwise), and borrowed until the update; `means` is other
/// memory. May be repeated. Fails with
/// - SKV_INVALID_ARGUMENT: a slice that is none or lacks heads, more tokens than the pass has, a tensor that
///   does not come after the last one updated, a null pointer, a stride smaller than a row.
/// - SKV_WRONG_PROFILE: the profile has no such tensor, or one of another shape.
/// - SKV_DOES_NOT_FIT: the rows are larger than `capacity_bytes`; nothing is written.
/// - SKV_UNSUPPORTED, SKV_OUT_OF_MEMORY as above.
SKV_API skv_status skv_linear_predict(skv_linear_pass* pass, const skv_slice* tensor,
                                      const void* bases, size_t base_stride_bytes, void* means,
                                      size_t mean_stride_bytes, size_t capacity_bytes);

/// Passes on what the exact numbers of the tensor predicted last tell, of as many tokens: `numbers` are
/// patterns of the profile's target format, read during the call. Fails with SKV_INVALID_ARGUMENT (also: it
/// was not the one predicted last, or is updated already), SKV_UNSUPPORTED, SKV_WRONG_PROFILE as above, and
/// SKV_OUT_OF_MEMORY, after which the pass only fails, with SKV_INVALID_ARGUMENT.
SKV_API skv_status skv_linear_update(skv_linear_pass* pass, const skv_slice* tensor,
                                     const void* numbers, size_t number_stride_bytes);

#ifdef __cplusplus
}
#endif
// NOLINTEND(modernize-*, readability-identifier-naming)
