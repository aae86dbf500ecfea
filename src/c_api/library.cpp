// What the library is and reads.
#include <skv/skv.h>

#include <skv/base/config.hpp>
#include <skv/format/container.hpp>
#include <skv/number/format.hpp>
#include <skv/predict/mean.hpp>
#include <skv/profile/profile.hpp>
#include <skv/tile/block_image.hpp>

#include "call.hpp"
#include "sized.hpp"

using namespace skv;
using namespace skv::c_api;

namespace {

// The header repeats values; here they are the same.
#define SKV_SAME(c, cpp) static_assert((c) == static_cast<int>(cpp))
SKV_SAME(SKV_OK, status::ok);
SKV_SAME(SKV_DOES_NOT_FIT, status::does_not_fit);
SKV_SAME(SKV_INVALID_ARGUMENT, status::invalid_argument);
SKV_SAME(SKV_UNSUPPORTED, status::unsupported);
SKV_SAME(SKV_IO_ERROR, status::io_error);
SKV_SAME(SKV_TRUNCATED, status::truncated);
SKV_SAME(SKV_CORRUPT, status::corrupt);
SKV_SAME(SKV_WRONG_PROFILE, status::wrong_profile);
SKV_SAME(SKV_WRONG_PREDICTION, status::wrong_prediction);
SKV_SAME(SKV_OUT_OF_MEMORY, status::out_of_memory);
SKV_SAME(SKV_FORMAT_BF16, format_id::bf16);
SKV_SAME(SKV_FORMAT_FP16, format_id::fp16);
SKV_SAME(SKV_FORMAT_E4M3, format_id::e4m3);
SKV_SAME(SKV_FORMAT_E5M2, format_id::e5m2);
SKV_SAME(SKV_SOURCE_NONE, mean_source::none);
SKV_SAME(SKV_SOURCE_PREVIOUS_TOKEN, mean_source::previous_token);
SKV_SAME(SKV_SOURCE_GIVEN, mean_source::given);
SKV_SAME(SKV_KIND_K, tensor_kind::k);
SKV_SAME(SKV_KIND_V, tensor_kind::v);
SKV_SAME(SKV_KIND_LATENT, tensor_kind::latent);
#undef SKV_SAME
static_assert(sizeof(skv_tile_record) == sizeof(tile_record));
static_assert(offsetof(skv_tile_record, packed) == offsetof(tile_record, packed));
static_assert(offsetof(skv_tile_record, data_hash) == offsetof(tile_record, data_hash));
static_assert(offsetof(skv_tile_record, prediction_hash) == offsetof(tile_record, prediction_hash));

constexpr std::uint32_t bit(mean_source s) { return 1u << static_cast<std::uint32_t>(s); }

}  // namespace

uint32_t skv_version(void) {
  return SKV_VERSION_MAJOR << 16 | SKV_VERSION_MINOR << 8 | SKV_VERSION_PATCH;
}

const char* skv_status_string(skv_status s) {
  if (s < 0 || s > 255) return "unknown status";
  return to_string(static_cast<status>(s)).data();  // a literal: ends with zero
}

skv_status skv_formats(skv_formats_info* info) {
  return call([&]() -> result<done> {
    if (auto ok = check_sized(info, sizeof info->struct_size, "info"); !ok) return ok;
    skv_formats_info known{};
    for (const number_format& f : kFormats)
      known.number_formats |= 1u << static_cast<std::uint32_t>(f.id);
    known.sources =
        bit(mean_source::none) | bit(mean_source::previous_token) | bit(mean_source::given);
    known.profile_version_min = known.profile_version_max = kProfileVersion;
    known.container_version_min = known.container_version_max = kContainerVersion;
    write_sized(info, known);
    return done{};
  });
}

uint32_t skv_tile_bytes(const skv_tile_record* record) {
  return record == nullptr ? 0 : tile_record{record->packed}.bytes();
}
