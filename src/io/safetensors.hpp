// The safetensors container: which tensors a file holds and where their bytes lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <skv/base/status.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skv::io {

struct tensor_entry {
  std::string name;   ///< valid UTF-8
  std::string dtype;  ///< as the file spells it, "BF16" for instance
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< byte offsets within the file

  friend bool operator==(const tensor_entry&, const tensor_entry&) = default;
};

/// In a file that was accepted, data_begin <= tensors[0].begin, each tensor begins at or behind the
/// end of the one before it, and all end within the file.
struct safetensors_file {
  std::uint64_t data_begin = 0;       ///< 8 + the header's length
  std::vector<tensor_entry> tensors;  ///< sorted by begin, then end, then name
};

/// Bytes of one number of `dtype`, or 0 if it is unknown here.
std::uint64_t dtype_bytes(std::string_view dtype);

/// Reads the header; the tensors' bytes are not touched. `file` may hold anything:
///   truncated  it ends within the header, or before the last byte of a tensor
///   corrupt    the header is longer than 100 MB (the limit of the reference implementation), is
///              not a JSON object of tensors, has a key twice or nests too deeply, tensors overlap,
///              or a shape does not match the size in bytes
/// The message names the tensor. Of a tensor with a known dtype, the product of the shape's nonzero
/// factors and the dtype's size fits 64 bits. Tensors of unknown dtypes are opaque bytes with a
/// shape that says nothing. Accepted, for the caller to carry along: gaps between tensors, bytes
/// behind the last, unknown keys of a tensor, any `__metadata__`.
result<safetensors_file> parse_safetensors(std::span<const std::byte> file);
/// The same of a file of `file_bytes`, of which only the first ones are at hand.
result<safetensors_file> parse_safetensors(std::span<const std::byte> front,
                                           std::uint64_t file_bytes);

/// The first bytes of a file of these tensors: the header's length and the header, compact JSON,
/// tensors in the order of their bytes, padded with spaces to a multiple of 8. The tensors' data
/// follow it directly, so the smallest `begin` counts as offset 0, be it relative to a file, as
/// parsed, or to the data. Bytes of a name that are not UTF-8 become U+FFFD.
std::string make_header(const std::vector<tensor_entry>& tensors,
                        const std::map<std::string, std::string>& metadata = {});

}  // namespace skv::io
