// A profile's linear propagation laid out for the kernels, and where what a pass hands on is kept.
#pragma once

#include <algorithm>
#include <optional>
#include <skv/profile/profile.hpp>
#include <vector>

#include "linear_parameters.hpp"

namespace skv::cuda {

// Pointers in plans are null until place(); `.._at` is where in the image they will point to.

/// What is kept of a tensor, or of outside rows.
struct linear_told {
  bool is_source = false;  ///< is anything predicted from it? Otherwise nothing is kept.
  bool turns = false;
  linear_source rows{};
  const linear_channel* channels = nullptr;  ///< [shards][shard_channels]
  std::uint32_t shards = 1, shard_channels = 0, channel_count = 0;
  std::size_t channels_at = 0;
};

/// The steps of one tensor.
struct linear_tensor_plan {
  std::uint32_t index = 0;  ///< in the profile
  bool is_predicted = false, has_bases = false;
  linear_product_plan to_hidden{}, to_output{};  ///< no outputs: there is no hidden value
  std::uint64_t hidden_byte = 0;                 ///< in the workspace, times the batch's tokens
  std::uint32_t hidden_row_bytes = 0, hidden_shard_bytes = 0;
  linear_told told;

  std::size_t weights_at[2] = {}, sources_at[2] = {}, outputs_at[2] = {};
};

class linear_plan {
 public:
  /// Fails as linear::make, but for what needs a device.
  static result<linear_plan> make(const profile& p, const block_geometry& geometry);

  /// What has to be copied to the device; and what to do then.
  std::vector<std::byte> take_image() { return std::move(image_); }
  void place(const std::byte* image_dev);

  /// Null: there is no such tensor.
  const linear_tensor_plan* find(std::uint32_t layer, std::uint32_t tensor) const;
  /// Of the profile's outside rows.
  const std::vector<linear_told>& outside() const { return outside_; }
  bool starts_chain(std::uint32_t layer) const { return starts_chain_[layer]; }

  const block_geometry& geometry() const { return geometry_; }
  /// Of the workspace. Never none: there is always one to be given.
  std::size_t bytes_of(std::uint32_t items) const {
    return std::max<std::size_t>(std::size_t{token_bytes_} * items * geometry_.tokens, 256);
  }

  // What the kernels get. If there are hidden values, `hide` is launched before `predict`.
  hide_parameters hide(const linear_tensor_plan& t, const linear_rows& rows, std::byte* room) const;
  predict_parameters predict(const linear_tensor_plan& t, const linear_rows& rows,
                             const tensor_place& bases, const tensor_place& means,
                             const std::byte* room) const;
  update_parameters update(const linear_told& t, const linear_rows& rows,
                           const tensor_place& numbers, const tensor_place* bases,
                           std::byte* room) const;
  take_parameters take(const linear_told& t, const linear_rows& rows, const outside_table& table,
                       std::byte* room) const;

 private:
  class builder;

  block_geometry geometry_;
  std::vector<std::byte> image_;
  std::vector<std::optional<linear_tensor_plan>> tensors_;  // [layers][kMaxTensors]
  std::vector<linear_told> outside_;
  std::vector<bool> starts_chain_;  // [layers]
  std::uint32_t token_bytes_ = 0;
  const std::uint32_t* sines_dev_ = nullptr;
};

}  // namespace skv::cuda
