#include <skv/cpu/archive.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

#include "archive_checks.hpp"
#include "jobs.hpp"
#include "linear_archive.hpp"
#include "parallel.hpp"

namespace skv::cpu {
namespace {

// The given means of every tensor stream, asked for once; with linear propagation its bases.
result<std::vector<row_view<const std::byte>>> all_means(const container& c, const codec& coder,
                                                         const mean_lookup& means) {
  std::vector<row_view<const std::byte>> found(c.streams.size());
  if (coder.used_profile().content().base() != mean_source::given) return found;
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

// Does the work of every tile on all threads, a batch at a time, and hands the bytes it gives to
// `emit` in order, on this thread. Holds one batch.
template <class Work, class Emit>
result<done> for_each_tile(job_list jobs, const archive_options& options, const Work& work,
                           const Emit& emit) {
  const unsigned threads = thread_count(options.threads);
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

}  // namespace

result<done> write_archive(container& c, const codec& coder, std::span<const std::byte> source,
                           const mean_lookup& means, const byte_sink& sink,
                           const archive_options& options, const outside_rows* outside) {
  if (source.size() != c.source_bytes())
    return fail(status::invalid_argument, "the streams do not add up to the source");
  if (auto ok = check_coding(c, coder, outside); !ok) return ok;
  const auto tensor_means = all_means(c, coder, means);
  if (!tensor_means) return tensor_means.failure();
  c.records.assign(count_tiles(c.streams), {});
  std::optional<linear_encoder> linear;
  if (c.linear_base) {
    auto made = linear_encoder::of(c, coder, source, *tensor_means, outside);
    if (!made) return made.failure();
    linear = *std::move(made);
  }

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
    std::vector<std::byte> room;
    const auto expected = linear ? linear->means_of(j, room)
                                 : part_of((*tensor_means)[j.stream_index], j.range,
                                           j.of->head_dim * coder.mean().bytes());
    const auto record = coder.encode(j.slice(), {from.data(), j.row_bytes()}, expected, bytes);
    if (!record) return record.failure();
    c.records[j.tile] = *record;
    bytes.resize(record->bytes());
    return done{};
  };
  return for_each_tile(job_list(c), options, encode,
                       [&](const job&, std::span<const std::byte> bytes) { return sink(bytes); });
}

result<done> read_archive(const container& c, const codec& coder, std::span<const std::byte> file,
                          const mean_lookup& means, const placed_byte_sink& sink,
                          const archive_options& options, const outside_rows* outside) {
  if (auto ok = check_coding(c, coder, outside); !ok) return ok;
  const auto tensor_means = all_means(c, coder, means);
  if (!tensor_means) return tensor_means.failure();
  if (auto written = sink(0, c.preamble); !written) return written;

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
  const auto decode = [&](const job& j, std::vector<std::byte>& bytes) -> result<done> {
    const tile_record& record = c.records[j.tile];
    const auto stored = file.subspan(j.file_begin, record.bytes());
    bytes.resize(j.source_size());
    if (!j.of->is_tensor) return decode_opaque(record, stored, bytes);
    return coder.decode(
        j.slice(), record, stored,
        part_of((*tensor_means)[j.stream_index], j.range, j.of->head_dim * coder.mean().bytes()),
        {bytes.data(), j.tile_row_bytes()});
  };
  if (!c.linear_base) return for_each_tile(job_list(c), options, decode, place);

  const auto linear = linear_decoder::of(c, coder, file, *tensor_means, outside);
  if (!linear) return linear.failure();
  const job_list opaque(c, [](const stream& s) { return !s.is_tensor; });
  if (auto ok = for_each_tile(opaque, options, decode, place); !ok) return ok;
  return linear->for_each_tile(options, place);
}

result<std::vector<std::byte>> read_opaque(const container& c, std::span<const std::byte> file,
                                           std::uint64_t offset, std::uint64_t bytes) {
  // Grows with what is decoded: nothing is believed of what a file announces.
  std::vector<std::byte> out;
  const auto take = [&](std::uint64_t begin, std::span<const std::byte> from) {
    const std::uint64_t at = offset + out.size();
    if (at < begin || at >= begin + from.size()) return;
    const auto rest = from.subspan(at - begin);
    const auto part = rest.first(std::min<std::uint64_t>(rest.size(), bytes - out.size()));
    out.insert(out.end(), part.begin(), part.end());
  };
  take(0, c.preamble);
  job_list jobs(c);
  while (out.size() < bytes) {
    const auto j = jobs.next();
    if (!j) return fail(status::invalid_argument, "bytes that are not all between the tensors");
    const std::uint64_t begin = j->source_begin + j->begin_in_stream(), at = offset + out.size();
    if (j->of->is_tensor || at < begin || at >= begin + j->opaque_bytes) continue;
    std::vector<std::byte> chunk(j->source_size());
    const tile_record& record = c.records[j->tile];
    auto decoded = decode_opaque(record, file.subspan(j->file_begin, record.bytes()), chunk);
    if (!decoded) return decoded.failure();
    take(begin, chunk);
  }
  return out;
}

result<done> read_range(const container& c, const codec& coder, std::span<const std::byte> file,
                        const mean_lookup& means, const tensor_range& range,
                        std::span<std::byte> out, const outside_rows* outside) {
  const auto at = std::ranges::find_if(
      c.streams, [&](const stream& s) { return s.is_tensor && s.id == range.id; });
  if (at == c.streams.end())
    return fail(status::invalid_argument, to_string(range.id) + ": not in this file");
  if (range.tokens == 0 || range.heads == 0 || range.tokens > at->tokens ||
      range.first_token > at->tokens - range.tokens || range.heads > at->heads ||
      range.first_head > at->heads - range.heads)
    return fail(status::invalid_argument, to_string(range.id) + ": no such tokens or heads");
  if (auto ok = check_coding(c, coder, outside); !ok) return ok;
  const std::size_t number_bytes = coder.target().bytes();
  const std::size_t head_bytes = at->head_dim * number_bytes;
  const std::size_t out_row = range.heads * head_bytes;
  if (out.size() != range.tokens * out_row)
    return fail(status::invalid_argument, to_string(range.id) + ": the output has the wrong size");

  const std::uint64_t last_token = range.first_token + range.tokens;
  const std::uint32_t last_head = range.first_head + range.heads;
  const auto overlaps = [&](const tile_range& r) {
    return r.first_token < last_token && r.first_head < last_head &&
           r.first_token + r.tokens > range.first_token &&
           r.first_head + r.heads > range.first_head;
  };
  const auto place = [&](const job& j, std::span<const std::byte> tile) {
    const tile_range& r = j.range;
    const std::size_t tile_row = r.heads * head_bytes;
    const std::uint32_t head = std::max(r.first_head, range.first_head);
    const std::size_t run = (std::min(r.first_head + r.heads, last_head) - head) * head_bytes;
    for (std::uint64_t t = std::max(r.first_token, range.first_token);
         t < std::min(r.first_token + r.tokens, last_token); ++t)
      std::memcpy(
          out.data() + (t - range.first_token) * out_row + (head - range.first_head) * head_bytes,
          tile.data() + (t - r.first_token) * tile_row + (head - r.first_head) * head_bytes, run);
  };
  const auto stream_index = static_cast<std::size_t>(at - c.streams.begin());
  if (c.linear_base) {
    const auto bases = all_means(c, coder, means);
    if (!bases) return bases.failure();
    const auto linear = linear_decoder::of(c, coder, file, *bases, outside);
    if (!linear) return linear.failure();
    return linear->read_tiles(stream_index, overlaps, place);
  }
  row_view<const std::byte> tensor_means;
  if (coder.source() == mean_source::given) {
    const auto m = means ? means(*at) : row_view<const std::byte>{};
    if (!m) return m.failure();
    tensor_means = *m;
  }
  job_list jobs(c);
  std::vector<std::byte> tile;
  while (const auto j = jobs.next()) {
    if (j->stream_index != stream_index || !overlaps(j->range)) continue;
    tile.resize(j->source_size());
    const tile_record& record = c.records[j->tile];
    auto restored =
        coder.decode(j->slice(), record, file.subspan(j->file_begin, record.bytes()),
                     part_of(tensor_means, j->range, at->head_dim * coder.mean().bytes()),
                     {tile.data(), j->tile_row_bytes()});
    if (!restored) return restored;
    place(*j, tile);
  }
  return done{};
}

}  // namespace skv::cpu
