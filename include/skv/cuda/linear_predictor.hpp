// Linear propagation as a predictor on a stream: the mirror of cpu/linear_predictor.hpp.
#pragma once

#include <skv/cuda/linear.hpp>
#include <skv/cuda/tensor_codec.hpp>
#include <utility>

namespace skv::cuda {

/// Linear propagation over a base, such as a `reference`, for one pass of a batch. If the profile has no bases,
/// what the base says is not looked at. Outside rows must be in the workspace before.
template <stream_predictor Base>
class linear_predictor {
 public:
  /// Borrows `steps`, which write into `means`, and keep what they pass on in `room`: not the room of the
  /// tensor_codec's calls, until the pass ends.
  linear_predictor(const linear& steps, const linear_batch& batch, Base base,
                   const paged_cache& means, workspace room, launch_limits limits = {})
      : steps_(&steps),
        batch_(batch),
        base_(std::move(base)),
        means_(means),
        room_(room),
        limits_(limits) {}

  result<paged_cache> predict_async(std::uint32_t layer, std::uint32_t tensor, void* stream) {
    const auto bases = base_.predict_async(layer, tensor, stream);
    if (!bases) return bases;
    bases_ = *bases;
    const auto ok =
        steps_->predict_async(layer, tensor, batch_, bases_, means_, room_, stream, limits_);
    if (!ok) return ok.failure();
    return means_;
  }

  result<done> update_async(std::uint32_t layer, std::uint32_t tensor, const paged_cache& numbers,
                            void* stream) {
    if (auto ok =
            steps_->update_async(layer, tensor, batch_, numbers, bases_, room_, stream, limits_);
        !ok)
      return ok;
    return base_.update_async(layer, tensor, numbers, stream);
  }

 private:
  const linear* steps_;
  linear_batch batch_;
  Base base_;
  paged_cache bases_, means_;
  workspace room_;
  launch_limits limits_;
};

}  // namespace skv::cuda
