// Prints how the host may launch every kernel, from the host's own code, a line for each size of blocks: name,
// threads of a block, and the most dynamic shared memory that blocks of 1 to 64 tiles ask for. Run by
// sass_budget.py; needs no device.
#include <algorithm>
#include <cstdio>
#include <kernels/compact.cuh>
#include <kernels/decode.cuh>
#include <kernels/encode.cuh>
#include <kernels/entry.cuh>
#include <kernels/linear.cuh>
#include <kernels/pool.cuh>
#include <kernels/schedule.hpp>
#include <string>

namespace skv::cuda {
namespace {

constexpr const char* kSources[] = {"none", "previous_token", "given"};

std::string name_of(number_format f) { return std::string(to_string(f.id)); }

template <class Kernel>
void print(const std::string& name, kernel_kind kind) {
  const occupancy on = policy_of(kind, 0);
  for (std::uint32_t threads = on.threads; threads <= on.most_threads; threads += on.threads) {
    std::size_t most = 0;
    for (std::uint32_t tiles = 1; tiles <= 64; ++tiles) {
      block_plan plan{};
      plan.tiles = tiles;
      most = std::max(most, Kernel::shared_bytes(round_blocks_of(plan, threads / kLanes), tiles));
    }
    std::printf("%s %u %zu\n", name.c_str(), threads, most);
  }
}

void print_coders(number_format target, mean_source source, number_format mean, head_layout heads) {
  with_kernel(target.id, source, mean.id, heads,
              [&]<number_format T, mean_source S, number_format M, head_layout kHeads>() {
                const std::string coding = "/" + name_of(T) + "/" + kSources[static_cast<int>(S)] +
                                           "/" + name_of(M) + "/" + to_string(kHeads);
                print<encode_kernel<T, S, M, kHeads>>("encode" + coding, kernel_kind::encode);
                print<decode_kernel<T, S, M, kHeads>>("decode" + coding, kernel_kind::decode);
              });
}

void print_linear(number_format target, number_format mean) {
  with_formats(target.id, mean.id, [&]<number_format T, number_format M>() {
    print<update_kernel<T, M>>("linear/update/" + name_of(T) + "/" + name_of(M),
                               kernel_kind::update);
    if (T == M) print<predict_kernel<M>>("linear/predict/" + name_of(M), kernel_kind::product);
  });
}

void print_all() {
  for (const number_format target : kFormats)
    for (const number_format mean : kFormats) {
      for (const mean_source source :
           {mean_source::none, mean_source::previous_token, mean_source::given})
        for (const head_layout heads : kHeadLayouts) print_coders(target, source, mean, heads);
      print_linear(target, mean);
    }
  print<hide_kernel>("linear/hide", kernel_kind::product);
  print<take_kernel>("linear/take", kernel_kind::update);
  print<compact_kernel>("move/compact", kernel_kind::move);
  print<store_kernel>("move/store", kernel_kind::move);
  print<load_kernel>("move/load", kernel_kind::move);
  print<drop_kernel>("move/drop", kernel_kind::move);
  print<clear_kernel>("move/clear", kernel_kind::move);
}

}  // namespace
}  // namespace skv::cuda

int main() { skv::cuda::print_all(); }
