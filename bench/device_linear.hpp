// What the benchmark of linear propagation works on.
#pragma once

#include <memory>
#include <skv/cuda/linear_predictor.hpp>

#include "device_pages.hpp"

namespace skv::bench {

enum class linear_work {
  pass,    ///< predictions and updates alone
  encode,  ///< with an encoding at the end
  decode,  ///< each tensor decoded before the next is predicted
};

/// A pass over all layers of pages whose means are given. The model is dense and turns K; its weights are
/// random and their factors 0, so that it does the work of any model, and blocks are those without it.
class linear_subject {
 public:
  /// `items` pages in every layer. Memory comes from the arena's start. Ends the program if the codec
  /// cannot be made.
  linear_subject(std::uint32_t items, const page_set& pages, device_arena& arena);
  linear_subject(const linear_subject&) = delete;
  linear_subject& operator=(const linear_subject&) = delete;
  ~linear_subject();

  bool fits() const { return allocated_; }
  /// Fills memory, encodes and restores all. Returns what went wrong, or nothing.
  std::string verify();
  /// Enqueues the work; without linear propagation means are the bases.
  void run(linear_work what, bool with_linear);

  cudaStream_t stream() const { return stream_; }
  std::size_t raw_bytes() const { return std::size_t{items_} * layers() * pages_.page_bytes; }
  /// Products of a pass: multiply-adds of int8.
  double multiply_adds() const;

 private:
  std::uint32_t layers() const { return pages_.geometry.layers; }
  bool allocate(device_arena& arena);
  cuda::paged_cache cache_at(std::byte* base, std::size_t page_bytes, number_format f) const;
  cuda::encoded_tensors places() const;
  template <cuda::stream_predictor P>
  void run(linear_work what, P predictor);

  std::uint32_t items_;
  const page_set& pages_;
  profile_ptr profile_;
  cuda::linear steps_;
  cuda::tensor_codec coder_;
  cudaStream_t stream_{};
  bool allocated_ = false;
  std::size_t slot_bytes_ = 0;
  std::uint32_t tiles_ = 0;
  std::byte *original_ = nullptr, *cache_ = nullptr, *bases_ = nullptr, *means_ = nullptr,
            *slots_ = nullptr;
  tile_record* records_ = nullptr;
  std::uint32_t* sizes_ = nullptr;
  status *statuses_ = nullptr, *decoded_ = nullptr;
  cuda::workspace room_, passed_on_;
};

}  // namespace skv::bench
