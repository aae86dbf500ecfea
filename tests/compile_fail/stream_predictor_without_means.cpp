// What does not say where its means will lie is no predictor on a stream, and the message says so.
#include <skv/cuda/tensor_codec.hpp>

struct secretive {
#ifdef SKV_COMPILE_FAIL
  using means = skv::done;
#else
  using means = skv::cuda::paged_cache;
#endif
  skv::result<means> predict_async(std::uint32_t, std::uint32_t, void*) { return means{}; }
  skv::result<skv::done> update_async(std::uint32_t, std::uint32_t, const skv::cuda::paged_cache&,
                                      void*) {
    return skv::done{};
  }
};

skv::result<skv::done> encode(const skv::cuda::tensor_codec& coder,
                              const skv::cuda::block_batch& batch,
                              const skv::cuda::paged_cache& numbers,
                              const skv::cuda::encoded_tensors& out) {
  secretive p;
  return coder.encode_async(p, batch, numbers, out, {}, nullptr);
}
