#include "ptx/traffic.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

namespace skv::ptx {
namespace {

std::size_t distinct(std::vector<std::uint64_t>& values) {
  std::sort(values.begin(), values.end());
  return static_cast<std::size_t>(std::unique(values.begin(), values.end()) - values.begin());
}

class all_traffic {
 public:
  all_traffic() : path_(std::getenv("SKV_PTX_TRAFFIC")) {}
  ~all_traffic() {
    if (path_ == nullptr) return;
    std::FILE* const file = std::fopen(path_, "w");
    if (file == nullptr) {
      std::perror(path_);
      return;
    }
    const char* before = "{";
    for (const auto& [name, t] : kernels_) {
      const std::unique_ptr<char, void (*)(void*)> readable(
          abi::__cxa_demangle(name.c_str(), nullptr, nullptr, nullptr), std::free);
      std::fprintf(file, "%s\n  \"%s\": {\"instructions\": %llu", before,
                   readable ? readable.get() : name.c_str(),
                   static_cast<unsigned long long>(t.instructions));
      print(file, "shared_loads", "wavefronts", t.shared_loads);
      print(file, "shared_stores", "wavefronts", t.shared_stores);
      print(file, "device_loads", "sectors", t.device_loads);
      print(file, "device_stores", "sectors", t.device_stores);
      std::fprintf(file, "}");
      before = ",";
    }
    std::fprintf(file, "\n}\n");
    std::fclose(file);
  }
  traffic* of(const std::string& kernel) { return path_ == nullptr ? nullptr : &kernels_[kernel]; }

 private:
  static void print(std::FILE* file, const char* name, const char* parts, const traffic::kind& k) {
    std::fprintf(file, ",\n    \"%s\": {\"instructions\": %llu, \"%s\": %llu}", name,
                 static_cast<unsigned long long>(k.instructions), parts,
                 static_cast<unsigned long long>(k.parts));
  }

  const char* path_;
  std::map<std::string, traffic> kernels_;
};

}  // namespace

void traffic::note_shared(bool stores, std::span<const std::uint64_t> addresses,
                          std::size_t bytes) {
  constexpr std::size_t kBanks = 32, kBankBytes = 4;
  kind& k = stores ? shared_stores : shared_loads;
  ++k.instructions;
  const std::size_t lanes = std::min(kBanks, kBanks * kBankBytes / bytes);
  for (std::size_t first = 0; first < addresses.size(); first += lanes) {
    std::array<std::vector<std::uint64_t>, kBanks> words;
    for (std::size_t i = first; i < std::min(first + lanes, addresses.size()); ++i)
      for (std::uint64_t word = addresses[i] / kBankBytes; word * kBankBytes < addresses[i] + bytes;
           ++word)
        words[word % kBanks].push_back(word);
    std::size_t most = 0;
    for (auto& of_bank : words) most = std::max(most, distinct(of_bank));
    k.parts += most;
  }
}
void traffic::note_device(bool stores, std::span<const std::uint64_t> addresses,
                          std::size_t bytes) {
  constexpr std::uint64_t kSector = 32;
  kind& k = stores ? device_stores : device_loads;
  ++k.instructions;
  std::vector<std::uint64_t> sectors;
  for (const std::uint64_t a : addresses)
    for (std::uint64_t s = a / kSector; s * kSector < a + bytes; ++s) sectors.push_back(s);
  k.parts += distinct(sectors);
}

traffic* traffic_of(const std::string& kernel) {
  static all_traffic all;
  return all.of(kernel);
}

}  // namespace skv::ptx
