// What one line of the device's benchmark works on.
#pragma once

#include <optional>

#include "device_pages.hpp"

namespace skv::bench {

/// to_host: packed, in pinned memory of the host.
enum class place { slots, in_place, packed, to_host };

struct configuration {
  bool encodes = true;
  place where = place::packed;
  number_format target = bf16;
  mean_source source = mean_source::given;
  std::uint32_t tile_numbers = 0;  ///< 0: the codec's choice
  std::uint32_t layers = 0;        ///< from the middle of the model; 0: all
  std::uint32_t items = 1;         ///< of a launch, in each layer
  std::uint32_t most_windows = 4096;
};

/// A launch codes a window of items; there are as many windows as it takes to be larger than the device's
/// cache by far. Pages lie in random order.
class subject {
 public:
  /// Memory comes from the arena's start. Ends the program if the codec cannot be made.
  subject(const configuration& how, const page_set& pages, device_arena& arena,
          std::size_t cache_bytes);
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;
  ~subject();

  /// Is there memory for it?
  bool fits() const { return allocated_; }
  /// Fills memory, encodes and restores all windows, and leaves everything encoded. Returns what went
  /// wrong, or nothing.
  std::string verify();
  /// What has to be done before windows are coded (again), each at most once: in place only.
  void prepare();
  /// Enqueues the coding of a window.
  void code(std::uint32_t window) { how_.encodes ? encode(window) : decode(window); }

  cudaStream_t stream() const { return stream_; }
  std::uint32_t windows() const { return windows_; }
  std::size_t blocks() const { return std::size_t{how_.items} * geometry_.layers; }
  std::size_t raw_bytes() const { return blocks() * pages_.page_bytes; }  ///< of a window
  // After verify():
  /// Raw bytes to compressed ones; tile records count.
  double ratio() const;
  /// By a launch: numbers, means and compressed blocks, once each.
  double moved_bytes() const;
  /// Blocks that did not fit in place.
  std::size_t stayed_raw() const { return stayed_raw_; }

 private:
  bool given() const { return how_.source == mean_source::given; }
  bool in_place() const { return how_.where == place::in_place; }
  bool to_host() const { return how_.where == place::to_host; }
  std::size_t total() const { return std::size_t{how_.items} * windows_; }
  bool allocate(device_arena& arena);
  void fill();
  void restore_raw();
  std::string compare();
  void encode(std::uint32_t window);
  void decode(std::uint32_t window);
  const std::byte* first_layer_of(const std::vector<std::byte>& all, std::size_t page_bytes) const;
  cuda::paged_cache numbers_at(std::byte* base, std::uint32_t window) const;
  cuda::paged_cache means_at(std::uint32_t window) const;
  cuda::paged_cache cache_at(std::byte* base, std::uint32_t window, std::size_t page_bytes,
                             number_format f) const;
  cuda::encoded_places places(std::uint32_t window) const;
  template <class T>
  std::vector<T> fetch(const T* from) const;

  configuration how_;
  const page_set& pages_;
  cuda::block_geometry geometry_;
  cuda::codec coder_;
  cudaStream_t stream_{};
  bool allocated_ = false;
  std::uint32_t windows_ = 1, tiles_ = 1;
  std::size_t coded_bytes_ = 0, stayed_raw_ = 0;
  std::optional<pinned_memory> host_slots_;
  // Device memory (slots_ may be the host's): [layers][items of all windows] pages, [windows][layers][items] of
  // everything else.
  std::byte *original_ = nullptr, *cache_ = nullptr, *means_ = nullptr, *slots_ = nullptr;
  std::int32_t* indices_ = nullptr;
  tile_record* records_ = nullptr;
  std::uint32_t* sizes_ = nullptr;
  status *statuses_ = nullptr, *decoded_ = nullptr;
  std::uint64_t *offsets_ = nullptr, *totals_ = nullptr;
  cuda::workspace room_;
};

}  // namespace skv::bench
