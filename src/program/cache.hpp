// A KV cache in a safetensors file, as the commands see it.
#pragma once

#include <filesystem>
#include <optional>
#include <skv/base/status.hpp>
#include <skv/base/view.hpp>
#include <skv/calibrate/linear.hpp>
#include <skv/cpu/archive.hpp>
#include <skv/number/format.hpp>
#include <skv/profile/profile.hpp>
#include <string_view>
#include <vector>

#include "io/mapped_file.hpp"
#include "io/safetensors.hpp"

namespace skv::program {

namespace fs = std::filesystem;

/// The format of numbers that safetensors calls so, if they can be coded.
std::optional<number_format> format_of(std::string_view dtype);

/// A tensor `layers.{l}.k`, `.v` [tokens, heads, head_dim] or `.latent` [tokens, head_dim].
struct cache_tensor {
  tensor_id id;
  format_id format;
  std::uint64_t tokens;
  std::uint32_t heads, head_dim;
  std::uint64_t begin, end;  ///< in the file

  std::size_t row_bytes() const { return (end - begin) / tokens; }
};

/// A mapped file and where its K and V lie.
struct cache {
  fs::path path;
  io::mapped_file file;
  std::uint64_t data_begin = 0;            ///< length of the safetensors header
  std::vector<cache_tensor> tensors;       ///< as they lie in the file
  std::optional<io::tensor_entry> tokens;  ///< `tokens`, whatever it is

  const cache_tensor* find(tensor_id id) const;
  /// The format of the first tensor: others are carried along as they are.
  format_id format() const { return tensors.front().format; }
  row_view<const std::byte> rows(const cache_tensor& t) const {
    return {file.bytes().data() + t.begin, t.row_bytes()};
  }
};

/// Fails as the I/O does, or with invalid_argument if there is no K or V in the file.
result<cache> open_cache(const fs::path& path);

/// The streams of a cache for a codec of `format`: its tensors, and all other bytes. With
/// `linear_position` cut for linear propagation, the first token being at that position.
result<std::vector<stream>> streams_of(const cache& c, format_id format,
                                       std::uint32_t tile_elements,
                                       std::optional<std::uint32_t> linear_position);

/// The means of a tensor out of a reference cache, checked to be of that shape and format.
result<row_view<const std::byte>> means_in(const cache& reference, format_id mean, tensor_id id,
                                           std::uint64_t tokens, std::uint32_t heads,
                                           std::uint32_t head_dim);
/// The same for every tensor; without a reference, no means. The result borrows from `reference`.
cpu::mean_lookup means_from(const cache* reference, format_id mean);

/// A target file and, if there are references or drafts, the files of the same name among them.
struct cache_pair {
  fs::path target, reference, draft;
};
/// A pair with its files open; a reference or draft is missing if the pair has none.
struct open_pair {
  cache target;
  std::optional<cache> reference, draft;

  const cache* means() const { return reference ? &*reference : nullptr; }
};
result<open_pair> open(const cache_pair& pair);

/// All are files, or folders of *.safetensors files; `reference` and `draft` may be empty.
result<std::vector<cache_pair>> pair_up(const fs::path& target, const fs::path& reference,
                                        const fs::path& draft = {});

/// Fits a profile to caches, on `threads` threads (0: one per processor). Maps each file again for
/// every pass and holds no more than one.
result<profile_ptr> fit_profile(const std::vector<cache_pair>& pairs, mean_source source,
                                unsigned threads);

/// The tensors of a cache that have the format `target`, and their means in a reference, in
/// ascending order of id.
result<std::vector<calibration_tensor>> calibration_tensors(const cache_pair& pair,
                                                            const open_pair& opened,
                                                            format_id target, format_id mean);

/// `what` with the name of the file in front.
error in_file(const fs::path& path, const error& what);

}  // namespace skv::program
