#include "simt/kernels.hpp"

#include <kernels/dispatch.hpp>

namespace skv::simt {
namespace {

/// Launches Kernel<target, source, mean, heads>.
template <template <number_format, mean_source, number_format, cuda::head_layout> class Kernel,
          class Parameters>
report run(cpu::coding_id id, cuda::head_layout heads, const Parameters& p, launch_shape shape) {
  report r{outcome::bad_launch, "there is no such coding"};
  cuda::with_kernel(
      id.target, id.source, id.mean, heads,
      [&]<number_format T, mean_source S, number_format M, cuda::head_layout kHeads>() {
        using kernel = Kernel<T, S, M, kHeads>;
        shape.shared_bytes = kernel::shared_bytes(p.round_blocks, p.plan.tiles);
        r = launch(shape, kernel{p});
      });
  return r;
}

}  // namespace

report run_encode(cpu::coding_id id, cuda::head_layout heads, const cuda::encode_parameters& p,
                  launch_shape shape) {
  return run<cuda::encode_kernel>(id, heads, p, shape);
}

report run_decode(cpu::coding_id id, cuda::head_layout heads, const cuda::decode_parameters& p,
                  launch_shape shape) {
  return run<cuda::decode_kernel>(id, heads, p, shape);
}

}  // namespace skv::simt
