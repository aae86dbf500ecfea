// Predict, code, update: the turn of one tensor, the same for encoders and decoders, on the CPU and on a
// stream.
#pragma once

#include <skv/base/status.hpp>
#include <skv/predict/predictor.hpp>

namespace skv {

/// What to expect of a tensor, then its bits, then what it was. `predict()` gives means, a result; `code(means)`
/// encodes or decodes the tensor; `update()` shows the predictor its exact numbers, which are there by then.
/// The first one that fails ends it, with its error.
template <class Predict, class Code, class Update>
result<done> predict_code_update(const Predict& predict, const Code& code, const Update& update) {
  const auto means = predict();
  if (!means) return means.failure();
  if (auto ok = code(*means); !ok) return ok;
  return update();
}

/// The same with a predictor on the CPU; `numbers` is where code reads them, or puts them.
template <predictor P, class Code>
result<done> predict_code_update(P& p, const tensor_shape& t, row_view<const std::byte> numbers,
                                 const Code& code) {
  return predict_code_update([&] { return result(p.predict(t)); }, code,
                             [&]() -> result<done> {
                               p.update(t, numbers);
                               return done{};
                             });
}

}  // namespace skv
