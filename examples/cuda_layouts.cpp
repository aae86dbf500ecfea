// Compresses and restores two blocks of a cache in each of the layouts of cuda_layouts.hpp, which are filled as their
// engines would, packed and in place, and compares every bit; all caches of K and V must give the same bytes.
#include "cuda_layouts.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <skv/cuda/codec.hpp>
#include <skv/profile/profile.hpp>
#include <string>
#include <utility>
#include <vector>
using namespace skv;
using namespace layouts;

void check(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "cuda_layouts: %s\n", what.c_str());
  std::exit(1);
}
void check(cudaError_t e) { check(e == cudaSuccess, cudaGetErrorString(e)); }
template <class T>
T value_of(result<T> r) {
  check(bool(r), r ? "" : r.failure().message);
  return *std::move(r);
}

template <class T>
T* on_device(std::size_t count) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)));
  check(cudaMemset(memory, 0, count * sizeof(T)));
  return static_cast<T*>(memory);
}
template <class T>
const T* to_device(const std::vector<T>& values) {
  T* const to = on_device<T>(values.size());
  check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  return to;
}
template <class T>
std::vector<T> to_host(const T* from, std::size_t count) {
  std::vector<T> values(count);
  check(cudaMemcpy(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost));
  return values;
}

/// An engine's allocations, all of one size.
struct allocations {
  std::size_t bytes;
  std::vector<std::byte*> dev;

  allocations(std::size_t count, std::int64_t each) : bytes(static_cast<std::size_t>(each)) {
    while (dev.size() < count) dev.push_back(on_device<std::byte>(bytes));
  }
  /// A device array of where those from `first` on begin, and so many bytes further.
  std::byte* const* table(std::size_t first = 0, std::int64_t offset = 0) const {
    std::vector bases(dev.begin() + static_cast<std::ptrdiff_t>(first), dev.end());
    for (std::byte*& b : bases) b += offset;
    return to_device(bases);
  }
};

/// Which numbers: a row is a head of a token.
struct row {
  std::int64_t layer, block, tensor, head, token;
};
/// Where an engine has them, by its own reckoning: an allocation, and a byte in it.
struct place {
  std::int64_t allocation, byte;
};
using places_of_rows = std::function<place(const row&)>;

/// An array of rows with these dimensions, outermost first: Layer, Block, 2 (K and V), Head, tokeN. What is
/// none of them tells allocations apart: those of layers, or of K and of V for each.
places_of_rows array_of(const char* dimensions, std::int64_t row_bytes = kRow) {
  return [=](const row& r) {
    std::int64_t number = 0, layer = r.layer, tensor = r.tensor;
    for (const char* d = dimensions; *d != 0; ++d) {
      if (*d == 'L') number = number * kLayers + std::exchange(layer, 0);
      if (*d == 'B') number = number * kBlocks + r.block;
      if (*d == '2') number = number * 2 + std::exchange(tensor, 0);
      if (*d == 'H') number = number * kHeads + r.head;
      if (*d == 'N') number = number * kTokens + r.token;
    }
    return place{tensor * kLayers + layer, number * row_bytes};
  };
}

const std::vector<std::int32_t> kCoded = {2, 0};  // these blocks are the items of the batch

/// Compresses and restores two blocks of a cache. Returns their compressed bytes.
std::vector<std::byte> run(const std::string& name, format_id format,
                           const std::vector<cuda::block_tensor>& tensors, const paged_cache& cache,
                           const allocations& memory, const places_of_rows& place_of,
                           std::int64_t in_place_bytes) {
  cuda::block_geometry geometry;
  geometry.layers = kLayers;
  geometry.tokens = kTokens;
  for (const cuda::block_tensor& t : tensors) geometry.tensors[geometry.tensor_count++] = t;
  const cuda::codec coder = value_of(  // a calibrated profile would need fewer bits
      cuda::codec::make(value_of(default_profile(format, mean_source::none, format)), geometry));

  // What the engine has in memory: everything, and the coded blocks alone.
  std::vector<std::vector<std::byte>> full(memory.dev.size(), std::vector<std::byte>(memory.bytes));
  auto coded = full;
  const std::size_t number_bytes = format == format_id::bf16 ? 2 : 1;
  std::uint32_t count = 0;
  for (std::int64_t layer = 0; layer < kLayers; ++layer)
    for (std::int64_t block = 0; block < kBlocks; ++block)
      for (std::size_t i = 0; i < tensors.size(); ++i)
        for (std::int64_t head = 0; head < std::max<std::int64_t>(tensors[i].heads, 1); ++head)
          for (std::int64_t token = 0; token < kTokens; ++token) {
            const bool is_coded = std::find(kCoded.begin(), kCoded.end(), block) != kCoded.end();
            const std::size_t bytes = tensors[i].opaque_bytes != 0
                                          ? tensors[i].opaque_bytes / kTokens
                                          : tensors[i].head_dim * number_bytes;
            const place p = place_of({layer, block, static_cast<std::int64_t>(i), head, token});
            std::minstd_rand random(++count);
            for (std::size_t b = 0; b < bytes; ++b) {
              const bool is_high = number_bytes == 1 || b % 2 == 1;
              const auto value = static_cast<std::byte>(is_high ? 0x3c + random() % 4 : random());
              const std::size_t to = static_cast<std::size_t>(p.byte) + b;
              full.at(p.allocation).at(to) = value;
              if (is_coded) coded.at(p.allocation).at(to) = value;
            }
          }
  const auto fill = [&](const std::vector<std::vector<std::byte>>& with) {
    for (std::size_t a = 0; a < with.size(); ++a)
      check(cudaMemcpy(memory.dev[a], with[a].data(), memory.bytes, cudaMemcpyHostToDevice));
  };
  const auto expect = [&](const std::vector<std::vector<std::byte>>& what) {
    check(cudaDeviceSynchronize());
    for (std::size_t a = 0; a < what.size(); ++a)
      check(to_host(memory.dev[a], memory.bytes) == what[a], name + ": a bit differs");
  };

  const cuda::block_batch batch{static_cast<std::uint32_t>(kCoded.size())};
  const std::size_t blocks = kLayers * kCoded.size();
  auto* const statuses = on_device<status>(blocks);
  const auto expect_ok = [&](const status* statuses_dev) {
    check(cudaDeviceSynchronize());
    for (const status s : to_host(statuses_dev, blocks))
      check(s == status::ok, name + ": " + std::string(to_string(s)));
  };
  cuda::encoded_places out;
  out.records = on_device<tile_record>(blocks * coder.tiles_per_block());
  out.sizes = on_device<std::uint32_t>(blocks);
  out.statuses = on_device<status>(blocks);
  out.offsets = on_device<std::uint64_t>(blocks);
  out.total_bytes = on_device<std::uint64_t>(1);
  out.packed_bytes = coder.max_compressed_bytes(batch.items);
  out.packed = on_device<std::byte>(out.packed_bytes);
  cuda::workspace room;
  room.bytes = coder.workspace_bytes(batch.items);
  room.data = on_device<std::byte>(room.bytes);

  // Packed, and restored into memory of zeros: what is not of these blocks must stay zero.
  fill(full);
  value_of(coder.encode_async(batch, cache, {}, out, room, nullptr));
  for (std::byte* const m : memory.dev) check(cudaMemset(m, 0, memory.bytes));
  value_of(
      coder.decode_async(batch, as_stored(out), {}, cache, false, {}, statuses, room, nullptr));
  expect_ok(statuses);
  expect(coded);
  const std::uint64_t total = to_host(out.total_bytes, 1)[0];
  std::vector<std::byte> bytes = to_host(out.packed, total);

  if (in_place_bytes != 0) {
    out.packed = nullptr;
    out.slots = cache.blocks_of(0);
    out.slot_bytes = static_cast<std::uint32_t>(in_place_bytes);
    fill(full);
    value_of(coder.encode_async(batch, cache, {}, out, room, nullptr));
    expect_ok(out.statuses);
    value_of(
        coder.decode_async(batch, as_stored(out), {}, cache, true, {}, statuses, room, nullptr));
    expect_ok(statuses);
    expect(full);
  }
  std::printf("%-24s %llu bytes packed%s: identical\n", name.c_str(),
              static_cast<unsigned long long>(total), in_place_bytes != 0 ? ", and in place" : "");
  return bytes;
}

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: there is no CUDA device");
    return 77;
  }
  const std::int32_t* const blocks_dev = to_device(kCoded);
  constexpr std::int64_t kLayer = kBlocks * 2 * kPage;  // bytes of K and V of a layer
  std::vector<std::byte> expected;
  const auto k_and_v = [&](const std::string& name, const paged_cache& cache,
                           const allocations& memory, const places_of_rows& place_of,
                           std::int64_t in_place_bytes) {
    const auto bytes = run(name, format_id::bf16,
                           {{tensor_kind::k, kHeads, kDim, 0}, {tensor_kind::v, kHeads, kDim, 0}},
                           cache, memory, place_of, in_place_bytes);
    if (expected.empty()) expected = bytes;
    check(bytes == expected, name + ": other bytes than of the first layout");
  };

  const allocations layers(kLayers, kLayer), all(1, kLayers * kLayer);
  std::byte* const* const layers_dev = layers.table();
  std::byte* const base = all.dev[0];
  for (const bool is_nhd : {true, false}) {
    const auto name = [&](const char* of) {
      return std::string(of) + (is_nhd ? ", NHD" : ", HND");
    };
    k_and_v(name("vLLM, planes"), vllm_planes(layers_dev, blocks_dev, is_nhd), layers,
            array_of(is_nhd ? "2BNH" : "2BHN"), 0);
    k_and_v(name("vLLM, packed"), vllm_packed(layers_dev, blocks_dev, is_nhd), layers,
            array_of(is_nhd ? "BNH2" : "BHN2"), 2 * kPage);
    k_and_v(name("FlashInfer"), flashinfer(layers_dev, blocks_dev, is_nhd), layers,
            array_of(is_nhd ? "B2NH" : "B2HN"), 2 * kPage);
  }
  for (const bool is_packed : {true, false}) {
    const std::string name = is_packed ? "vLLM, all, packed" : "vLLM, all, planes";
    k_and_v(name + ", NHD", vllm_all_layers(base, blocks_dev, is_packed), all,
            array_of(is_packed ? "BLNH2" : "BL2NH"), 2 * kPage);
    k_and_v(name + ", HND", vllm_all_layers_hnd(base, blocks_dev, is_packed), all,
            array_of(is_packed ? "BHLN2" : "BHL2N"), 0);
  }

  // K and V apart, then planes described so: in place these need a codec for each.
  const allocations pair(2 * kLayers, kBlocks * kPage);  // K of all layers, then V
  for (const bool is_pair : {true, false}) {
    const auto& memory = is_pair ? pair : layers;
    const std::string name = is_pair ? "K and V apart" : "planes apart";
    const paged_cache c =
        k_and_v_apart(memory.table(),
                      is_pair ? pair.table(kLayers) : layers.table(0, kBlocks * kPage), blocks_dev);
    const places_of_rows rows = array_of(is_pair ? "BNH" : "2BNH");
    k_and_v(name, c, memory, rows, 0);
    for (const std::int64_t i : {0, 1}) {
      paged_cache one;
      one.tensors[0] = c.tensors[i];
      const auto of_one = [&](row r) {
        r.tensor = i;
        return rows(r);
      };
      run(name + (i == 0 ? ", K" : ", V"), format_id::bf16,
          {{i == 0 ? tensor_kind::k : tensor_kind::v, kHeads, kDim, 0}}, one, memory, of_one,
          kPage);
    }
  }

  std::vector<std::int32_t> k_offsets, v_offsets;
  std::vector<std::byte*> pointers;
  for (const std::int32_t block : kCoded) {
    k_offsets.push_back(static_cast<std::int32_t>(block * kLayers * 2));
    v_offsets.push_back(k_offsets.back() + 1);
    pointers.push_back(base + block * kLayers * 2 * kPage);
  }
  k_and_v("TensorRT-LLM", tensorrt_llm(base, to_device(k_offsets), to_device(v_offsets)), all,
          array_of("BL2HN"), 2 * kPage);
  k_and_v("TensorRT-LLM, pointers", tensorrt_llm_pointers(to_device(pointers)), all,
          array_of("BL2HN"), 2 * kPage);

  const allocations latents(kLayers, kBlocks * kTokens * kLatent * 2);
  run("MLA", format_id::bf16, {{tensor_kind::latent, 1, kLatent, 0}},
      latent(latents.table(), blocks_dev), latents, array_of("BN", kLatent * 2),
      kTokens * kLatent * 2);

  const allocations fp8(kLayers + 1, kBlocks * 2 * kFp8Page);  // the last one is for scales
  const auto of_fp8 = [rows = array_of("B2NH", kFp8Row), scales = array_of("LBN", kScales)](row r) {
    if (r.tensor < 2) return rows(r);
    r.tensor = 0;
    return place{kLayers, scales(r).byte};
  };
  run("fp8 and scales", format_id::e4m3,
      {{tensor_kind::k, kHeads, kDim, 0},
       {tensor_kind::v, kHeads, kDim, 0},
       {tensor_kind::k, 0, 0, kTokens * kScales}},
      fp8_and_scales(fp8.table(), fp8.dev[kLayers], blocks_dev), fp8, of_fp8, 0);

  const allocations records(kLayers, kBlocks * kTokens * kRecord);
  const auto of_record = [](const row& r) {
    return place{r.layer, (r.block * kTokens + r.token) * kRecord + 512 * r.tensor};
  };
  run("fp8 records", format_id::e4m3,
      {{tensor_kind::latent, 1, 512, 0}, {tensor_kind::k, 1, kRecord - 512, 0}},
      fp8_records(records.table(), blocks_dev), records, of_record, kTokens * kRecord);
  return 0;
}
