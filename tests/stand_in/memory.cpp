// Memory of the device is memory of the host; which of its bytes were written is known.
#include "stand_in/memory.hpp"

#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "simt/buffer.hpp"
#include "stand_in/streams.hpp"
#include "support/forget_written.hpp"

namespace skv::stand_in {
namespace {

/// Where an allocation is kept.
struct storage {
  /// None for more than this device has: of such addresses only what is touched becomes memory.
  std::unique_ptr<simt::fenced_bytes> bytes;
  std::vector<std::uint8_t> written;  ///< none: all counts as written
};
/// By where they begin, as in memory().
std::map<std::uintptr_t, storage>& storages() {
  static std::map<std::uintptr_t, storage> all;
  return all;
}
ptx::memory_map& memory() {
  static ptx::memory_map all;
  return all;
}

/// Pinned memory of the host counts as written: nobody sees the host write.
cudaError_t allocate(void** to, std::size_t bytes, bool is_of_host) try {
  if (const cudaError_t e = outside_of_captures(); e != cudaSuccess) return e;
  storage made;
  void* at = nullptr;
  if (bytes > kMemoryBytes) {
    at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
              -1, 0);
    if (at == MAP_FAILED) return cudaErrorMemoryAllocation;
  } else {
    made.bytes = std::make_unique<simt::fenced_bytes>("memory of the device", bytes, 256, bytes);
    at = made.bytes->data();
    if (!is_of_host) made.written.resize(bytes);
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(at);
  std::uint8_t* const written = made.written.empty() ? nullptr : made.written.data();
  storages().emplace(begin, std::move(made));
  memory().emplace(begin, ptx::memory_range{begin, begin + bytes, written});
  *to = at;
  return cudaSuccess;
} catch (const std::bad_alloc&) {
  return cudaErrorMemoryAllocation;
}

const ptx::memory_range* range_of(const void* at) {
  return find(memory(), reinterpret_cast<std::uintptr_t>(at));
}
/// May `bytes` bytes be accessed there? Of memory of the host this is not known.
bool are_there(const void* at, std::size_t bytes, bool must_be_of_device) {
  const ptx::memory_range* const r = range_of(at);
  if (r == nullptr) return bytes == 0 || !must_be_of_device;
  return r->holds(reinterpret_cast<std::uintptr_t>(at), bytes);
}
/// memory_range::written of an address, or null.
std::uint8_t* written_at(const void* at) {
  const ptx::memory_range* const r = range_of(at);
  if (r == nullptr || r->written == nullptr) return nullptr;
  return r->written + (reinterpret_cast<std::uintptr_t>(at) - r->begin);
}

/// A copy carries with it what was not written.
cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool is_to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool is_from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (!are_there(to, bytes, is_to_device) || !are_there(from, bytes, is_from_device))
    return cudaErrorInvalidValue;
  if (bytes == 0) return cudaSuccess;
  std::memmove(to, from, bytes);
  std::uint8_t* const now = written_at(to);
  const std::uint8_t* const was = written_at(from);
  if (now != nullptr && was != nullptr)
    std::memmove(now, was, bytes);
  else if (now != nullptr)
    std::memset(now, 1, bytes);
  return cudaSuccess;
}
cudaError_t set(void* to, int value, std::size_t bytes) {
  if (!are_there(to, bytes, true)) return cudaErrorInvalidValue;
  if (bytes == 0) return cudaSuccess;
  std::memset(to, value, bytes);
  if (std::uint8_t* const written = written_at(to)) std::memset(written, 1, bytes);
  return cudaSuccess;
}

}  // namespace

const ptx::memory_map& device_memory() { return memory(); }

}  // namespace skv::stand_in

using namespace skv;
using namespace skv::stand_in;

extern "C" {

cudaError_t cudaMalloc(void** at, std::size_t bytes) { return allocate(at, bytes, false); }
cudaError_t cudaFree(void* at) {
  if (at == nullptr) return cudaSuccess;
  if (const cudaError_t e = outside_of_captures(); e != cudaSuccess) return e;
  const auto found = memory().find(reinterpret_cast<std::uintptr_t>(at));
  if (found == memory().end()) return cudaErrorInvalidValue;
  const auto [begin, range] = *found;
  if (storages()[begin].bytes == nullptr) munmap(at, range.end - range.begin);
  memory().erase(begin);
  storages().erase(begin);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** at, std::size_t bytes) { return allocate(at, bytes, true); }
cudaError_t cudaHostAlloc(void** at, std::size_t bytes, unsigned) {
  return allocate(at, bytes, true);
}
cudaError_t cudaFreeHost(void* at) { return cudaFree(at); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return submit(stream, [=] { return copy(to, from, bytes, kind); });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] { return set(to, value, bytes); });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}

void skv_forget_written(void* at, std::size_t bytes) {
  if (!are_there(at, bytes, true)) std::abort();
  if (std::uint8_t* const written = written_at(at)) std::memset(written, 0, bytes);
}

}  // extern "C"
