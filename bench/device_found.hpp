// The device that benchmarks run on, if there is one.
#pragma once

#include "device_run.hpp"

namespace skv::bench {

inline constexpr int kNoDevice = 77, kOldDriver = 78;

/// Why nothing can be run, and what the program then ends with; 0 if it can.
struct lack_of_device {
  std::string why;
  int exit_status = 0;
};
lack_of_device find_lack_of_device();

/// Of the current device.
int attribute(cudaDeviceAttr a);

/// Adds what is known of the device, and of its memory as measured, to the benchmarks' report.
void describe_device(const bench_device& device);

}  // namespace skv::bench
