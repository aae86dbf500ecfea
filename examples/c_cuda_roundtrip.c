// From C: pages of a K and V cache in device memory, compressed where they lie with the cache of a
// cheaper model as the prediction; packed for a copy elsewhere; moved into a pool, so that the pages are
// free for other tokens; restored from both and compared. Ends with 77 where there is no CUDA device.
#include <cuda_runtime_api.h>
#include <inttypes.h>
#include <skv/skv_cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kPages = 256, kTokens = 16, kHeads = 8, kHeadDim = 128, kNoDevice = 77 };
enum { kTensorNumbers = kTokens * kHeads * kHeadDim, kPageNumbers = 2 * kTensorNumbers };
enum { kPageBytes = kPageNumbers * 2, kCacheBytes = kPages * kPageBytes };

static uint16_t cache[kPages * kPageNumbers], prediction[kPages * kPageNumbers];
static uint16_t restored[kPages * kPageNumbers];
static uint8_t statuses[kPages];

static uint32_t next_random(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

// The upper half of a float: a bf16 number.
static uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)(bits >> 16);
}

static void make_caches(void) {
  for (int i = 0; i < kPages * kPageNumbers; ++i) {
    float x = 0, error = 0;
    for (int k = 0; k < 4; ++k) {  // roughly normal
      x += (float)next_random() / 0x1p30f - 1;
      error += (float)next_random() / 0x1p30f - 1;
    }
    cache[i] = to_bf16(x);
    prediction[i] = to_bf16(x + 0.03f * error);
  }
}

static void check(skv_status status) {
  if (status == SKV_OK) return;
  fprintf(stderr, "%s: %s\n", skv_status_string(status), skv_last_error());
  exit(1);
}

static void check_cuda(cudaError_t error) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
  exit(1);
}

static void* device_memory(size_t bytes) {
  void* memory;
  check_cuda(cudaMalloc(&memory, bytes));
  return memory;
}

// Every block of a batch must be SKV_OK.
static void check_blocks(const char* what, const uint8_t* statuses_dev) {
  check_cuda(cudaMemcpy(statuses, statuses_dev, sizeof statuses, cudaMemcpyDeviceToHost));
  for (int page = 0; page < kPages; ++page)
    if (statuses[page] != SKV_OK) {
      fprintf(stderr, "%s: page %d: %s\n", what, page, skv_status_string(statuses[page]));
      exit(1);
    }
}

// Every bit must be back.
static void check_cache(const char* what, const void* cache_dev) {
  check_cuda(cudaMemcpy(restored, cache_dev, sizeof restored, cudaMemcpyDeviceToHost));
  if (memcmp(cache, restored, sizeof cache) == 0) return;
  fprintf(stderr, "%s: a bit differs\n", what);
  exit(1);
}

// What was written, to be read.
static skv_cuda_stored_places stored(const skv_cuda_encoded_places* out) {
  skv_cuda_stored_places in = {0};
  in.struct_size = sizeof in;
  in.slots = out->slots;
  in.slot_bytes = out->slot_bytes;
  in.packed = out->packed;
  in.packed_bytes = out->packed_bytes;
  in.records = out->records;
  in.sizes = out->sizes;
  in.statuses = out->statuses;
  in.offsets = out->offsets;
  return in;
}

int main(void) {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    printf("no CUDA device: %s\n", cudaGetErrorString(found));
    return kNoDevice;
  }
  make_caches();

  // Pages of [2, tokens, heads, head_dim], one after the other.
  skv_cuda_geometry geometry = {0};
  geometry.struct_size = sizeof geometry;
  geometry.layers = 1;
  geometry.tokens = kTokens;
  geometry.tensor_count = 2;
  for (uint32_t i = 0; i < 2; ++i) {
    geometry.tensors[i].kind = i == 0 ? SKV_KIND_K : SKV_KIND_V;
    geometry.tensors[i].heads = kHeads;
    geometry.tensors[i].head_dim = kHeadDim;
  }
  // The pool: half of the cache's memory.
  skv_cuda_pool_options options = {0};
  options.struct_size = sizeof options;
  options.sectors = kCacheBytes / 2 / 512;
  options.entries = kPages;
  skv_profile* profile;  // a calibrated one, from skv_profile_from_bytes, would need fewer bits
  skv_cuda_codec* codec;
  skv_cuda_pool* pool;
  check(skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_GIVEN, SKV_FORMAT_BF16, &profile));
  check(skv_cuda_codec_create(profile, &geometry, &codec));
  check(skv_cuda_pool_create(profile, &geometry, &options, &pool));
  skv_profile_release(profile);  // the others hold on to what they need

  skv_cuda_paged_cache numbers = {0};
  numbers.struct_size = sizeof numbers;
  numbers.blocks.base = device_memory(kCacheBytes);
  numbers.blocks.block_stride_bytes = kPageBytes;
  for (int i = 0; i < 2; ++i) {
    numbers.tensors[i].offset_bytes = i * 2 * kTensorNumbers;
    numbers.tensors[i].token_stride_bytes = 2 * kHeads * kHeadDim;
    numbers.tensors[i].head_stride_bytes = 2 * kHeadDim;
  }
  skv_cuda_paged_cache means = numbers;  // another memory, the same layout
  means.blocks.base = device_memory(kCacheBytes);
  check_cuda(cudaMemcpy(numbers.blocks.base, cache, sizeof cache, cudaMemcpyHostToDevice));
  check_cuda(cudaMemcpy(means.blocks.base, prediction, sizeof prediction, cudaMemcpyHostToDevice));

  uint32_t tiles;
  size_t workspace_bytes;
  check(skv_cuda_tiles_per_block(codec, &tiles));
  check(skv_cuda_workspace_bytes(codec, kPages, NULL, &workspace_bytes));
  void* const workspace = device_memory(workspace_bytes);
  uint8_t* const decoded = device_memory(kPages);
  uint8_t* const moved = device_memory(kPages);

  // In place: a compressed page begins where the raw one lay.
  skv_cuda_encoded_places out = {0};
  out.struct_size = sizeof out;
  out.slots = numbers.blocks;
  out.slot_bytes = kPageBytes;
  out.records = device_memory(kPages * tiles * sizeof *out.records);
  out.sizes = device_memory(kPages * sizeof *out.sizes);
  out.statuses = device_memory(kPages);
  // Packed: in this example all of it must fit the memory of the pages; it takes less.
  skv_cuda_encoded_places packed = {0};
  packed.struct_size = sizeof packed;
  packed.packed = device_memory(kCacheBytes);
  packed.packed_bytes = kCacheBytes;
  packed.sizes = device_memory(kPages * sizeof *packed.sizes);
  packed.statuses = device_memory(kPages);
  packed.offsets = device_memory(kPages * sizeof *packed.offsets);
  packed.total_bytes = device_memory(sizeof *packed.total_bytes);

  cudaStream_t stream;
  check_cuda(cudaStreamCreate(&stream));
  const skv_cuda_batch batch = {.struct_size = sizeof batch, .items = kPages};
  const skv_cuda_pool_entries entries = {.struct_size = sizeof entries};  // page i is entry i
  const skv_cuda_stored_places in = stored(&out);
  check(skv_cuda_encode_async(codec, &batch, &numbers, &means, &out, workspace, workspace_bytes,
                              NULL, stream));
  check(skv_cuda_compact_async(codec, &batch, &in, &packed, workspace, workspace_bytes, NULL,
                               stream));
  check(skv_cuda_pool_store_async(pool, &batch, &entries, &in, moved, NULL, stream));
  skv_cuda_pool_counts counts = {.struct_size = sizeof counts};
  check(skv_cuda_pool_read_counts(pool, stream, &counts));  // waits for the stream
  check_blocks("encode", out.statuses);
  check_blocks("compact", packed.statuses);
  check_blocks("store", moved);

  // The pages are free: other tokens may have them, here zeros.
  check_cuda(cudaMemsetAsync(numbers.blocks.base, 0, kCacheBytes, stream));
  check(skv_cuda_pool_restore_async(pool, codec, &batch, &entries, &out, &means, &numbers, 1,
                                    decoded, workspace, workspace_bytes, NULL, stream));
  check(skv_cuda_pool_drop_async(pool, &batch, &entries, moved, NULL, stream));
  check_cuda(cudaStreamSynchronize(stream));
  check_blocks("restore", decoded);
  check_blocks("drop", moved);
  check_cache("pool", numbers.blocks.base);

  // What was packed, with the records of encoding, could come from anywhere.
  check_cuda(cudaMemsetAsync(numbers.blocks.base, 0, kCacheBytes, stream));
  packed.records = out.records;
  const skv_cuda_stored_places from = stored(&packed);
  check(skv_cuda_decode_async(codec, &batch, &from, &means, &numbers, 0, NULL, decoded, workspace,
                              workspace_bytes, NULL, stream));
  check_cuda(cudaStreamSynchronize(stream));
  check_blocks("decode", decoded);
  check_cache("packed", numbers.blocks.base);

  uint64_t total;
  check_cuda(cudaMemcpy(&total, packed.total_bytes, sizeof total, cudaMemcpyDeviceToHost));
  const uint64_t bytes = total + (uint64_t)kPages * tiles * sizeof *out.records;
  printf("skv %" PRIu32 ".%" PRIu32 ": %zu -> %" PRIu64
         " bytes packed, %.2f bits per number; %" PRIu64 " of %" PRIu32
         " sectors in the pool; restored from both: identical\n",
         skv_version() >> 16, skv_version() >> 8 & 255, sizeof cache, bytes,
         8 * (double)bytes / (kPages * (double)kPageNumbers), counts.used_sectors, options.sectors);

  void* const memory[] = {
      numbers.blocks.base, means.blocks.base, workspace,         decoded,       moved,
      out.records,         out.sizes,         out.statuses,      packed.packed, packed.sizes,
      packed.statuses,     packed.offsets,    packed.total_bytes};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; ++i) check_cuda(cudaFree(memory[i]));
  check_cuda(cudaStreamDestroy(stream));
  skv_cuda_pool_release(pool);
  skv_cuda_codec_release(codec);
  return 0;
}
