// The functions that nvcc generates calls of, before main(); their declarations are those of
// crt/host_runtime.h.
#include "stand_in/registered.hpp"

#include <vector_types.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "stand_in/fat_binary.hpp"

namespace skv::stand_in {
namespace {

struct fat_binary_wrapper {
  std::int32_t magic, version;
  const fat_header* binary;
  void* unused;
};

struct function {
  ptx::program* of;  ///< null: its text could not be read
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

}  // namespace skv::stand_in

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  static std::vector<std::unique_ptr<skv::ptx::program>> modules;
  using namespace skv::stand_in;
  const fat_header* const binary = static_cast<const fat_binary_wrapper*>(wrapper)->binary;
  std::string text = ptx_of({reinterpret_cast<const std::byte*>(binary),
                             std::size_t{binary->header_bytes} + binary->bytes});
  if (text.empty()) return nullptr;
  modules.push_back(std::make_unique<skv::ptx::program>(std::move(text)));
  return reinterpret_cast<void**>(modules.back().get());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void** module, const char* host, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  skv::stand_in::functions()[host] = {reinterpret_cast<skv::ptx::program*>(module), name};
}

// Of launches by <<<>>>, which this project does not have.
int __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) { std::abort(); }
int __cudaGetKernel(void*, const void*) { std::abort(); }
int __cudaLaunchKernel(void*, dim3, dim3, void**, std::size_t, void*) { std::abort(); }

}  // extern "C"
