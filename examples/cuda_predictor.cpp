// A predictor of one's own on a stream: every tensor is expected to be like that of the layer before. An engine
// would launch kernels in predict_async and update_async; this one has the means where the decoder puts the numbers.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <skv/cuda/tensor_codec.hpp>
#include <skv/profile/profile.hpp>
#include <vector>
using namespace skv;

constexpr std::uint32_t kLayers = 8, kBlocks = 4, kTokens = 16, kHeads = 2, kDim = 64;
constexpr std::int64_t kTensor = kTokens * kHeads * kDim;          // numbers of K, or V, in a block
constexpr std::size_t kNumbers = kLayers * kBlocks * 2 * kTensor;  // [layers][blocks][K, V]
constexpr std::size_t kStatuses = 2 * kLayers * kBlocks;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "cuda_predictor: %s\n", what);
  std::exit(1);
}
void check(cudaError_t e) { check(e == cudaSuccess, cudaGetErrorString(e)); }
template <class T>
T value_of(result<T> r) {
  check(bool(r), r ? "" : r.failure().message.c_str());
  return *std::move(r);
}

/// Device memory of zeros.
template <class T>
T* on_device(std::size_t count) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)));
  check(cudaMemset(memory, 0, count * sizeof(T)));
  return static_cast<T*>(memory);
}

struct layer_before {
  cuda::paged_cache cache, zeros;

  result<cuda::paged_cache> predict_async(std::uint32_t layer, std::uint32_t, void*) const {
    if (layer == 0) return zeros;
    cuda::paged_cache before = cache;
    before.blocks.base -= cache.blocks.layer_stride_bytes;
    return before;
  }
  result<done> update_async(std::uint32_t, std::uint32_t, const cuda::paged_cache&, void*) const {
    return done{};  // the numbers lie where it will look for them
  }
};

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: there is no CUDA device");
    return 77;
  }

  // A cache of bf16 that changes a little from layer to layer.
  std::mt19937 random;
  std::vector<std::uint16_t> numbers(kNumbers, 0x3f80);  // ones, to begin with
  constexpr std::size_t kLayer = kNumbers / kLayers;
  for (std::size_t i = kLayer; i < kNumbers; ++i)
    numbers[i] = static_cast<std::uint16_t>(numbers[i - kLayer] + random() % 9 - 4);
  auto* const cache_dev = on_device<std::uint16_t>(kNumbers);
  check(cudaMemcpy(cache_dev, numbers.data(), kNumbers * 2, cudaMemcpyHostToDevice));
  cuda::paged_cache cache;
  cache.blocks.base = reinterpret_cast<std::byte*>(cache_dev);
  cache.blocks.block_stride_bytes = 2 * kTensor * 2;
  cache.blocks.layer_stride_bytes = kLayer * 2;
  for (std::int64_t i : {0, 1}) cache.tensors[i] = {i * kTensor * 2, kHeads * kDim * 2, kDim * 2};
  cuda::paged_cache zeros = cache;  // one block for all
  zeros.blocks.base = on_device<std::byte>(2 * kTensor * 2);
  zeros.blocks.block_stride_bytes = zeros.blocks.layer_stride_bytes = 0;

  // A codec for K and one for V, and the arrays of the batch for each.
  cuda::block_geometry geometry;
  geometry.layers = kLayers;
  geometry.tokens = kTokens;
  geometry.tensors[0] = {tensor_kind::k, kHeads, kDim, 0};
  geometry.tensors[1] = {tensor_kind::v, kHeads, kDim, 0};
  geometry.tensor_count = 2;
  const auto coder =
      value_of(cuda::tensor_codec::make(  // a calibrated profile would need fewer bits
          value_of(default_profile(format_id::bf16, mean_source::given, format_id::bf16)),
          geometry));
  auto* const sizes_dev = on_device<std::uint32_t>(kStatuses);
  auto* const statuses_dev = on_device<status>(kStatuses);
  cuda::encoded_tensors places;
  for (std::uint32_t i : {0, 1}) {
    const cuda::codec& c = coder.of(i);
    cuda::encoded_places& to = places.tensors[i];
    to.slot_bytes = c.max_block_bytes();
    to.slots.base = on_device<std::byte>(c.max_compressed_bytes(kBlocks));
    to.slots.block_stride_bytes = to.slot_bytes;
    to.slots.layer_stride_bytes = std::int64_t{to.slot_bytes} * kBlocks;
    to.records = on_device<tile_record>(kLayers * kBlocks * c.tiles_per_block());
    to.sizes = sizes_dev + i * kLayers * kBlocks;
    to.statuses = on_device<status>(kLayers * kBlocks);
  }
  cuda::workspace room;
  room.bytes = coder.workspace_bytes(kBlocks);
  room.data = on_device<std::byte>(room.bytes);
  cudaStream_t stream{};
  check(cudaStreamCreate(&stream));

  cuda::block_batch batch{kBlocks};
  layer_before encoding{cache, zeros}, decoding = encoding;  // one at each end
  value_of(coder.encode_async(encoding, batch, cache, places, room, stream));
  check(cudaMemsetAsync(cache_dev, 0, kNumbers * 2, stream));
  batch.layers = 1;  // as an engine wants them
  for (; batch.first_layer < kLayers; ++batch.first_layer)
    value_of(
        coder.decode_async(decoding, batch, as_stored(places), cache, statuses_dev, room, stream));

  std::vector<std::uint16_t> restored(kNumbers);
  std::vector<std::uint32_t> sizes(kStatuses);
  std::vector<status> statuses(kStatuses);
  check(cudaStreamSynchronize(stream));
  check(cudaMemcpy(restored.data(), cache_dev, kNumbers * 2, cudaMemcpyDeviceToHost));
  check(cudaMemcpy(sizes.data(), sizes_dev, kStatuses * 4, cudaMemcpyDeviceToHost));
  check(cudaMemcpy(statuses.data(), statuses_dev, kStatuses, cudaMemcpyDeviceToHost));
  for (const status s : statuses) check(s == status::ok, "a block does not come back");
  check(restored == numbers, "a bit differs");
  std::size_t bytes = 0;
  for (const std::uint32_t s : sizes) bytes += s;
  std::printf("restored: identical, %.2f bits per number\n",
              8.0 * static_cast<double>(bytes) / static_cast<double>(kNumbers));
  return 0;
}
