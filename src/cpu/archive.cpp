#include <skv/cpu/archive.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

#include "parallel.hpp"

namespace skv::cpu {
namespace {

// Opaque chunks reach both limits at once. The largest tiles reach the second with two per thread: a
// short file that promises many of them takes no more memory than others.
constexpr std::uint64_t kTilesPerThread = 16, kBytesPerThread = kTilesPerThread * kOpaqueChunkBytes;

// A tile of a container, with where its numbers are in the source and its bytes in the file.
struct job {
  const stream* of = nullptr;
  std::size_t stream_index = 0, tile = 0;
  tile_range range;            // of a tensor
  std::uint64_t source_begin;  // of the stream
  std::uint64_t opaque_begin = 0, opaque_bytes = 0;
  std::uint64_t file_begin = 0;

  tile_slice slice() const {
    return {of->id, of->heads, of->head_dim, range.first_head, range.heads, range.tokens};
  }
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

// All tiles in order; `records` may still be empty of sizes.
class job_list {
 public:
  explicit job_list(const container& c)
      : c_(c), source_begin_(c.preamble.size()), file_begin_(c.tiles_begin) {}

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
      batch.push_back(*j);
      bytes += j->source_size();
    }
    return batch;
  }

 private:
  const container& c_;
  std::size_t stream_ = 0, count_ = 0;
  std::uint64_t tile_ = 0, source_begin_, file_begin_;
};

// The means of every tensor stream, asked for once.
result<std::vector<row_view<const std::byte>>> all_means(const container& c, const codec& coder,
                                                         const mean_lookup& means) {
  std::vector<row_view<const std::byte>> found(c.streams.size());
  if (coder.source() != mean_source::given) return found;
  for (std::size_t i = 0; i < c.streams.size(); ++i) {
    if (!c.streams[i].is_tensor) continue;
    const auto m = means ? means(c.streams[i]) : row_view<const std::byte>{};
    if (!m) return m.failure();
    if (m->data == nullptr)
      return fail(status::invalid_argument,
                  to_string(c.streams[i].id) + ": there is no prediction");
    found[i] = *m;
  }
  return found;
}

row_view<const std::byte> part_of(row_view<const std::byte> tensor, const job& j,
                                  std::size_t number_bytes) {
  if (tensor.data == nullptr) return tensor;
  return {tensor.data + j.range.first_token * tensor.token_stride_bytes +
              std::size_t{j.range.first_head} * j.of->head_dim * number_bytes,
          tensor.token_stride_bytes};
}

// Does the work of every tile on all threads, a batch at a time, and hands the bytes it gives to
// `emit` in order, on this thread. Holds one batch.
template <class Work, class Emit>
result<done> for_each_tile(const container& c, const archive_options& options, const Work& work,
                           const Emit& emit) {
  const unsigned threads = thread_count(options.threads);
  job_list jobs(c);
  for (;;) {
    const std::vector<job> batch = jobs.next_batch(threads);
    if (batch.empty()) return done{};
    std::vector<std::vector<std::byte>> bytes(batch.size());
    std::vector<result<done>> outcomes(batch.size(), done{});
    parallel_for(batch.size(), threads,
                 [&](std::size_t i) { outcomes[i] = work(batch[i], bytes[i]); });
    std::uint64_t finished = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (!outcomes[i]) return outcomes[i];
      if (auto ok = emit(batch[i], bytes[i]); !ok) return ok;
      finished += batch[i].source_size();
    }
    if (options.report) options.report(finished);
  }
}

result<done> check_coding(const container& c, const codec& coder) {
  if (c.target != coder.target().id || c.source != coder.source() || c.mean != coder.mean().id)
    return fail(status::wrong_profile, "the profile is for another format or predictor");
  for (const stream& s : c.streams)
    if (s.is_tensor && s.format != coder.target().id)
      return fail(status::corrupt, to_string(s.id) + ": its number format is not the profile's");
  return done{};
}

}  // namespace

result<done> write_archive(container& c, const codec& coder, std::span<const std::byte> source,
                           const mean_lookup& means, const byte_sink& sink,
                           const archive_options& options) {
  if (source.size() != c.source_bytes())
    return fail(status::invalid_argument, "the streams do not add up to the source");
  if (auto ok = check_coding(c, coder); !ok) return ok;
  const auto tensor_means = all_means(c, coder, means);
  if (!tensor_means) return tensor_means.failure();
  c.records.assign(count_tiles(c.streams), {});

  const auto encode = [&](const job& j, std::vector<std::byte>& bytes) -> result<done> {
    const auto from = source.subspan(j.source_begin + j.begin_in_stream());
    if (!j.of->is_tensor) {
      const auto chunk = from.first(j.opaque_bytes);
      opaque_tile t = encode_opaque(chunk);
      if (t.record.mode() == tile_mode::raw) t.bytes.assign(chunk.begin(), chunk.end());
      c.records[j.tile] = t.record;
      bytes = std::move(t.bytes);
      return done{};
    }
    bytes.resize(j.source_size());
    const auto record =
        coder.encode(j.slice(), {from.data(), j.row_bytes()},
                     part_of((*tensor_means)[j.stream_index], j, coder.mean().bytes()), bytes);
    if (!record) return record.failure();
    c.records[j.tile] = *record;
    bytes.resize(record->bytes());
    return done{};
  };
  return for_each_tile(c, options, encode,
                       [&](const job&, std::span<const std::byte> bytes) { return sink(bytes); });
}

result<done> read_archive(const container& c, const codec& coder, std::span<const std::byte> file,
                          const mean_lookup& means, const placed_byte_sink& sink,
                          const archive_options& options) {
  if (auto ok = check_coding(c, coder); !ok) return ok;
  const auto tensor_means = all_means(c, coder, means);
  if (!tensor_means) return tensor_means.failure();
  if (auto written = sink(0, c.preamble); !written) return written;

  const auto decode = [&](const job& j, std::vector<std::byte>& bytes) -> result<done> {
    const tile_record& record = c.records[j.tile];
    const auto stored = file.subspan(j.file_begin, record.bytes());
    bytes.resize(j.source_size());
    if (!j.of->is_tensor) return decode_opaque(record, stored, bytes);
    return coder.decode(j.slice(), record, stored,
                        part_of((*tensor_means)[j.stream_index], j, coder.mean().bytes()),
                        {bytes.data(), j.tile_row_bytes()});
  };
  const auto place = [&](const job& j, std::span<const std::byte> bytes) -> result<done> {
    // A tile of all heads is one run of the source; otherwise each of its rows is.
    const bool is_run = !j.of->is_tensor || j.range.heads == j.of->heads;
    const std::uint64_t begin = j.source_begin + j.begin_in_stream();
    if (is_run) return sink(begin, bytes);
    for (std::uint32_t row = 0; row < j.range.tokens; ++row)
      if (auto ok = sink(begin + row * j.row_bytes(),
                         bytes.subspan(row * j.tile_row_bytes(), j.tile_row_bytes()));
          !ok)
        return ok;
    return done{};
  };
  return for_each_tile(c, options, decode, place);
}

result<done> read_range(const container& c, const codec& coder, std::span<const std::byte> file,
                        const mean_lookup& means, const tensor_range& range,
                        std::span<std::byte> out) {
  const auto at = std::ranges::find_if(
      c.streams, [&](const stream& s) { return s.is_tensor && s.id == range.id; });
  if (at == c.streams.end())
    return fail(status::invalid_argument, to_string(range.id) + ": not in this file");
  if (range.tokens == 0 || range.heads == 0 || range.tokens > at->tokens ||
      range.first_token > at->tokens - range.tokens || range.heads > at->heads ||
      range.first_head > at->heads - range.heads)
    return fail(status::invalid_argument, to_string(range.id) + ": no such tokens or heads");
  if (auto ok = check_coding(c, coder); !ok) return ok;
  row_view<const std::byte> tensor_means;
  if (coder.source() == mean_source::given) {
    const auto m = means ? means(*at) : row_view<const std::byte>{};
    if (!m) return m.failure();
    tensor_means = *m;
  }
  const std::size_t number_bytes = coder.target().bytes();
  const std::size_t head_bytes = at->head_dim * number_bytes;
  const std::size_t out_row = range.heads * head_bytes;
  if (out.size() != range.tokens * out_row)
    return fail(status::invalid_argument, to_string(range.id) + ": the output has the wrong size");

  const std::uint64_t last_token = range.first_token + range.tokens;
  const std::uint32_t last_head = range.first_head + range.heads;
  job_list jobs(c);
  std::vector<std::byte> tile;
  while (const auto j = jobs.next()) {
    const tile_range& r = j->range;
    if (j->of != &*at || r.first_token >= last_token || r.first_head >= last_head ||
        r.first_token + r.tokens <= range.first_token || r.first_head + r.heads <= range.first_head)
      continue;
    tile.resize(j->source_size());
    const std::size_t tile_row = r.heads * head_bytes;
    const tile_record& record = c.records[j->tile];
    auto restored =
        coder.decode(j->slice(), record, file.subspan(j->file_begin, record.bytes()),
                     part_of(tensor_means, *j, coder.mean().bytes()), {tile.data(), tile_row});
    if (!restored) return restored;
    const std::uint32_t head = std::max(r.first_head, range.first_head);
    const std::size_t run = (std::min(r.first_head + r.heads, last_head) - head) * head_bytes;
    for (std::uint64_t t = std::max(r.first_token, range.first_token);
         t < std::min(r.first_token + r.tokens, last_token); ++t)
      std::memcpy(
          out.data() + (t - range.first_token) * out_row + (head - range.first_head) * head_bytes,
          tile.data() + (t - r.first_token) * tile_row + (head - r.first_head) * head_bytes, run);
  }
  return done{};
}

}  // namespace skv::cpu
