#include "device_found.hpp"

#include <benchmark/benchmark.h>

namespace skv::bench {
namespace {

std::string release(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

lack_of_device find_lack_of_device() {
  int count = 0, driver = 0;
  const cudaError_t e = cudaGetDeviceCount(&count);
  if (e == cudaSuccess && count != 0) return {};
  if (e == cudaSuccess) return {"no CUDA device", kNoDevice};
  if (e == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess) {
    if (driver == 0) return {"no CUDA device: no driver is installed", kNoDevice};
    return {"the driver is too old: it knows CUDA " + release(driver) +
                ", and this was built with CUDA " + release(CUDART_VERSION) +
                ", which needs a driver of CUDA " + std::to_string(CUDART_VERSION / 1000) +
                ".0 or later",
            kOldDriver};
  }
  return {std::string("no CUDA device: ") + cudaGetErrorString(e), kNoDevice};
}

int attribute(cudaDeviceAttr a) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device));
  check(cudaDeviceGetAttribute(&value, a, device));
  return value;
}

void describe_device(const bench_device& device) {
  cudaDeviceProp properties{};
  int driver = 0, runtime = 0;
  check(cudaGetDeviceProperties(&properties, 0));
  check(cudaDriverGetVersion(&driver));
  check(cudaRuntimeGetVersion(&runtime));
  using benchmark::AddCustomContext;
  AddCustomContext("gpu", properties.name);
  AddCustomContext("multiprocessors", std::to_string(attribute(cudaDevAttrMultiProcessorCount)));
  AddCustomContext("clock_khz", std::to_string(attribute(cudaDevAttrClockRate)));
  AddCustomContext("memory_clock_khz", std::to_string(attribute(cudaDevAttrMemoryClockRate)));
  AddCustomContext("l2_bytes", std::to_string(device.cache_bytes));
  AddCustomContext("cuda_driver", std::to_string(driver));
  AddCustomContext("cuda_runtime", std::to_string(runtime));
  AddCustomContext("copy_bytes_per_second", std::to_string(device.copy_rate));
  AddCustomContext("copy_to_host_bytes_per_second", std::to_string(device.copy_to_host_rate));
}

}  // namespace skv::bench
