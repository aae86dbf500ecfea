// The codec on the CPU: tiles of a cache in memory, with the best instruction set at hand.
#pragma once

#include <cstddef>
#include <skv/base/status.hpp>
#include <skv/base/tensor.hpp>
#include <skv/base/view.hpp>
#include <skv/profile/profile.hpp>
#include <skv/tile/block_image.hpp>
#include <span>
#include <string_view>

namespace skv::cpu {

/// An instruction set that the tile codec was compiled for. All write the same bytes.
enum class isa : std::uint8_t { scalar, portable, avx2, avx512 };

std::string_view to_string(isa);

/// The fastest one that this machine runs.
isa best_isa();
/// Can this machine run it?
bool is_available(isa);

/// Part of a tensor [tokens, heads, head_dim]: some tokens of some heads, all channels.
struct tile_slice {
  tensor_id tensor;
  std::uint32_t heads = 0, head_dim = 0;  ///< of the whole tensor
  std::uint32_t first_head = 0, head_count = 0;
  std::uint32_t tokens = 0;

  tile_shape shape() const { return {tokens, head_count * head_dim}; }
};

/// Codes tiles as a profile says. Immutable: any number of threads may use one at once.
///
/// Numbers are the bit patterns of the profile's target format, little-endian, [tokens][heads *
/// head_dim] with contiguous rows at any stride and alignment; means likewise, in the profile's
/// mean format, and only read if the profile's means are given.
class codec {
 public:
  /// `p` must not be null. An `isa` that is not available falls back to one that is.
  explicit codec(profile_ptr p, isa set = best_isa());

  const profile& used_profile() const { return *profile_; }
  profile_ptr shared_profile() const { return profile_; }
  number_format target() const { return target_; }
  number_format mean() const { return mean_; }
  mean_source source() const { return profile_->content().source; }

  /// Room that `encode` needs: the bytes of the numbers. No tile ever becomes larger.
  std::size_t max_tile_bytes(tile_shape shape) const { return shape.elements() * target_.bytes(); }

  /// Encodes a tile of 1 to kMaxTileElements numbers into the first record.bytes() bytes of `out`.
  /// The bytes are a pure function of numbers, means and profile.
  /// Fails with invalid_argument (shape, room), wrong_profile (no scales for the tensor).
  result<tile_record> encode(const tile_slice& tile, row_view<const std::byte> numbers,
                             row_view<const std::byte> means, std::span<std::byte> out) const;

  /// Decodes what `encode` wrote: `bytes` are the record.bytes() bytes of the tile. Any record and
  /// bytes are safe. Fails with truncated, corrupt, wrong_prediction (the means are not those of
  /// the encoder), wrong_profile, invalid_argument; `numbers` then hold no particular values.
  result<done> decode(const tile_slice& tile, const tile_record& record,
                      std::span<const std::byte> bytes, row_view<const std::byte> means,
                      row_view<std::byte> numbers) const;

 private:
  result<std::span<const scale_code>> codes_of(const tile_slice& tile) const;

  profile_ptr profile_;
  number_format target_, mean_;
  isa isa_;
  std::vector<scale_code> default_codes_;  // a row of default_code for profiles without scales
};

}  // namespace skv::cpu
