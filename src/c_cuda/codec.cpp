#include "batch_call.hpp"
#include "handles.hpp"

using namespace skv;
using namespace skv::c_api;
using namespace skv::c_cuda;

namespace {

// A number that the codec knows.
template <class T, class F>
skv_status ask(const skv_cuda_codec* codec, T* answer, const F& question) {
  return call([&]() -> result<done> {
    if (codec == nullptr) return null_pointer("codec");
    if (answer == nullptr) return null_pointer("the result");
    result<T> found = question();
    if (!found) return found.failure();
    *answer = *found;
    return done{};
  });
}

}  // namespace

skv_status skv_cuda_codec_create(const skv_profile* profile, const skv_cuda_geometry* geometry,
                                 skv_cuda_codec** codec) {
  return call([&]() -> result<done> {
    if (codec == nullptr) return null_pointer("codec");
    const auto blocks = read(geometry, "geometry");
    if (!blocks) return blocks.failure();
    const auto used = read(profile);
    if (!used) return used.failure();
    auto made = cuda::codec::make(*used, *blocks);
    if (!made) return made.failure();
    *codec = new skv_cuda_codec(*std::move(made));
    return done{};
  });
}

skv_cuda_codec* skv_cuda_codec_retain(skv_cuda_codec* codec) { return retain(codec); }
void skv_cuda_codec_release(skv_cuda_codec* codec) { release(codec); }

skv_status skv_cuda_tiles_per_block(const skv_cuda_codec* codec, uint32_t* tiles) {
  return ask(codec, tiles, [&]() -> result<uint32_t> { return codec->coder.tiles_per_block(); });
}

skv_status skv_cuda_max_block_bytes(const skv_cuda_codec* codec, uint32_t* bytes) {
  return ask(codec, bytes, [&]() -> result<uint32_t> { return codec->coder.max_block_bytes(); });
}

skv_status skv_cuda_max_compressed_bytes(const skv_cuda_codec* codec, uint32_t items,
                                         uint64_t* bytes) {
  return ask(codec, bytes, [&]() -> result<uint64_t> {
    if (uint64_t{items} * codec->coder.layers() > INT32_MAX)
      return fail(status::invalid_argument, "items: a batch has at most 2^31 - 1 blocks");
    return codec->coder.max_compressed_bytes(items);
  });
}

skv_status skv_cuda_workspace_bytes(const skv_cuda_codec* codec, uint32_t max_items,
                                    const skv_cuda_limits* limits, size_t* bytes) {
  return ask(codec, bytes, [&]() -> result<size_t> {
    const auto within = read(limits, "limits");
    if (!within) return within.failure();
    return codec->coder.workspace_bytes(max_items, *within);
  });
}

skv_status skv_cuda_encode_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                 const skv_cuda_paged_cache* numbers,
                                 const skv_cuda_paged_cache* means,
                                 const skv_cuda_encoded_places* out, void* workspace_dev,
                                 size_t workspace_bytes, const skv_cuda_limits* limits,
                                 void* stream) {
  return call_with_batch(
      batch, limits,
      [&](const cuda::block_batch& items, cuda::launch_limits within) -> result<done> {
        const auto from = read(numbers, "numbers");
        if (!from) return from.failure();
        const auto predicted = read_if_given(means, "means");
        if (!predicted) return predicted.failure();
        const auto to = read(out, "out");
        if (!to) return to.failure();
        if (codec == nullptr) return null_pointer("codec");
        return codec->coder.encode_async(items, *from, *predicted, *to,
                                         {workspace_dev, workspace_bytes}, stream, within);
      });
}

skv_status skv_cuda_compact_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                  const skv_cuda_stored_places* in,
                                  const skv_cuda_encoded_places* out, void* workspace_dev,
                                  size_t workspace_bytes, const skv_cuda_limits* limits,
                                  void* stream) {
  return call_with_batch(
      batch, limits,
      [&](const cuda::block_batch& items, cuda::launch_limits within) -> result<done> {
        const auto from = read(in, "in");
        if (!from) return from.failure();
        const auto to = read(out, "out");
        if (!to) return to.failure();
        if (codec == nullptr) return null_pointer("codec");
        return codec->coder.compact_async(items, *from, *to, {workspace_dev, workspace_bytes},
                                          stream, within);
      });
}

skv_status skv_cuda_decode_async(const skv_cuda_codec* codec, const skv_cuda_batch* batch,
                                 const skv_cuda_stored_places* in,
                                 const skv_cuda_paged_cache* means,
                                 const skv_cuda_paged_cache* numbers, int in_place,
                                 const skv_cuda_wanted_range* wanted, uint8_t* statuses,
                                 void* workspace_dev, size_t workspace_bytes,
                                 const skv_cuda_limits* limits, void* stream) {
  return call_with_batch(
      batch, limits,
      [&](const cuda::block_batch& items, cuda::launch_limits within) -> result<done> {
        const auto from = read(in, "in");
        if (!from) return from.failure();
        const auto predicted = read_if_given(means, "means");
        if (!predicted) return predicted.failure();
        const auto to = read(numbers, "numbers");
        if (!to) return to.failure();
        const auto range = read(wanted, "wanted");
        if (!range) return range.failure();
        if (codec == nullptr) return null_pointer("codec");
        return codec->coder.decode_async(items, *from, *predicted, *to, in_place != 0, *range,
                                         reinterpret_cast<status*>(statuses),
                                         {workspace_dev, workspace_bytes}, stream, within);
      });
}
