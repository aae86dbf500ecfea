// Device memory for tests, and whether there is a device.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/forget_written.hpp"

namespace skv::gpu {

inline void check(cudaError_t e) {
  if (e != cudaSuccess) throw std::runtime_error(cudaGetErrorString(e));
}

/// The reason why nothing can be run, or nothing.
inline std::string missing_device() {
  int count = 0;
  const cudaError_t e = cudaGetDeviceCount(&count);
  if (e != cudaSuccess) return std::string("no CUDA device: ") + cudaGetErrorString(e);
  return count == 0 ? "no CUDA device" : "";
}

/// A fixture whose tests are skipped where there is no device.
template <class Fixture = testing::Test>
class on_device : public Fixture {
 protected:
  void SetUp() override {
    if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  }
};

/// An array in device memory with fences on both sides, which the destructor's owner checks. What nobody has
/// assigned or filled counts as never written.
template <class T>
class device_array {
 public:
  static constexpr std::size_t kFence = 4096;
  static constexpr unsigned char kCanary = 0xA5;

  explicit device_array(std::size_t count) : count_(count) {
    check(cudaMalloc(&memory_, bytes() + 2 * kFence));
    check(cudaMemset(memory_, kCanary, bytes() + 2 * kFence));
    test::forget_written(memory_, bytes() + 2 * kFence);
  }
  explicit device_array(std::span<const T> values) : device_array(values.size()) { assign(values); }
  device_array(const device_array&) = delete;
  device_array& operator=(const device_array&) = delete;
  ~device_array() { cudaFree(memory_); }

  T* data() const { return reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + kFence); }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return (count_ * sizeof(T) + 255) / 256 * 256; }

  std::vector<T> to_host() const {
    std::vector<T> v(count_);
    check(cudaMemcpy(v.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }
  void assign(std::span<const T> values) const {
    if (!values.empty())
      check(cudaMemcpy(data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
  }
  void fill(unsigned char byte) const { check(cudaMemset(data(), byte, count_ * sizeof(T))); }
  /// Makes garbage of all, which counts as never written.
  void forget() const {
    fill(0x5a);
    test::forget_written(data(), count_ * sizeof(T));
  }

  /// Has nothing been written around the array?
  bool is_intact() const {
    std::vector<unsigned char> all(bytes() + 2 * kFence);
    check(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost));
    bool intact = true;
    for (std::size_t i = 0; i < kFence; ++i) intact &= all[i] == kCanary;
    for (std::size_t i = kFence + count_ * sizeof(T); i < all.size(); ++i)
      intact &= all[i] == kCanary;
    return intact;
  }

 private:
  void* memory_ = nullptr;
  std::size_t count_;
};

/// An array in memory of the host that the device sees too, at the same address.
template <class T>
class pinned_array {
 public:
  explicit pinned_array(std::size_t count) : count_(count) {
    check(cudaMallocHost(&memory_, count * sizeof(T)));
    std::memset(memory_, 0x5a, count * sizeof(T));
  }
  pinned_array(const pinned_array&) = delete;
  pinned_array& operator=(const pinned_array&) = delete;
  ~pinned_array() { cudaFreeHost(memory_); }

  T* data() const { return static_cast<T*>(memory_); }
  std::span<T> span() const { return {data(), count_}; }

 private:
  void* memory_ = nullptr;
  std::size_t count_;
};

/// What `enqueue(stream)` puts on a stream, as a graph.
class captured_graph {
 public:
  template <class F>
  explicit captured_graph(F&& enqueue) {
    check(cudaStreamCreate(&stream_));
    cudaGraph_t graph{};
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
    enqueue(stream_);
    check(cudaStreamEndCapture(stream_, &graph));
    check(cudaGraphInstantiate(&executable_, graph, 0));
    check(cudaGraphDestroy(graph));
  }
  captured_graph(const captured_graph&) = delete;
  captured_graph& operator=(const captured_graph&) = delete;
  ~captured_graph() {
    cudaGraphExecDestroy(executable_);
    cudaStreamDestroy(stream_);
  }

  /// After all that was done before it; and waits.
  void replay() const {
    check(cudaDeviceSynchronize());
    check(cudaGraphLaunch(executable_, stream_));
    check(cudaStreamSynchronize(stream_));
  }

 private:
  cudaStream_t stream_{};
  cudaGraphExec_t executable_{};
};

}  // namespace skv::gpu
