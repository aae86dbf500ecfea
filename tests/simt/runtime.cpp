// A stand-in for the CUDA runtime: host code runs as it does on a device, its kernels under the SIMT
// executor. Memory of the device is memory of the host between red zones; streams run their work at
// once, or, while they are captured, keep it for the graph. Only what this project calls is here.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <kernels/compact.cuh>
#include <kernels/decode.cuh>
#include <kernels/dispatch.hpp>
#include <kernels/encode.cuh>
#include <kernels/linear.cuh>
#include <kernels/pool.cuh>
#include <map>
#include <new>

#include "simt/entry.hpp"

using namespace skv;
using simt::entry_of;

using work = std::function<cudaError_t()>;
struct CUgraph_st {
  std::vector<work> nodes;
};
struct CUgraphExec_st {
  std::vector<work> nodes;
};
struct CUstream_st {
  CUgraph_st* captured = nullptr;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point at;
};

namespace {

constexpr int kMultiprocessors = 2;
constexpr int kSharedBytes = 227 << 10;
constexpr std::size_t kDefaultSharedBytes = 48 << 10;  // without cudaFuncSetAttribute
constexpr std::size_t kMemoryBytes = std::size_t{128} << 20;

cudaError_t submit(cudaStream_t stream, work w) {
  if (stream == nullptr || stream->captured == nullptr) return w();
  stream->captured->nodes.push_back(std::move(w));
  return cudaSuccess;
}

std::map<void*, simt::buffer<std::byte>>& allocations() {
  static std::map<void*, simt::buffer<std::byte>> all;
  return all;
}

/// How much dynamic shared memory a function may be launched with.
std::map<const void*, std::size_t>& dynamic_limits() {
  static std::map<const void*, std::size_t> all;
  return all;
}

}  // namespace

namespace skv::cuda {

template <format_id Target>
kernel_entry find_encode_kernel(mean_source source, format_id mean, bool one_row) {
  kernel_entry entry;
  with_kernel(
      Target, source, mean, one_row,
      [&]<number_format T, mean_source S, number_format M, bool kOneRow>() {
        if constexpr (T.id == Target)
          entry =
              entry_of<encode_kernel<T, S, M, kOneRow>, encode_parameters, kernel_kind::encode>();
      });
  return entry;
}
template <format_id Target>
kernel_entry find_decode_kernel(mean_source source, format_id mean, bool one_row) {
  kernel_entry entry;
  with_kernel(
      Target, source, mean, one_row,
      [&]<number_format T, mean_source S, number_format M, bool kOneRow>() {
        if constexpr (T.id == Target)
          entry =
              entry_of<decode_kernel<T, S, M, kOneRow>, decode_parameters, kernel_kind::decode>();
      });
  return entry;
}
template kernel_entry find_encode_kernel<format_id::bf16>(mean_source, format_id, bool);
template kernel_entry find_decode_kernel<format_id::bf16>(mean_source, format_id, bool);
template kernel_entry find_encode_kernel<format_id::fp16>(mean_source, format_id, bool);
template kernel_entry find_decode_kernel<format_id::fp16>(mean_source, format_id, bool);
template kernel_entry find_encode_kernel<format_id::e4m3>(mean_source, format_id, bool);
template kernel_entry find_decode_kernel<format_id::e4m3>(mean_source, format_id, bool);
template kernel_entry find_encode_kernel<format_id::e5m2>(mean_source, format_id, bool);
template kernel_entry find_decode_kernel<format_id::e5m2>(mean_source, format_id, bool);

kernel_entry find_hide_kernel() {
  return entry_of<hide_kernel, hide_parameters, kernel_kind::product>();
}
kernel_entry find_take_kernel() {
  return entry_of<take_kernel, take_parameters, kernel_kind::update>();
}
kernel_entry find_predict_kernel(format_id mean) {
  kernel_entry entry;
  with_formats(mean, mean, [&]<number_format, number_format M>() {
    entry = entry_of<predict_kernel<M>, predict_parameters, kernel_kind::product>();
  });
  return entry;
}
kernel_entry find_update_kernel(format_id target, format_id mean) {
  kernel_entry entry;
  with_formats(target, mean, [&]<number_format T, number_format M>() {
    entry = entry_of<update_kernel<T, M>, update_parameters, kernel_kind::update>();
  });
  return entry;
}

kernel_entry find_compact_kernel() {
  return entry_of<compact_kernel, compact_parameters, kernel_kind::move>();
}
kernel_entry find_store_kernel() {
  return entry_of<store_kernel, store_parameters, kernel_kind::move>();
}
kernel_entry find_load_kernel() {
  return entry_of<load_kernel, load_parameters, kernel_kind::move>();
}
kernel_entry find_drop_kernel() {
  return entry_of<drop_kernel, drop_parameters, kernel_kind::move>();
}
kernel_entry find_clear_kernel() {
  return entry_of<clear_kernel, clear_parameters, kernel_kind::move>();
}

}  // namespace skv::cuda

extern "C" {

const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaSuccess ? "no error" : "an error of the stand-in for the CUDA runtime";
}

// --- the device ---------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedBytes; return cudaSuccess;
    case cudaDevAttrL2CacheSize: *value = 1 << 16; return cudaSuccess;
    default: *value = 0; return cudaSuccess;
  }
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "no device: fibers");
  properties->multiProcessorCount = kMultiprocessors;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* unused, std::size_t* total) {
  *unused = *total = kMemoryBytes;
  return cudaSuccess;
}

// --- memory -------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** memory, std::size_t bytes) try {
  simt::buffer<std::byte> made("of the device", bytes);
  *memory = made.data();
  allocations().emplace(*memory, std::move(made));
  return cudaSuccess;
} catch (const std::bad_alloc&) {
  return cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  if (memory != nullptr && allocations().erase(memory) == 0) return cudaErrorInvalidValue;
  return cudaSuccess;
}
// One kind of memory serves for both.
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return cudaMalloc(memory, bytes); }
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return submit(stream, [=] {
    if (bytes != 0) std::memcpy(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] {
    std::memset(memory, value, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemset(void* memory, int value, std::size_t bytes) {
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}

// --- kernels ------------------------------------------------------------------------------------

// Of a function, not of a launch, as on a device: the last one to set it sets it for all.
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > kSharedBytes)
    return cudaErrorInvalidValue;
  dynamic_limits()[function] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  return cudaSuccess;
}
// As of sm_90, if every thread has 64 registers.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t shared_bytes) {
  const auto of_block = static_cast<int>(shared_bytes) + 1024;
  *blocks = std::min(1024 / threads, (kSharedBytes + 1024) / of_block);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  static std::uint64_t seed = 0;
  const auto limit = dynamic_limits().find(function);
  if (shared_bytes > (limit == dynamic_limits().end() ? kDefaultSharedBytes : limit->second))
    return cudaErrorInvalidValue;
  const auto& kernel = *static_cast<const simt::stand_in*>(function);
  const auto* const first = static_cast<const std::byte*>(arguments[0]);
  const simt::launch_shape shape{grid.x, block.x, shared_bytes, ++seed};
  return submit(stream,
                [&kernel, shape, parameters = std::vector(first, first + kernel.parameter_bytes)] {
                  const simt::report r = kernel.run(shape, parameters.data());
                  if (r) return cudaSuccess;
                  std::fprintf(stderr, "a kernel failed: %s\n", r.message.c_str());
                  return cudaErrorLaunchFailure;
                });
}

// --- streams, graphs, events --------------------------------------------------------------------

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
// What was recorded is done already.
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->captured != nullptr) return cudaErrorStreamCaptureUnsupported;
  stream->captured = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->captured, nullptr);
  return *graph == nullptr ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const work& node : executable->nodes)
    if (const cudaError_t e = submit(stream, node); e != cudaSuccess) return e;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->at = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return cudaSuccess;
}

}  // extern "C"
