// A paged cache that holds more than twice the tokens in the same device memory: blocks are
// compressed where they lie and moved into a pool, and the few raw blocks that are left serve for
// all tokens.
#include <cuda_runtime_api.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <skv/calibrate/calibrate.hpp>
#include <skv/cuda/pool.hpp>
#include <vector>
using namespace skv;

constexpr std::uint32_t kLayers = 4, kHeads = 4, kDim = 128, kTokens = 16;  // of a block
constexpr std::uint32_t kWidth = kHeads * kDim;
constexpr std::uint32_t kRawBlocks = 64, kWorking = 4;  // of a layer: all raw; raw beside the pool
constexpr std::uint32_t kHeld = 2 * kRawBlocks;         // what is to be held
constexpr std::size_t kNumbers = 2 * kTokens * kWidth;  // of a block: K and V

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "cuda_block_pool: %s\n", what);
  std::exit(1);
}
void check(const result<done>& r) { check(bool(r), r ? "" : r.failure().message.c_str()); }

template <class T>
T* on_device(std::size_t count) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)) == cudaSuccess, "no device memory");
  return static_cast<T*>(memory);
}

/// bf16 numbers of `blocks` blocks, and a reference of them that is off by two percent or so, as
/// the cache of a quantised copy of the model is.
struct numbers {
  std::vector<std::uint16_t> exact, reference;

  numbers(std::uint32_t blocks, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto bf16 = [](float x) {
      return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
    };
    for (std::size_t i = 0; i < blocks * kNumbers; ++i) {
      const float x = normal(random);
      exact.push_back(bf16(x));
      reference.push_back(bf16(x + 0.02f * normal(random)));
    }
  }
  row_view<const std::byte> rows(const std::vector<std::uint16_t>& of, std::size_t block,
                                 std::size_t tensor) const {
    return {reinterpret_cast<const std::byte*>(of.data() + block * kNumbers +
                                               tensor * kTokens * kWidth),
            kWidth * 2};
  }
};

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: there is no CUDA device");
    return 77;
  }

  // A profile, fitted to other numbers than those that are held.
  calibrator fit(format_id::bf16, mean_source::given, format_id::bf16);
  const numbers sample(kLayers, 1);
  do
    for (std::uint32_t layer = 0; layer < kLayers; ++layer)
      for (const tensor_kind kind : {tensor_kind::k, tensor_kind::v})
        check(fit.add({layer, kind}, kTokens, kHeads, kDim,
                      sample.rows(sample.exact, layer, kind == tensor_kind::v),
                      sample.rows(sample.reference, layer, kind == tensor_kind::v)));
  while (fit.next_pass());
  const profile_ptr profile = *fit.finish();

  // Raw blocks [layers][working][K, V][tokens][heads][dim], and the reference laid out likewise.
  cuda::block_geometry geometry;
  geometry.layers = kLayers;
  geometry.tokens = kTokens;
  geometry.tensors[0] = {tensor_kind::k, kHeads, kDim, 0};
  geometry.tensors[1] = {tensor_kind::v, kHeads, kDim, 0};
  geometry.tensor_count = 2;
  auto coder = cuda::codec::make(profile, geometry);
  check(bool(coder), coder ? "" : coder.failure().message.c_str());
  const std::size_t block_bytes = 2 * kNumbers, working_numbers = kLayers * kWorking * kNumbers;
  auto* const cache_dev = on_device<std::uint16_t>(working_numbers);
  auto* const reference_dev = on_device<std::uint16_t>(working_numbers);
  const auto cache_at = [&](std::uint16_t* base) {
    cuda::paged_cache c;
    c.blocks.base = reinterpret_cast<std::byte*>(base);
    c.blocks.block_stride_bytes = static_cast<std::int64_t>(block_bytes);
    c.blocks.layer_stride_bytes = static_cast<std::int64_t>(kWorking * block_bytes);
    for (std::int64_t tensor = 0; tensor < 2; ++tensor)
      c.tensors[tensor] = {tensor * kTokens * kWidth * 2, kWidth * 2, kDim * 2};
    return c;
  };
  const cuda::paged_cache cache = cache_at(cache_dev), reference = cache_at(reference_dev);

  // The pool gets what is left of the memory that kRawBlocks raw blocks would take.
  const std::size_t memory = kLayers * kRawBlocks * block_bytes;
  cuda::pool_options options;
  options.entries = kLayers * kHeld;
  options.sectors = static_cast<std::uint32_t>((memory - working_numbers * 2) * 97 / 100 / 512);
  auto pool = cuda::pool::make(profile, geometry, options);
  check(bool(pool), pool ? "" : pool.failure().message.c_str());
  check(pool->memory_bytes() + working_numbers * 2 <= memory, "the pool is too large");

  // What every call needs: arrays [layers][items] of a batch, and room to work in.
  const std::size_t count = kLayers * kWorking;
  cuda::encoded_places places;
  places.slots = cache.blocks;  // in place
  places.slot_bytes = static_cast<std::uint32_t>(block_bytes);
  places.records = on_device<tile_record>(count * coder->tiles_per_block());
  places.sizes = on_device<std::uint32_t>(count);
  places.statuses = on_device<status>(count);
  auto* const statuses_dev = on_device<status>(count);
  cuda::workspace room;
  room.bytes = coder->workspace_bytes(kWorking);
  room.data = on_device<std::byte>(room.bytes);
  const cuda::block_batch batch{kWorking, nullptr, nullptr};
  cudaStream_t stream{};
  check(cudaStreamCreate(&stream) == cudaSuccess, "no stream");
  const auto expect_ok = [&](const char* what) {
    std::vector<status> statuses(count);
    check(cudaMemcpyAsync(statuses.data(), statuses_dev, count, cudaMemcpyDeviceToHost, stream) ==
                  cudaSuccess &&
              cudaStreamSynchronize(stream) == cudaSuccess,
          "the device fails");
    for (const status s : statuses) check(s == status::ok, what);
  };
  const auto upload = [&](const numbers& n) {
    check(cudaMemcpyAsync(cache_dev, n.exact.data(), working_numbers * 2, cudaMemcpyHostToDevice,
                          stream) == cudaSuccess &&
              cudaMemcpyAsync(reference_dev, n.reference.data(), working_numbers * 2,
                              cudaMemcpyHostToDevice, stream) == cudaSuccess,
          "a copy fails");
  };

  // kWorking blocks of every layer at a time: block b of layer l is entry l * kHeld + b.
  for (std::uint32_t first = 0; first < kHeld; first += kWorking) {
    const cuda::pool_entries entries{first, kHeld, nullptr};
    const numbers n(kLayers * kWorking, 2 + first);  // an engine computes these
    upload(n);
    check(coder->encode_async(batch, cache, reference, places, room, stream));
    check(pool->store_async(batch, entries, as_stored(places), statuses_dev, stream));
    expect_ok("a block found no room");  // now the raw blocks are free for the next tokens
  }
  const auto counts = pool->read_counts(stream);
  check(bool(counts) && counts->blocks == kLayers * kHeld, "blocks are missing");

  std::vector<std::uint16_t> restored(working_numbers);
  for (std::uint32_t first = 0; first < kHeld; first += kWorking) {
    const cuda::pool_entries entries{first, kHeld, nullptr};
    const numbers n(kLayers * kWorking, 2 + first);
    upload(n);  // for the reference
    check(cudaMemsetAsync(cache_dev, 0, working_numbers * 2, stream) == cudaSuccess, "no memset");
    check(pool->restore_async(*coder, batch, entries, places, reference, cache, true, statuses_dev,
                              room, stream));
    expect_ok("a block does not come back");
    check(cudaMemcpy(restored.data(), cache_dev, working_numbers * 2, cudaMemcpyDeviceToHost) ==
              cudaSuccess,
          "a copy fails");
    check(restored == n.exact, "a bit differs");
  }
  std::printf(
      "in %zu MiB: %u tokens raw, %u in the pool and %u beside it (%.0f%% of its sectors "
      "used); restored: identical\n",
      memory >> 20, kRawBlocks * kTokens, kHeld * kTokens, kWorking * kTokens,
      100.0 * static_cast<double>(counts->used_sectors) / options.sectors);
  return 0;
}
