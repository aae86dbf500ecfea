// From C: the K cache of one layer in pages of 64 tokens, compressed with the cache of a cheaper
// model as the prediction, restored and compared.
#include <inttypes.h>
#include <skv/skv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kPages = 16, kTokens = 64, kHeads = 8, kHeadDim = 64, kRow = kHeads * kHeadDim };
enum { kNumbers = kTokens * kRow, kPageBytes = 2 * kNumbers };

static uint16_t cache[kPages][kNumbers], prediction[kPages][kNumbers], restored[kPages][kNumbers];
static unsigned char slots[kPages][kPageBytes];  // no page ever needs more
static skv_tile_record records[kPages];
static skv_encode_item encode_items[kPages];
static skv_decode_item decode_items[kPages];

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
  for (int page = 0; page < kPages; ++page)
    for (int i = 0; i < kNumbers; ++i) {
      float x = 0, error = 0;
      for (int k = 0; k < 8; ++k) {  // roughly normal
        x += (float)next_random() / 0x1p30f - 1;
        error += (float)next_random() / 0x1p30f - 1;
      }
      cache[page][i] = to_bf16(x);
      prediction[page][i] = to_bf16(x + 0.03f * error);
    }
}

static void check(skv_status status) {
  if (status == SKV_OK) return;
  fprintf(stderr, "%s: %s\n", skv_status_string(status), skv_last_error());
  exit(1);
}

int main(void) {
  make_caches();

  skv_profile* profile;  // a calibrated one, from skv_profile_from_bytes, would need fewer bits
  skv_codec* codec;
  check(skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_GIVEN, SKV_FORMAT_BF16, &profile));
  check(skv_codec_create(profile, &codec));
  skv_profile_release(profile);  // the codec holds on to what it needs

  skv_slice slice = {0};  // the same for all pages
  slice.struct_size = sizeof slice;
  slice.kind = SKV_KIND_K;
  slice.heads = slice.head_count = kHeads;
  slice.head_dim = kHeadDim;
  slice.tokens = kTokens;
  size_t tiles;
  check(skv_tile_count(&slice, &tiles, NULL));
  if (tiles != 1) return 1;  // of 32,768 numbers; larger slices need a record for every 65,536

  for (int page = 0; page < kPages; ++page) {
    skv_encode_item* item = &encode_items[page];
    item->struct_size = sizeof *item;
    item->slice = &slice;
    item->numbers = cache[page];
    item->means = prediction[page];
    item->compressed = slots[page];
    item->capacity_bytes = sizeof slots[page];
    item->records = &records[page];
    item->record_capacity = 1;
  }
  check(skv_encode(codec, encode_items, kPages, 0));

  size_t bytes = 0;
  for (int page = 0; page < kPages; ++page) {
    bytes += encode_items[page].compressed_bytes + sizeof records[page];
    skv_decode_item* item = &decode_items[page];
    item->struct_size = sizeof *item;
    item->slice = &slice;
    item->compressed = slots[page];
    item->compressed_bytes = encode_items[page].compressed_bytes;
    item->records = &records[page];
    item->record_count = 1;
    item->means = prediction[page];
    item->numbers = restored[page];
    item->capacity_bytes = sizeof restored[page];
  }
  check(skv_decode(codec, decode_items, kPages, 0));
  skv_codec_release(codec);

  const int identical = memcmp(cache, restored, sizeof cache) == 0;
  printf("skv %" PRIu32 ".%" PRIu32 ": %zu -> %zu bytes, %.2f bits per number, restored: %s\n",
         skv_version() >> 16, skv_version() >> 8 & 255, sizeof cache, bytes,
         8 * (double)bytes / (kPages * (double)kNumbers), identical ? "identical" : "DIFFERENT");
  return !identical;
}
