// The tensors of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <skv/base/status.hpp>
#include <string>
#include <vector>

#include "io/mapped_file.hpp"
#include "io/safetensors.hpp"

namespace engine {

/// Weights by name, from model.safetensors or from the shards that model.safetensors.index.json
/// names.
class weight_files {
 public:
  /// Maps the files. Fails as mapped_file and parse_safetensors do, and with corrupt if the index
  /// is none, or names a file outside the folder.
  static skv::result<weight_files> open(const std::filesystem::path& folder);

  /// A tensor of exactly this shape, as bf16 patterns: BF16 as it is, F16 and F32 rounded. Fails
  /// with corrupt (missing, another shape, an infinity or a NaN) or unsupported (another type).
  skv::result<std::vector<std::uint16_t>> read(const std::string& name,
                                               const std::vector<std::uint64_t>& shape) const;

 private:
  struct place {
    std::size_t file;
    skv::io::tensor_entry entry;
  };
  skv::result<skv::done> add(const std::filesystem::path& path);

  std::string folder_;
  std::vector<skv::io::mapped_file> files_;
  std::map<std::string, place> tensors_;
};

}  // namespace engine
