// The tiles of a container as work to do. For the archives alone.
#pragma once

#include <algorithm>
#include <optional>
#include <skv/cpu/codec.hpp>
#include <skv/format/container.hpp>
#include <vector>

namespace skv::cpu {

// Opaque chunks reach both limits at once. The largest tiles reach the second with two per thread:
// a short file that promises many of them takes no more memory than others.
inline constexpr std::uint64_t kTilesPerThread = 16,
                               kBytesPerThread = kTilesPerThread * kOpaqueChunkBytes;

inline tile_slice slice_of(const stream& s, const tile_range& r) {
  return {s.id, s.heads, s.head_dim, r.first_head, r.heads, r.tokens};
}

/// A tile of a container, with where its numbers are in the source and its bytes in the file.
struct job {
  const stream* of = nullptr;
  std::size_t stream_index = 0, tile = 0;
  tile_range range;            // of a tensor
  std::uint64_t source_begin;  // of the stream
  std::uint64_t opaque_begin = 0, opaque_bytes = 0;
  std::uint64_t file_begin = 0;

  tile_slice slice() const { return slice_of(*of, range); }
  std::size_t number_bytes() const { return of->bytes() / of->numbers(); }
  std::size_t row_bytes() const { return std::size_t{of->heads} * of->head_dim * number_bytes(); }
  std::size_t head_bytes() const { return of->head_dim * number_bytes(); }
  std::size_t tile_row_bytes() const { return range.heads * head_bytes(); }
  std::uint64_t begin_in_stream() const {
    return of->is_tensor ? range.first_token * row_bytes() + range.first_head * head_bytes()
                         : opaque_begin;
  }
  std::uint64_t source_size() const {
    return of->is_tensor ? range.tokens * std::uint64_t{tile_row_bytes()} : opaque_bytes;
  }
};

/// All tiles in order; `records` may still be empty of sizes.
class job_list {
 public:
  using filter = bool (*)(const stream&);

  /// Of all streams, or of those that are wanted.
  explicit job_list(const container& c, filter wanted = nullptr)
      : c_(c), wanted_(wanted), source_begin_(c.preamble.size()), file_begin_(c.tiles_begin) {}

  std::optional<job> next() {
    while (stream_ < c_.streams.size() && tile_ == c_.streams[stream_].tiles()) {
      source_begin_ += c_.streams[stream_].bytes();
      ++stream_;
      tile_ = 0;
    }
    if (stream_ == c_.streams.size()) return std::nullopt;
    job j;
    j.of = &c_.streams[stream_];
    j.stream_index = stream_;
    j.tile = count_;
    j.source_begin = source_begin_;
    j.file_begin = file_begin_;
    if (j.of->is_tensor) {
      j.range = tile_at(*j.of, tile_);
    } else {
      j.opaque_begin = tile_ * kOpaqueChunkBytes;
      j.opaque_bytes = std::min(kOpaqueChunkBytes, j.of->opaque_bytes - j.opaque_begin);
    }
    file_begin_ += c_.records[count_].bytes();
    ++tile_;
    ++count_;
    return j;
  }

  // The next tiles: as many as the threads can have in flight.
  std::vector<job> next_batch(unsigned threads) {
    std::vector<job> batch;
    std::uint64_t bytes = 0;
    while (batch.size() < threads * kTilesPerThread && bytes < threads * kBytesPerThread) {
      const auto j = next();
      if (!j) break;
      if (wanted_ != nullptr && !wanted_(*j->of)) continue;
      batch.push_back(*j);
      bytes += j->source_size();
    }
    return batch;
  }

 private:
  const container& c_;
  filter wanted_;
  std::size_t stream_ = 0, count_ = 0;
  std::uint64_t tile_ = 0, source_begin_, file_begin_;
};

/// The part of a tensor's rows that a tile covers.
template <class Byte>
row_view<Byte> part_of(row_view<Byte> tensor, const tile_range& r, std::size_t head_bytes) {
  return tensor.from(r.first_token, r.first_head * head_bytes);
}

}  // namespace skv::cpu
