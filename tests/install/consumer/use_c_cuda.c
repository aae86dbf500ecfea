/* Links the installed CUDA part of the C ABI, from C: there is a codec, or no device. */
#include <skv/skv_cuda.h>
#include <stdio.h>

int main(void) {
  skv_cuda_geometry geometry = {.struct_size = sizeof geometry,
                                .layers = 1,
                                .tokens = 16,
                                .tensor_count = 1,
                                .tensors = {{SKV_KIND_LATENT, 1, 576, 0}}};
  skv_profile* profile;
  skv_cuda_codec* codec = NULL;
  if (skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_NONE, SKV_FORMAT_BF16, &profile) != SKV_OK)
    return 1;
  const skv_status status = skv_cuda_codec_create(profile, &geometry, &codec);
  printf("%s: %s\n", skv_status_string(status), skv_last_error());
  skv_profile_release(profile);
  skv_cuda_codec_release(codec);
  return status != SKV_OK && status != SKV_UNSUPPORTED;
}
