// Linear propagation on the GPU: the means of one layer's tensors from the tensors of the layers before,
// for a batch of blocks of a paged cache, on a stream.
#pragma once

#include <memory>
#include <skv/cuda/codec.hpp>

namespace skv::cuda {

/// Blocks of requests, and where in their sequences they lie. A block's tokens follow each other.
struct linear_batch {
  block_batch blocks;
  /// [items], the position of a block's first token, any u32; null: item i begins at i * tokens.
  const std::uint32_t* first_positions_dev = nullptr;
};

/// Outside rows as they are: int8 innovations [rows][width], without gaps. A token's is row `ids_dev` [items][tokens] of
/// them, zeros if there are not that many; without ids its own, of [items][tokens] rows. For embeddings: what
/// cpu::linear_steps::innovate_embedding gives for all ids, and the tokens' ids.
struct outside_table {
  const std::int8_t* rows_dev = nullptr;
  const std::uint32_t* ids_dev = nullptr;
  std::uint32_t row_count = 0;  ///< with ids only
};

/// Makes means as a profile's linear propagation says: those of the CPU, bit for bit. Holds the weights
/// of the geometry's layers in the memory of the device that was current when it was made. Immutable:
/// any number of threads and streams may use one at once, with a workspace for each pass in flight. It
/// must live until the calls, and the graphs that captured them, are done.
///
/// A pass takes a batch through the layers. For every tensor of the geometry, layer after layer and in a
/// layer K before V, first predict_async, whose means serve to encode or decode the tensor, and, once its
/// numbers are there, update_async: linear_predictor with tensor_codec does so. To encode, numbers are there
/// from the start; a decoder needs a tensor before it can predict the next, and so a codec for that tensor
/// alone, called for that layer. What is passed on, an int8 for each number, is in the workspace: a pass needs the same workspace, and
/// batches of the same `items`, throughout.
///
/// Outside rows that the profile looks at have to be there before the first predict_async: take_async and
/// take_draft_async put them into the workspace.
///
/// Tensors of the profile that are not in the geometry count as zeros, as those of a layer that a model
/// skips do. So do blocks that a tensor does not have (a negative index, a null pointer), and the tokens
/// behind a partly filled block's. A geometry may begin at any layer; means are those of a whole pass if
/// starts_chain() says so of its first layer.
///
/// Calls enqueue on `stream` (a cudaStream_t) and return: no allocation, no synchronisation, no read of
/// device arrays by the host. They can be captured in a graph. They fail with invalid_argument (layer,
/// tensor, pointers, room) or unsupported (CUDA refused the launch), and then have enqueued nothing.
/// Layers and tensors are numbered as in the geometry, from 0; caches hold all of them, and the layers of a
/// batch do not count.
class linear {
 public:
  /// Copies the weights to the device and waits for that. Fails with invalid_argument (a profile without
  /// linear propagation, or a geometry that cannot be), wrong_profile (a tensor of another shape, or none
  /// that the profile knows), unsupported (no device, no memory there).
  static result<linear> make(const profile_ptr& p, const block_geometry& geometry);
  linear(linear&&) noexcept;
  linear& operator=(linear&&) noexcept;
  ~linear();

  /// Does nothing from this layer of the geometry on need layers before it?
  bool starts_chain(std::uint32_t layer) const;
  /// Device memory for the weights.
  std::size_t device_bytes() const;
  /// What a pass needs for batches of up to `max_items`.
  std::size_t workspace_bytes(std::uint32_t max_items) const;

  /// Writes the means of one tensor, in the profile's mean format, into `means`. `bases` is read only if
  /// the profile's bases are given; then an item without a block there gets no means.
  result<done> predict_async(std::uint32_t layer, std::uint32_t tensor, const linear_batch& batch,
                             const paged_cache& bases, const paged_cache& means, workspace room,
                             void* stream, launch_limits limits = {}) const;

  /// Passes on what one tensor's exact numbers tell, in the profile's target format. `bases` as they were
  /// when it was predicted. A layer that the whole batch lacks is named by a cache of numbers whose
  /// blocks are not given.
  result<done> update_async(std::uint32_t layer, std::uint32_t tensor, const linear_batch& batch,
                            const paged_cache& numbers, const paged_cache& bases, workspace room,
                            void* stream, launch_limits limits = {}) const;

  /// Puts outside rows, by their number in the profile, into the workspace.
  result<done> take_async(std::uint32_t outside, const linear_batch& batch,
                          const outside_table& table, workspace room, void* stream,
                          launch_limits limits = {}) const;
  /// Makes outside rows of a draft's tensor, in the format that the profile names: the first tensor of `draft`
  /// in its layer 0. Blocks that the draft does not have count as zeros.
  result<done> take_draft_async(std::uint32_t outside, const linear_batch& batch,
                                const paged_cache& draft, workspace room, void* stream,
                                launch_limits limits = {}) const;

 private:
  struct state;
  explicit linear(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

}  // namespace skv::cuda
