#include <skv/cuda/linear.hpp>

#include "batch_call.hpp"
#include "c_api/counted.hpp"

using namespace skv;
using namespace skv::c_api;
using namespace skv::c_cuda;

struct skv_cuda_linear : counted {
  explicit skv_cuda_linear(cuda::linear l) : steps(std::move(l)) {}
  const cuda::linear steps;
};

namespace {

// f(batch, limits) makes the call.
template <class F>
skv_status pass(const skv_cuda_linear* linear, const skv_cuda_batch* batch,
                const uint32_t* first_positions_dev, const skv_cuda_limits* limits, const F& f) {
  return call_with_batch(
      batch, limits,
      [&](const cuda::block_batch& items, cuda::launch_limits within) -> result<done> {
        const auto positions = read(first_positions_dev, "first_positions_dev");
        if (!positions) return positions.failure();
        if (linear == nullptr) return null_pointer("linear");
        return f(cuda::linear_batch{items, *positions}, within);
      });
}

}  // namespace

skv_status skv_cuda_linear_create(const skv_profile* profile, const skv_cuda_geometry* geometry,
                                  skv_cuda_linear** linear) {
  return call([&]() -> result<done> {
    if (linear == nullptr) return null_pointer("linear");
    const auto blocks = read(geometry, "geometry");
    if (!blocks) return blocks.failure();
    const auto used = read(profile);
    if (!used) return used.failure();
    auto made = cuda::linear::make(*used, *blocks);
    if (!made) return made.failure();
    *linear = new skv_cuda_linear(*std::move(made));
    return done{};
  });
}

skv_cuda_linear* skv_cuda_linear_retain(skv_cuda_linear* linear) { return retain(linear); }
void skv_cuda_linear_release(skv_cuda_linear* linear) { release(linear); }

skv_status skv_cuda_linear_workspace_bytes(const skv_cuda_linear* linear, uint32_t max_items,
                                           size_t* bytes) {
  return call([&]() -> result<done> {
    if (linear == nullptr) return null_pointer("linear");
    if (bytes == nullptr) return null_pointer("the result");
    *bytes = linear->steps.workspace_bytes(max_items);
    return done{};
  });
}

skv_status skv_cuda_linear_device_bytes(const skv_cuda_linear* linear, size_t* bytes) {
  return call([&]() -> result<done> {
    if (linear == nullptr) return null_pointer("linear");
    if (bytes == nullptr) return null_pointer("the result");
    *bytes = linear->steps.device_bytes();
    return done{};
  });
}

skv_status skv_cuda_linear_starts_chain(const skv_cuda_linear* linear, uint32_t layer,
                                        int* starts) {
  return call([&]() -> result<done> {
    if (linear == nullptr) return null_pointer("linear");
    if (starts == nullptr) return null_pointer("the result");
    *starts = linear->steps.starts_chain(layer) ? 1 : 0;
    return done{};
  });
}

skv_status skv_cuda_linear_predict_async(const skv_cuda_linear* linear, uint32_t layer,
                                         uint32_t tensor, const skv_cuda_batch* batch,
                                         const uint32_t* first_positions_dev,
                                         const skv_cuda_paged_cache* bases,
                                         const skv_cuda_paged_cache* means, void* workspace_dev,
                                         size_t workspace_bytes, const skv_cuda_limits* limits,
                                         void* stream) {
  return pass(linear, batch, first_positions_dev, limits,
              [&](const cuda::linear_batch& items, cuda::launch_limits within) -> result<done> {
                const auto from = read_if_given(bases, "bases");
                if (!from) return from.failure();
                const auto to = read(means, "means");
                if (!to) return to.failure();
                return linear->steps.predict_async(layer, tensor, items, *from, *to,
                                                   {workspace_dev, workspace_bytes}, stream,
                                                   within);
              });
}

skv_status skv_cuda_linear_update_async(const skv_cuda_linear* linear, uint32_t layer,
                                        uint32_t tensor, const skv_cuda_batch* batch,
                                        const uint32_t* first_positions_dev,
                                        const skv_cuda_paged_cache* numbers,
                                        const skv_cuda_paged_cache* bases, void* workspace_dev,
                                        size_t workspace_bytes, const skv_cuda_limits* limits,
                                        void* stream) {
  return pass(linear, batch, first_positions_dev, limits,
              [&](const cuda::linear_batch& items, cuda::launch_limits within) -> result<done> {
                const auto of = read_if_given(numbers, "numbers");
                if (!of) return of.failure();
                const auto from = read_if_given(bases, "bases");
                if (!from) return from.failure();
                return linear->steps.update_async(layer, tensor, items, *of, *from,
                                                  {workspace_dev, workspace_bytes}, stream, within);
              });
}

skv_status skv_cuda_linear_take_async(const skv_cuda_linear* linear, uint32_t outside,
                                      const skv_cuda_batch* batch, const int8_t* rows_dev,
                                      const uint32_t* ids_dev, uint32_t row_count,
                                      void* workspace_dev, size_t workspace_bytes,
                                      const skv_cuda_limits* limits, void* stream) {
  return pass(linear, batch, nullptr, limits,
              [&](const cuda::linear_batch& items, cuda::launch_limits within) -> result<done> {
                const auto ids = read(ids_dev, "ids_dev");
                if (!ids) return ids.failure();
                return linear->steps.take_async(outside, items, {rows_dev, *ids, row_count},
                                                {workspace_dev, workspace_bytes}, stream, within);
              });
}

skv_status skv_cuda_linear_take_draft_async(const skv_cuda_linear* linear, uint32_t outside,
                                            const skv_cuda_batch* batch,
                                            const uint32_t* first_positions_dev,
                                            const skv_cuda_paged_cache* draft, void* workspace_dev,
                                            size_t workspace_bytes, const skv_cuda_limits* limits,
                                            void* stream) {
  return pass(linear, batch, first_positions_dev, limits,
              [&](const cuda::linear_batch& items, cuda::launch_limits within) -> result<done> {
                const auto from = read(draft, "draft");
                if (!from) return from.failure();
                return linear->steps.take_draft_async(
                    outside, items, *from, {workspace_dev, workspace_bytes}, stream, within);
              });
}
