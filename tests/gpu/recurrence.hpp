// A predictor that is none of the library's, with kernels of its own: of every channel it keeps a mean of all
// tensors so far, and expects of the next one a mixture of neighbours. In integers; on a stream, and on the CPU.
#pragma once

#include <kernels/launch.hpp>
#include <skv/cuda/tensor_codec.hpp>
#include <span>

#include "gpu/device.hpp"
#include "support/patterns.hpp"

namespace skv::gpu {

/// Patterns as integers in the order of their values.
SKV_HOST_DEVICE inline std::int32_t ordered(std::uint32_t pattern, std::uint32_t magnitude_bits) {
  const auto magnitude = static_cast<std::int32_t>(pattern & ((1u << magnitude_bits) - 1));
  return pattern >> magnitude_bits != 0 ? -magnitude : magnitude;
}
SKV_HOST_DEVICE inline std::uint32_t unordered(std::int32_t a, std::uint32_t magnitude_bits) {
  const std::int32_t most = (1 << magnitude_bits) - 1;
  const std::int32_t magnitude = a < 0 ? -a : a;
  return static_cast<std::uint32_t>(magnitude < most ? magnitude : most) |
         (a < 0 ? 1u << magnitude_bits : 0);
}

/// Of one channel of one tensor.
struct recurrence_weights {
  std::int8_t own, next;
};

/// `seen`: a token's channels.
SKV_HOST_DEVICE inline std::int32_t expected(const recurrence_weights* weights,
                                             const std::int32_t* seen, std::uint32_t channel,
                                             std::uint32_t width) {
  const recurrence_weights w = weights[channel];
  return (w.own * seen[channel] + w.next * seen[channel + 1 == width ? 0 : channel + 1]) >> 7;
}
SKV_HOST_DEVICE inline std::int32_t after(std::int32_t seen, std::int32_t shown) {
  return (seen + shown) >> 1;
}

/// What its kernels are given.
struct recurrence_parameters {
  cuda::block_batch batch;
  cuda::paged_cache cache;  ///< of the means, or of the numbers
  std::uint32_t layer, tensor;
  std::uint32_t tokens, heads, head_dim, magnitude_bits;
  const recurrence_weights* weights;  ///< [heads * head_dim]
  std::int32_t* seen;                 ///< [items][tokens][heads * head_dim]
};
cuda::kernel_entry find_expect_kernel();
cuda::kernel_entry find_see_kernel();

/// All tensors of a geometry have the same heads.
struct recurrence_model {
  cuda::block_geometry geometry;
  number_format format;
  std::vector<recurrence_weights> weights;  ///< [layers][tensors][heads * head_dim]
  std::vector<std::int32_t> start;          ///< [items][tokens][heads * head_dim], seen before all

  std::size_t width() const {
    return std::size_t{geometry.tensors[0].heads} * geometry.tensors[0].head_dim;
  }
  std::size_t first_weight(std::uint32_t layer, std::uint32_t tensor) const {
    return (std::size_t{layer} * geometry.tensor_count + tensor) * width();
  }
};

class recurrence {
 public:
  /// `means`: where they go.
  recurrence(const recurrence_model& model, const cuda::block_batch& batch,
             const cuda::paged_cache& means)
      : model_(&model),
        batch_(batch),
        means_(means),
        weights_(std::span<const recurrence_weights>(model.weights)),
        start_(std::span<const std::int32_t>(model.start)),
        seen_(model.start.size()) {}

  /// Before the first prediction of a pass.
  void begin(cudaStream_t stream) const {
    check(cudaMemcpyAsync(seen_.data(), start_.data(), start_.size() * sizeof(std::int32_t),
                          cudaMemcpyDeviceToDevice, stream));
  }
  result<cuda::paged_cache> predict_async(std::uint32_t layer, std::uint32_t tensor,
                                          void* stream) const {
    if (auto ok = launch(find_expect_kernel(), layer, tensor, means_, stream); !ok)
      return ok.failure();
    return means_;
  }
  result<done> update_async(std::uint32_t layer, std::uint32_t tensor,
                            const cuda::paged_cache& numbers, void* stream) const {
    return launch(find_see_kernel(), layer, tensor, numbers, stream);
  }
  bool is_intact() const { return weights_.is_intact() && seen_.is_intact(); }

 private:
  result<done> launch(const cuda::kernel_entry& kernel, std::uint32_t layer, std::uint32_t tensor,
                      const cuda::paged_cache& cache, void* stream) const {
    const cuda::block_tensor& t = model_->geometry.tensors[tensor];
    recurrence_parameters p{batch_,
                            cache,
                            layer,
                            tensor,
                            model_->geometry.tokens,
                            t.heads,
                            t.head_dim,
                            model_->format.magnitude_bits(),
                            weights_.data() + model_->first_weight(layer, tensor),
                            seen_.data()};
    void* arguments[] = {&p};
    const cudaError_t e = cudaLaunchKernel(kernel.function, dim3(3), dim3(64), arguments, 0,
                                           static_cast<cudaStream_t>(stream));
    if (e != cudaSuccess) return fail(status::unsupported, cudaGetErrorString(e));
    return done{};
  }

  const recurrence_model* model_;
  cuda::block_batch batch_;
  cuda::paged_cache means_;
  device_array<recurrence_weights> weights_;
  device_array<std::int32_t> start_, seen_;
};

/// The same for one item, on the CPU.
class recurrence_on_cpu {
 public:
  static constexpr mean_source kSource = mean_source::given;

  recurrence_on_cpu(const recurrence_model& model, std::uint32_t item) : model_(&model) {
    const auto numbers = static_cast<std::ptrdiff_t>(model.geometry.tokens * model.width());
    seen_.assign(model.start.begin() + item * numbers, model.start.begin() + (item + 1) * numbers);
  }
  row_view<const std::byte> predict(const tensor_shape& t) {
    const recurrence_weights* const w = model_->weights.data() + first_weight(t);
    means_.clear();
    for (std::uint32_t token = 0; token < t.tokens; ++token)
      for (std::uint32_t c = 0; c < t.width(); ++c)
        test::append_pattern(means_, model_->format,
                             unordered(expected(w, seen_.data() + token * t.width(), c, t.width()),
                                       model_->format.magnitude_bits()));
    return {means_.data(), t.width() * model_->format.bytes()};
  }
  void update(const tensor_shape& t, row_view<const std::byte> exact) {
    for (std::uint32_t token = 0; token < t.tokens; ++token)
      for (std::uint32_t c = 0; c < t.width(); ++c) {
        const std::uint32_t x = test::pattern_at(exact.at(token, 0), model_->format, c);
        std::int32_t& seen = seen_[token * t.width() + c];
        seen = after(seen, ordered(x, model_->format.magnitude_bits()));
      }
  }

 private:
  std::size_t first_weight(const tensor_shape& t) const {
    const cuda::block_geometry& g = model_->geometry;
    return model_->first_weight(t.id.layer - g.first_layer, t.id.kind == g.tensors[0].kind ? 0 : 1);
  }
  const recurrence_model* model_;
  std::vector<std::int32_t> seen_;
  std::vector<std::byte> means_;
};

}  // namespace skv::gpu
