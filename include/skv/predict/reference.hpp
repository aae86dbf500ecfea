// A prediction from outside, such as the cache of a quantised model.
#pragma once

#include <skv/predict/predictor.hpp>
#include <utility>

namespace skv {

/// `Lookup` is callable as lookup(tensor_shape) and returns the means of that tensor.
template <class Lookup>
class reference {
 public:
  static constexpr mean_source kSource = mean_source::given;

  explicit reference(Lookup lookup) : lookup_(std::move(lookup)) {}
  row_view<const std::byte> predict(const tensor_shape& t) { return lookup_(t); }
  void update(const tensor_shape&, row_view<const std::byte>) {}

 private:
  Lookup lookup_;
};

}  // namespace skv
