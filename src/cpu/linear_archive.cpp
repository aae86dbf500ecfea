#include "linear_archive.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace skv::cpu {
namespace {

position_range positions_of(const job& j) {
  return {j.of->first_position + j.range.first_token, j.range.tokens};
}

}  // namespace

result<linear_streams> linear_streams::of(const container& c, const codec& coder) {
  linear_streams l(coder.shared_profile());
  for (std::size_t i = 0; i < c.streams.size(); ++i) {
    const stream& s = c.streams[i];
    l.index_of_.push_back(kNone);
    if (!s.is_tensor) continue;
    const auto found = l.steps_.find(s.id, s.heads, s.head_dim);
    if (!found) return found.failure();
    if (l.stream_of_[*found] != kNone)
      return fail(status::corrupt, to_string(s.id) + ": there is another one");
    l.index_of_[i] = *found;
    l.stream_of_[*found] = i;
  }
  return l;
}

std::vector<std::size_t> linear_streams::in_order() const {
  std::vector<std::size_t> streams = stream_of_;
  std::erase(streams, kNone);
  return streams;
}

std::vector<std::size_t> linear_streams::chain_of(std::size_t stream) const {
  std::vector<bool> needed(stream_of_.size());
  needed[index_of_[stream]] = true;
  for (std::size_t i = needed.size(); i-- > 0;)
    if (needed[i])
      for (const std::uint32_t s : tensor(i).sources)
        if (s < needed.size()) needed[s] = true;
  std::vector<std::size_t> streams = in_order();
  std::erase_if(streams, [&](std::size_t i) { return !needed[index_of_[i]]; });
  return streams;
}

result<linear_encoder> linear_encoder::of(const container& c, const codec& coder,
                                          std::span<const std::byte> source,
                                          const std::vector<row_view<const std::byte>>& bases,
                                          const outside_rows* outside) {
  auto streams = linear_streams::of(c, coder);
  if (!streams) return streams.failure();
  linear_encoder e(c, *std::move(streams), bases, outside);
  std::uint64_t begin = c.preamble.size();
  for (const stream& s : c.streams) {
    e.numbers_.push_back(source.data() + begin);
    begin += s.bytes();
  }
  return e;
}

row_view<const std::byte> linear_encoder::means_of(const job& j,
                                                   std::vector<std::byte>& room) const {
  const std::size_t index = streams_.index_of(j.stream_index);
  const position_range range = positions_of(j);
  linear_chain chain(streams_.steps(), outside_);
  for (const std::uint32_t source : streams_.tensor(index).sources) {
    const std::size_t i = streams_.stream_of(source);
    if (i == linear_streams::kNone) continue;
    const stream& s = c_->streams[i];
    const std::uint64_t first = std::max<std::uint64_t>(s.first_position, range.first);
    const std::uint64_t end = std::min(s.first_position + s.tokens, range.first + range.count);
    if (first >= end) continue;
    const std::uint64_t token = first - s.first_position;
    const std::size_t row_bytes = s.bytes() / s.tokens;
    chain.add(source, {first, static_cast<std::uint32_t>(end - first)},
              row_view<const std::byte>{numbers_[i], row_bytes}.from(token),
              (*bases_)[i].from(token));
  }
  return chain.means(index, range, (*bases_)[j.stream_index].from(j.range.first_token), room);
}

// What a band remembers while its tensors are decoded.
class linear_decoder::chain : public linear_chain {
 public:
  using linear_chain::linear_chain;

  result<done> decode(const linear_decoder& d, const job& j, std::vector<std::byte>& bytes) {
    const std::size_t index = d.streams_.index_of(j.stream_index);
    const tile_record& record = d.c_->records[j.tile];
    const auto bases = (*d.bases_)[j.stream_index].from(j.range.first_token);
    const auto expected = means(index, positions_of(j), bases, room_);
    bytes.resize(j.source_size());
    auto ok = d.coder_->decode(j.slice(), record, d.file_.subspan(j.file_begin, record.bytes()),
                               expected, {bytes.data(), j.row_bytes()});
    if (ok) add(index, positions_of(j), {bytes.data(), j.row_bytes()}, bases);
    return ok;
  }

 private:
  std::vector<std::byte> room_;
};

result<linear_decoder> linear_decoder::of(const container& c, const codec& coder,
                                          std::span<const std::byte> file,
                                          const std::vector<row_view<const std::byte>>& bases,
                                          const outside_rows* outside) {
  auto streams = linear_streams::of(c, coder);
  if (!streams) return streams.failure();
  linear_decoder d(c, coder, *std::move(streams), file, bases, outside);
  place p{0, c.preamble.size()};
  for (const stream& s : c.streams) {
    d.places_.push_back(p);
    p.first_tile += s.tiles();
    p.source_begin += s.bytes();
  }
  std::uint64_t at = c.tiles_begin;
  for (const tile_record& r : c.records) {
    d.file_begin_.push_back(at);
    at += r.bytes();
  }
  return d;
}

std::optional<job> linear_decoder::job_in(std::size_t stream, std::uint64_t band) const {
  job j;
  j.of = &c_->streams[stream];
  const std::uint64_t first_band = j.of->first_position / j.of->tile_tokens;
  if (band < first_band || band - first_band >= j.of->tiles()) return std::nullopt;
  j.stream_index = stream;
  j.range = tile_at(*j.of, band - first_band);
  j.tile = places_[stream].first_tile + (band - first_band);
  j.source_begin = places_[stream].source_begin;
  j.file_begin = file_begin_[j.tile];
  return j;
}

result<done> linear_decoder::for_each_tile(const archive_options& options,
                                           const tile_sink& sink) const {
  const std::vector<std::size_t> streams = streams_.in_order();
  std::uint64_t first = std::numeric_limits<std::uint64_t>::max(), end = 0, tile_bytes = 1;
  for (const std::size_t i : streams) {
    const stream& s = c_->streams[i];
    first = std::min<std::uint64_t>(first, s.first_position / s.tile_tokens);
    end = std::max(end, s.first_position / s.tile_tokens + s.tiles());
    tile_bytes = std::max(tile_bytes, s.tile_tokens * (s.bytes() / s.tokens));
  }
  const unsigned threads = thread_count(options.threads);
  const std::uint64_t at_once =
      threads * std::clamp<std::uint64_t>(kBytesPerThread / tile_bytes, 1, kTilesPerThread);
  for (; first < end; first += at_once) {
    const std::uint64_t bands = std::min(at_once, end - first);
    std::vector<chain> chains(bands, chain(streams_.steps(), outside_));
    for (const std::size_t stream : streams) {
      std::vector<std::optional<job>> jobs(bands);
      for (std::uint64_t b = 0; b < bands; ++b) jobs[b] = job_in(stream, first + b);
      std::vector<std::vector<std::byte>> bytes(bands);
      std::vector<result<done>> outcomes(bands, done{});
      parallel_for(bands, threads, [&](std::size_t b) {
        if (jobs[b]) outcomes[b] = chains[b].decode(*this, *jobs[b], bytes[b]);
      });
      std::uint64_t finished = 0;
      for (std::uint64_t b = 0; b < bands; ++b) {
        if (!jobs[b]) continue;
        if (!outcomes[b]) return outcomes[b];
        if (auto ok = sink(*jobs[b], bytes[b]); !ok) return ok;
        finished += bytes[b].size();
      }
      if (options.report) options.report(finished);
    }
  }
  return done{};
}

result<done> linear_decoder::read_tiles(
    std::size_t stream, const std::function<bool(const tile_range&)>& wanted,
    const std::function<void(const job&, std::span<const std::byte>)>& sink) const {
  const std::vector<std::size_t> streams = streams_.chain_of(stream);
  const skv::stream& s = c_->streams[stream];
  const std::uint64_t first_band = s.first_position / s.tile_tokens;
  for (std::uint64_t tile = 0; tile < s.tiles(); ++tile) {
    if (!wanted(tile_at(s, tile))) continue;
    chain c(streams_.steps(), outside_);
    std::vector<std::byte> bytes;
    for (const std::size_t i : streams) {
      const auto j = job_in(i, first_band + tile);
      if (!j) continue;
      if (auto ok = c.decode(*this, *j, bytes); !ok) return ok;
      if (i == stream) sink(*j, bytes);
    }
  }
  return done{};
}

}  // namespace skv::cpu
