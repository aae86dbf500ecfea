// How a cache keeps K and V: in bf16, as the model makes them, or in e4m3 with a scale per tensor.
#pragma once

#include <cstdint>
#include <skv/base/tensor.hpp>
#include <skv/number/format.hpp>
#include <span>
#include <vector>

namespace engine {

struct cache_format {
  skv::format_id id = skv::format_id::bf16;  ///< bf16 or e4m3
  std::vector<float> scales;                 ///< e4m3: [layers][k, v], positive; otherwise empty

  std::uint32_t number_bytes() const { return id == skv::format_id::bf16 ? 2 : 1; }

  /// The numbers of a tensor from the model's: bf16 patterns in; `out` has number_bytes() for each.
  /// e4m3: number / scale, to the nearest, ties to even, saturating.
  void keep(skv::tensor_id t, std::span<const std::uint16_t> numbers, std::byte* out) const;

  /// What is expected of the numbers of a tensor, in bf16: `expected`, or, for e4m3, `expected` /
  /// scale. A NaN becomes 0x7fc0, whatever its bits.
  std::uint16_t mean(skv::tensor_id t, float expected) const;

  /// Where the model's number lies, given what the cache has of it: of the values that the cache
  /// keeps as `kept`, the one nearest to `expected`. In bf16 that is the number itself. NaNs and
  /// infinities tell nothing: `expected`.
  float nearest(skv::tensor_id t, const std::byte* kept, float expected) const;

  friend bool operator==(const cache_format&, const cache_format&) = default;

 private:
  float scale(skv::tensor_id t) const {
    return scales[2 * std::size_t{t.layer} + (t.kind == skv::tensor_kind::v)];
  }
};

}  // namespace engine
