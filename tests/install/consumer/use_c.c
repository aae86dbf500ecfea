/* Codes a page with the installed library, from C, and restores it. */
#include <skv/skv.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint16_t numbers[16 * 128], restored[16 * 128];
static unsigned char room[sizeof numbers];

int main(void) {
  for (int i = 0; i < 16 * 128; ++i) numbers[i] = (uint16_t)(0x3f00 + i * 7 % 256);
  skv_profile* profile;
  skv_codec* codec;
  if (skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_NONE, SKV_FORMAT_BF16, &profile) != SKV_OK)
    return 1;
  if (skv_codec_create(profile, &codec) != SKV_OK) return 1;
  skv_profile_release(profile);

  const skv_slice page = {
      .struct_size = sizeof page, .heads = 2, .head_count = 2, .head_dim = 64, .tokens = 16};
  skv_tile_record record;
  skv_encode_item in = {.struct_size = sizeof in,
                        .slice = &page,
                        .numbers = numbers,
                        .compressed = room,
                        .capacity_bytes = sizeof room,
                        .records = &record,
                        .record_capacity = 1};
  skv_status status = skv_encode(codec, &in, 1, 0);
  skv_decode_item out = {.struct_size = sizeof out,
                         .slice = &page,
                         .compressed = room,
                         .compressed_bytes = in.compressed_bytes,
                         .records = &record,
                         .record_count = in.record_count,
                         .numbers = restored,
                         .capacity_bytes = sizeof restored};
  if (status == SKV_OK) status = skv_decode(codec, &out, 1, 0);
  printf("%s%s: %zu -> %zu bytes\n", skv_status_string(status), skv_last_error(), sizeof numbers,
         in.compressed_bytes);
  skv_codec_release(codec);
  return status != SKV_OK || memcmp(numbers, restored, sizeof numbers) != 0;
}
