// A stand-in for the CUDA runtime: host code runs as it does on a device, its kernels as the PTX that nvcc made of
// them. Only what this project calls is here.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <vector>

#include "ptx/machine.hpp"
#include "stand_in/memory.hpp"
#include "stand_in/registered.hpp"
#include "stand_in/streams.hpp"

using namespace skv;
using namespace skv::stand_in;

namespace {

constexpr int kMultiprocessors = 2;
constexpr int kSharedBytes = 227 << 10;
constexpr std::size_t kDefaultSharedBytes = 48 << 10;  // without cudaFuncSetAttribute

/// How much dynamic shared memory a function may be launched with.
std::map<const void*, std::size_t>& dynamic_limits() {
  static std::map<const void*, std::size_t> all;
  return all;
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
      return "the kernels' PTX is not there, or not as nvcc 12.4 to 13.0 leave it";
    default: return "an error of the stand-in for the CUDA runtime";
  }
}

// No error stays behind.
cudaError_t cudaGetLastError() { return cudaSuccess; }

// --- the device ---------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return are_readable() ? cudaSuccess : cudaErrorNoKernelImageForDevice;
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
  const registered_kernel kernel = find_registered(function);
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

}  // extern "C"
