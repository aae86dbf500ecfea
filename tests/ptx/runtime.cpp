// A stand-in for the CUDA runtime: host code runs as it does on a device, its kernels as the PTX that nvcc made of
// them. Memory of the device is memory of the host between red zones; streams run their work at
// once, or, while they are captured, keep it for the graph: what a device refuses then (allocations,
// waits, the legacy stream) is refused here, and ends the capture. Only what this project calls is here.
#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "ptx/machine.hpp"
#include "ptx/registered.hpp"
#include "simt/buffer.hpp"

using namespace skv;

using work = std::function<cudaError_t()>;
struct CUgraph_st {
  std::vector<work> nodes;
};
struct CUgraphExec_st {
  std::vector<work> nodes;
};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> captured;
  bool is_invalid = false;  ///< the capture: something was done that no graph can have
};
struct CUevent_st {
  std::chrono::steady_clock::time_point at;
  bool is_captured = false;
};

namespace {

constexpr int kMultiprocessors = 2;
constexpr int kSharedBytes = 227 << 10;
constexpr std::size_t kDefaultSharedBytes = 48 << 10;  // without cudaFuncSetAttribute
constexpr std::size_t kMemoryBytes = std::size_t{128} << 20;

/// Streams that are captured, all in the global mode: what one forbids it forbids everywhere.
std::set<cudaStream_t>& capturing() {
  static std::set<cudaStream_t> all;
  return all;
}

cudaError_t invalidate(cudaStream_t stream, cudaError_t why) {
  stream->is_invalid = true;
  return why;
}
/// Success if nothing is captured; otherwise why a call is refused, which ends every capture.
cudaError_t outside_of_captures(cudaError_t why = cudaErrorStreamCaptureUnsupported) {
  for (const cudaStream_t s : capturing()) s->is_invalid = true;
  return capturing().empty() ? cudaSuccess : why;
}

cudaError_t submit(cudaStream_t stream, work w) {
  if (stream == nullptr) {  // the legacy stream, which waits for all others
    const cudaError_t e = outside_of_captures(cudaErrorStreamCaptureImplicit);
    return e == cudaSuccess ? w() : e;
  }
  if (stream->captured == nullptr) return w();
  if (stream->is_invalid) return cudaErrorStreamCaptureInvalidated;
  stream->captured->nodes.push_back(std::move(w));
  return cudaSuccess;
}

std::map<void*, simt::buffer<std::byte>>& allocations() {
  static std::map<void*, simt::buffer<std::byte>> all;
  return all;
}

/// Addresses for more than this device has: only what is touched becomes memory, without red zones.
std::map<void*, std::size_t>& reservations() {
  static std::map<void*, std::size_t> all;
  return all;
}
cudaError_t reserve(void** memory, std::size_t bytes) {
  void* const p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return cudaErrorMemoryAllocation;
  reservations().emplace(*memory = p, bytes);
  return cudaSuccess;
}

/// How much dynamic shared memory a function may be launched with.
std::map<const void*, std::size_t>& dynamic_limits() {
  static std::map<const void*, std::size_t> all;
  return all;
}

/// All memory of the device.
ptx::memory_map device_memory() {
  ptx::memory_map all;
  const auto add = [&](const void* memory, std::size_t bytes) {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    all.push_back({begin, begin + bytes});
  };
  for (const auto& [memory, made] : allocations()) add(memory, made.size());
  for (const auto& [memory, bytes] : reservations()) add(memory, bytes);
  std::sort(all.begin(), all.end(), [](auto a, auto b) { return a.begin < b.begin; });
  return all;
}

/// May `bytes` bytes be accessed there? Of memory of the host this is not known.
bool are_there(const void* memory, std::size_t bytes, bool must_be_of_device) {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  for (const ptx::memory_range& r : device_memory())
    if (at >= r.begin && at < r.end) return ptx::is_within(at - r.begin, bytes, r.end - r.begin);
  return bytes == 0 || !must_be_of_device;
}

}  // namespace

extern "C" {

const char* cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureImplicit:
      return "operation would make the legacy stream depend on a capturing blocking stream";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorNoKernelImageForDevice:
      return "the kernels' PTX is not there, or not compressed as nvcc 13.0 does";
    default: return "an error of the stand-in for the CUDA runtime";
  }
}

// No error stays behind.
cudaError_t cudaGetLastError() { return cudaSuccess; }

// --- the device ---------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return ptx::are_readable() ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return outside_of_captures(); }
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
  std::strcpy(properties->name, "no device: PTX");
  properties->multiProcessorCount = kMultiprocessors;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* unused, std::size_t* total) {
  *unused = *total = kMemoryBytes;
  return cudaSuccess;
}

// --- memory -------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** memory, std::size_t bytes) try {
  if (const cudaError_t e = outside_of_captures(); e != cudaSuccess) return e;
  if (bytes > kMemoryBytes) return reserve(memory, bytes);
  simt::buffer<std::byte> made("of the device", bytes);
  *memory = made.data();
  allocations().emplace(*memory, std::move(made));
  return cudaSuccess;
} catch (const std::bad_alloc&) {
  return cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  if (const cudaError_t e = outside_of_captures(); e != cudaSuccess) return e;
  if (const auto far = reservations().find(memory); far != reservations().end()) {
    munmap(far->first, far->second);
    reservations().erase(far);
    return cudaSuccess;
  }
  return allocations().erase(memory) == 0 ? cudaErrorInvalidValue : cudaSuccess;
}
// One kind of memory serves for both.
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return cudaMalloc(memory, bytes); }
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) { return cudaFree(memory); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool is_to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool is_from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!are_there(to, bytes, is_to_device) || !are_there(from, bytes, is_from_device))
    return cudaErrorInvalidValue;
  return submit(stream, [=] {
    if (bytes != 0) std::memcpy(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  if (!are_there(memory, bytes, true)) return cudaErrorInvalidValue;
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
                             std::size_t shared_bytes, cudaStream_t stream) try {
  static std::uint64_t seed = 0;
  const auto limit = dynamic_limits().find(function);
  if (shared_bytes > (limit == dynamic_limits().end() ? kDefaultSharedBytes : limit->second))
    return cudaErrorInvalidValue;
  const auto* const first = static_cast<const std::byte*>(arguments[0]);
  const ptx::registered_kernel kernel = ptx::find_registered(function);
  if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1 ||
      block.x > kernel.code.max_threads)
    return cudaErrorInvalidConfiguration;
  const std::vector<std::byte> given(first, first + kernel.code.parameter_bytes);
  const simt::launch_shape shape{grid.x, block.x, shared_bytes, ++seed};
  return submit(stream, [kernel, shape, given] {
    const simt::report r = ptx::launch(kernel.of, kernel.code, shape, given.data(), device_memory(),
                                       ptx::traffic_of(kernel.code.name));
    if (r) return cudaSuccess;
    std::fprintf(stderr, "a kernel failed: %s\n", r.message.c_str());
    return cudaErrorLaunchFailure;
  });
} catch (const std::exception& e) {
  std::fprintf(stderr, "a kernel is not understood: %s\n", e.what());
  return cudaErrorInvalidPtx;
}

// --- streams, graphs, events --------------------------------------------------------------------

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  capturing().erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream == nullptr) return outside_of_captures(cudaErrorStreamCaptureImplicit);
  return stream->captured == nullptr ? cudaSuccess
                                     : invalidate(stream, cudaErrorStreamCaptureUnsupported);
}
// What was recorded is done already. Streams that join a capture are not modelled: they are refused.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const bool is_captured = stream != nullptr && stream->captured != nullptr;
  if (is_captured == event->is_captured) return cudaSuccess;
  return is_captured ? invalidate(stream, cudaErrorStreamCaptureIsolation)
                     : outside_of_captures(cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (stream == nullptr || stream->captured != nullptr) return cudaErrorStreamCaptureUnsupported;
  if (mode != cudaStreamCaptureModeGlobal) return cudaErrorInvalidValue;
  stream->captured = std::make_unique<CUgraph_st>();
  stream->is_invalid = false;
  capturing().insert(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream == nullptr || stream->captured == nullptr) return cudaErrorIllegalState;
  capturing().erase(stream);
  const std::unique_ptr<CUgraph_st> captured = std::exchange(stream->captured, nullptr);
  if (stream->is_invalid) return cudaErrorStreamCaptureInvalidated;
  *graph = new CUgraph_st{*captured};
  return cudaSuccess;
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
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->is_captured = stream != nullptr && stream->captured != nullptr;
  return submit(stream, [event] {
    event->at = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event->is_captured ? outside_of_captures() : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return cudaSuccess;
}

}  // extern "C"
