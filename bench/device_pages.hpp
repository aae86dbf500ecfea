// Pages of a paged cache made of real numbers, and memory of a device to tile them over.
#pragma once

#include <cuda_runtime_api.h>
#include <skv/cuda/codec.hpp>
#include <utility>

#include "workload.hpp"

namespace skv::bench {

/// Ends the program with the error's name, if it is one.
void check(cudaError_t e);

/// A page is 16 tokens of 1,024 channels in K and in V, as an 8-billion-parameter model has them. The
/// model of the data has fewer heads: those of other stretches of its text stand beside them.
inline constexpr std::uint32_t kPageTokens = 16, kPageChannels = 1024;

struct page_set {
  profile_ptr used_profile;  ///< its scales repeated for all heads of a page
  number_format target, mean;
  cuda::block_geometry geometry;  ///< of all layers
  std::uint32_t pages = 0;        ///< distinct ones in every layer
  std::size_t page_bytes = 0, mean_page_bytes = 0;
  std::vector<std::byte> numbers, means;  ///< [layers][pages][K, V][token][head][channel]

  const std::byte* page(std::uint32_t layer, std::size_t index) const {
    return numbers.data() + (std::size_t{layer} * pages + index % pages) * page_bytes;
  }
};

page_set make_pages(const data_folder& folder, number_format target, mean_source source);

/// All the memory that a benchmark needs; handed out from its start for each anew.
class device_arena {
 public:
  explicit device_arena(std::size_t bytes);
  device_arena(const device_arena&) = delete;
  device_arena& operator=(const device_arena&) = delete;
  ~device_arena();

  std::size_t bytes() const { return bytes_; }
  /// Takes all back, for a user, whose memory it is until the next one comes.
  void reset(const void* user) {
    used_ = 0;
    user_ = user;
  }
  const void* user() const { return user_; }
  /// Memory at a multiple of 256; null if there is not that much.
  void* take(std::size_t bytes);
  template <class T>
  T* array(std::size_t count) {
    return static_cast<T*>(take(count * sizeof(T)));
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0, used_ = 0;
  const void* user_ = nullptr;
};

/// Fills [layers][items] pages at `to` with the `pages` of every layer of `from`, over and over.
void tile_pages(std::byte* to, const std::byte* from, std::uint32_t layers, std::uint32_t pages,
                std::size_t items, std::size_t page_bytes);

/// Bytes per second of a copy within the device's memory, counted once: the median of several.
double copy_rate(device_arena& arena, std::size_t bytes);
/// The same from the device's memory to pinned memory of the host.
double copy_to_host_rate(device_arena& arena, std::size_t bytes);

/// Pinned memory of the host, which kernels can write to.
class pinned_memory {
 public:
  explicit pinned_memory(std::size_t bytes);
  pinned_memory(pinned_memory&& m) noexcept : memory_(std::exchange(m.memory_, nullptr)) {}
  pinned_memory& operator=(pinned_memory&&) = delete;
  ~pinned_memory();
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_ = nullptr;
};

}  // namespace skv::bench
