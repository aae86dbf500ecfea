// The kernels whose instructions bench/sass_budget.py counts: only compiled, never run.
#include "kernels/decode.cuh"
#include "kernels/encode.cuh"
#include "kernels/linear.cuh"
#include "kernels/tuning.hpp"

namespace skv::cuda {

template <class Kernel, std::uint32_t kThreads, std::uint32_t kBlocks>
__global__ void __launch_bounds__(kThreads, kBlocks) counted(const __grid_constant__ Kernel k) {
  k();
}

constexpr policy kPolicy = policy_of(90);
#define SKV_COUNTED(kind, ...)                                                    \
  template __global__ void                                                        \
  counted<kind##_kernel<__VA_ARGS__>, kPolicy.kind.threads, kPolicy.kind.blocks>( \
      const __grid_constant__ kind##_kernel<__VA_ARGS__>)
#define SKV_COUNTED_BOTH(...)       \
  SKV_COUNTED(decode, __VA_ARGS__); \
  SKV_COUNTED(encode, __VA_ARGS__)

SKV_COUNTED_BOTH(bf16, mean_source::given, bf16, true);
#if !defined(SKV_BF16_ONLY)
SKV_COUNTED_BOTH(bf16, mean_source::given, bf16, false);
SKV_COUNTED_BOTH(bf16, mean_source::none, bf16, true);
SKV_COUNTED_BOTH(bf16, mean_source::previous_token, bf16, true);
SKV_COUNTED_BOTH(fp16, mean_source::given, fp16, true);
SKV_COUNTED_BOTH(e4m3, mean_source::given, bf16, true);

constexpr linear_policy kLinear = linear_policy_of(90);
#define SKV_COUNTED_LINEAR(of, ...)                                                     \
  template __global__ void counted<__VA_ARGS__, kLinear.of.threads, kLinear.of.blocks>( \
      const __grid_constant__ __VA_ARGS__)

SKV_COUNTED_LINEAR(product, hide_kernel);
SKV_COUNTED_LINEAR(product, predict_kernel<bf16>);
SKV_COUNTED_LINEAR(product, predict_kernel<fp16>);
SKV_COUNTED_LINEAR(product, predict_kernel<e4m3>);
SKV_COUNTED_LINEAR(update, update_kernel<bf16, bf16>);
SKV_COUNTED_LINEAR(update, update_kernel<fp16, fp16>);
SKV_COUNTED_LINEAR(update, update_kernel<e4m3, bf16>);
SKV_COUNTED_LINEAR(update, take_kernel);
#endif

}  // namespace skv::cuda
