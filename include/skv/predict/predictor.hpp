// What a predictor is: it says, layer by layer, what it expects, and then sees what was there.
#pragma once

#include <concepts>
#include <skv/base/tensor.hpp>
#include <skv/base/view.hpp>
#include <skv/predict/mean.hpp>

namespace skv {

/// A tensor of a cache in the hands of a predictor: `tokens` rows of `width` numbers.
struct tensor_shape {
  tensor_id id;
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;

  std::uint32_t width() const { return heads * head_dim; }
};

/// A type P predicts if
/// 1. `P::kSource` is a mean_source: `given` if it makes means of its own; the others need none;
/// 2. `p.predict(tensor)` returns the means of a tensor, patterns in the profile's mean format,
///    valid until the next call (null if the source is not `given`);
/// 3. `p.update(tensor, exact)` shows it the exact numbers, patterns in the target format.
///
/// Encoder and decoder call predict and update in the same order, layer after layer, K before V.
/// Means must be a pure function of what the predictor was given and shown, to the last bit, on
/// every machine: integers, or floats in a fixed order. The tiles' hashes catch it if they are not.
template <class P>
concept predictor = requires(P p, const tensor_shape& t, row_view<const std::byte> exact) {
  { P::kSource } -> std::convertible_to<mean_source>;
  { p.predict(t) } -> std::same_as<row_view<const std::byte>>;
  p.update(t, exact);
};

}  // namespace skv
