#include "batch.hpp"
#include "decode_job.hpp"
#include "encode_job.hpp"
#include "handles.hpp"

using namespace skv;
using namespace skv::c_api;

namespace {

template <class Job, class Item>
skv_status code(const skv_codec* codec, Item* items, size_t count, uint32_t threads) {
  return call([&]() -> result<done> {
    if (codec == nullptr) return fail(status::invalid_argument, "codec: null pointer");
    const auto all = item_array<Item>::open(items, count, offsetof(Item, means));
    if (!all) return all.failure();
    return run_batch<Job>(codec->coder, *all, threads);
  });
}

}  // namespace

skv_status skv_codec_create(const skv_profile* profile, skv_codec** codec) {
  return call([&]() -> result<done> {
    if (profile == nullptr || codec == nullptr)
      return fail(status::invalid_argument, "profile or codec: null pointer");
    *codec = new skv_codec(profile->held);
    return done{};
  });
}

skv_codec* skv_codec_retain(skv_codec* codec) { return retain(codec); }
void skv_codec_release(skv_codec* codec) { release(codec); }

skv_status skv_encode(const skv_codec* codec, skv_encode_item* items, size_t count,
                      uint32_t threads) {
  return code<encode_job>(codec, items, count, threads);
}

skv_status skv_decode(const skv_codec* codec, skv_decode_item* items, size_t count,
                      uint32_t threads) {
  return code<decode_job>(codec, items, count, threads);
}
