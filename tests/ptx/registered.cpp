// The functions that nvcc generates calls of, before main(); their declarations are those of
// crt/host_runtime.h.
#include "ptx/registered.hpp"

#include <vector_types.h>
#include <zstd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace skv::ptx {
namespace {

/// What nvcc leaves. Its beginning and its size are known; in the rest a module's text is searched for, a zstd
/// frame, as nvcc 13.0 leaves it.
struct fat_binary {
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;
};
struct fat_binary_wrapper {
  std::int32_t magic, version;
  const fat_binary* data;
  void* unused;
};

std::string ptx_of(const fat_binary& binary) {
  constexpr char kFrame[] = "\x28\xb5\x2f\xfd";
  const std::string_view all(reinterpret_cast<const char*>(&binary),
                             binary.header_bytes + binary.bytes);
  for (std::size_t at = all.find(kFrame); at != all.npos; at = all.find(kFrame, at + 1)) {
    const auto bytes = ZSTD_getFrameContentSize(all.data() + at, all.size() - at);
    const std::size_t frame = ZSTD_findFrameCompressedSize(all.data() + at, all.size() - at);
    if (ZSTD_isError(frame) || bytes >= ZSTD_CONTENTSIZE_ERROR) continue;
    std::string text(bytes, '\0');
    const std::size_t made = ZSTD_decompress(text.data(), bytes, all.data() + at, frame);
    if (made == bytes && text.find(".version") != text.npos) return text;
  }
  return {};
}

struct function {
  program* of;  ///< null: its text could not be read
  std::string name;
};
std::map<const void*, function>& functions() {
  static std::map<const void*, function> all;
  return all;
}

}  // namespace

bool are_readable() {
  for (const auto& [host, f] : functions())
    if (f.of == nullptr) return false;
  return true;
}
registered_kernel find_registered(const void* host) {
  const function& f = functions().at(host);
  if (f.of == nullptr) throw std::runtime_error(f.name + ": its PTX cannot be read");
  return {*f.of, f.of->find(f.name)};
}

}  // namespace skv::ptx

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  static std::vector<std::unique_ptr<skv::ptx::program>> modules;
  const auto& of = *static_cast<const skv::ptx::fat_binary_wrapper*>(wrapper);
  std::string text = skv::ptx::ptx_of(*of.data);
  if (text.empty()) return nullptr;
  modules.push_back(std::make_unique<skv::ptx::program>(std::move(text)));
  return reinterpret_cast<void**>(modules.back().get());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** module, const char* host, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  skv::ptx::functions()[host] = {reinterpret_cast<skv::ptx::program*>(module), name};
}

// Of launches by <<<>>>, which this project does not have.
int __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) { std::abort(); }
int __cudaGetKernel(void*, const void*) { std::abort(); }
int __cudaLaunchKernel(void*, dim3, dim3, void**, std::size_t, void*) { std::abort(); }

}  // extern "C"
