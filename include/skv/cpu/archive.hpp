// Whole caches to and from .skv containers, on all cores.
#pragma once

#include <cstddef>
#include <functional>
#include <skv/base/status.hpp>
#include <skv/base/view.hpp>
#include <skv/cpu/codec.hpp>
#include <skv/cpu/outside.hpp>
#include <skv/format/container.hpp>
#include <span>

namespace skv::cpu {

/// The means of a whole tensor [tokens, heads, head_dim]; null data if there are none.
using mean_lookup = std::function<result<row_view<const std::byte>>(const stream& tensor)>;

/// Called from the calling thread alone, with how many source bytes are done since the last call.
using progress_report = std::function<void(std::uint64_t source_bytes)>;

struct archive_options {
  unsigned threads = 0;  ///< 0: as many as there are processors
  progress_report report;
};

/// Receives consecutive bytes.
using byte_sink = std::function<result<done>(std::span<const std::byte>)>;
/// Receives bytes and their offset in the restored file.
using placed_byte_sink =
    std::function<result<done>(std::uint64_t offset, std::span<const std::byte>)>;

// `outside` below has the outside rows of a profile whose linear propagation looks at any, for the
// positions of the longest tensor: from its first_position on. Without them, or for other
// positions, the functions fail with invalid_argument, and with wrong_prediction if c.draft_hash is
// not theirs.

/// Encodes the streams of `c`, whose bytes follow each other in `source`, hands the tiles' bytes
/// to `sink` in order and fills in c.records: afterwards front_matter(c) is final. Means are asked
/// for tensors if the codec's means are given. Holds the tiles in flight, at most 16 per thread
/// and 16 MiB per thread and one tile, and no more. Fails as codec::encode does, or as `sink` or
/// `means` do.
result<done> write_archive(container& c, const codec& coder, std::span<const std::byte> source,
                           const mean_lookup& means, const byte_sink& sink,
                           const archive_options& options = {},
                           const outside_rows* outside = nullptr);

/// Restores the whole source file, preamble included, out of the .skv bytes `file` that `c` was
/// parsed from. Holds no more than write_archive does, whatever the file announces. Fails as
/// codec::decode does (the message names the tensor), or as `sink` does.
result<done> read_archive(const container& c, const codec& coder, std::span<const std::byte> file,
                          const mean_lookup& means, const placed_byte_sink& sink,
                          const archive_options& options = {},
                          const outside_rows* outside = nullptr);

/// Bytes [offset, offset + bytes) of the source, none of them a tensor's: no profile is needed.
/// Fails with invalid_argument if some are, or are not there at all, or as decode_opaque.
result<std::vector<std::byte>> read_opaque(const container& c, std::span<const std::byte> file,
                                           std::uint64_t offset, std::uint64_t bytes);

/// Some tokens of some heads of one tensor.
struct tensor_range {
  tensor_id id;
  std::uint64_t first_token = 0, tokens = 0;
  std::uint32_t first_head = 0, heads = 0;
};

/// Decodes a range, [tokens, heads, head_dim] contiguous, into `out`, touching only the tiles that
/// cover it. Fails with invalid_argument (no such tensor or range, wrong room) or as codec::decode.
result<done> read_range(const container& c, const codec& coder, std::span<const std::byte> file,
                        const mean_lookup& means, const tensor_range& range,
                        std::span<std::byte> out, const outside_rows* outside = nullptr);

}  // namespace skv::cpu
