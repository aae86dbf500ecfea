#include <skv/cpu/layered_archive.hpp>

#include <algorithm>
#include <limits>

#include "archive_checks.hpp"
#include "jobs.hpp"
#include "parallel.hpp"

namespace skv::cpu {
namespace {

std::uint64_t tile_numbers(const stream& s, const tile_range& r) {
  return std::uint64_t{r.tokens} * r.heads * s.head_dim;
}

result<done> first_failure(const std::vector<result<done>>& outcomes) {
  for (const result<done>& outcome : outcomes)
    if (!outcome) return outcome;
  return done{};
}

}  // namespace

const stream* layered_archive::next() const {
  return stream_index < box.streams.size() ? &box.streams[stream_index] : nullptr;
}

tensor_shape layered_archive::shape() const {
  const stream& s = box.streams[stream_index];
  return {s.id, static_cast<std::uint32_t>(s.tokens), s.heads, s.head_dim};
}

result<done> layered_archive::check(const container& c, const codec& coder,
                                    const outside_rows* outside) {
  if (auto ok = check_coding(c, coder, outside); !ok) return ok;
  const stream* before = nullptr;
  for (const stream& s : c.streams) {
    if (!s.is_tensor) continue;
    if (s.tokens > std::numeric_limits<std::uint32_t>::max())
      return fail(status::unsupported, to_string(s.id) + ": too many tokens to be predicted");
    if (before != nullptr && !(before->id < s.id))
      return fail(status::unsupported, to_string(s.id) + ": comes after " + to_string(before->id) +
                                           "; a predictor goes through tensors in ascending order");
    before = &s;
  }
  return done{};
}

result<done> layered_archive::check_next(bool is_tensor, mean_source source) const {
  if (next() == nullptr) return fail(status::invalid_argument, "there are no more streams");
  if (next()->is_tensor != is_tensor)
    return fail(status::invalid_argument,
                is_tensor ? "the next stream is not a tensor" : "the next stream is a tensor");
  if (is_tensor && source != used_coder->source())
    return fail(status::invalid_argument, "the profile is for another predictor");
  return done{};
}

void layered_archive::advance() {
  tile_index += box.streams[stream_index].tiles();
  ++stream_index;
}

result<archive_writer> archive_writer::begin(container c, const codec& coder, byte_sink sink,
                                             unsigned threads, const outside_rows* outside) {
  if (auto ok = check(c, coder, outside); !ok) return ok.failure();
  archive_writer w(coder, std::move(sink), thread_count(threads));
  w.box = std::move(c);
  w.box.records.assign(count_tiles(w.box.streams), {});
  return w;
}

result<done> archive_writer::encode(row_view<const std::byte> numbers,
                                    row_view<const std::byte> means) {
  const stream& s = *next();
  if (used_coder->source() == mean_source::given && means.data == nullptr)
    return fail(status::invalid_argument, to_string(s.id) + ": there is no prediction");
  const std::uint64_t tiles = s.tiles();
  std::vector<std::vector<std::byte>> bytes(tiles);
  std::vector<result<done>> outcomes(tiles, done{});
  parallel_for(tiles, used_threads, [&](std::size_t i) {
    const tile_range r = tile_at(s, i);
    bytes[i].resize(tile_numbers(s, r) * used_coder->target().bytes());
    const auto record = used_coder->encode(
        slice_of(s, r), part_of(numbers, r, s.head_dim * used_coder->target().bytes()),
        part_of(means, r, s.head_dim * used_coder->mean().bytes()), bytes[i]);
    if (record) {
      box.records[tile_index + i] = *record;
      bytes[i].resize(record->bytes());
    } else {
      outcomes[i] = record.failure();
    }
  });
  if (auto ok = first_failure(outcomes); !ok) return ok;
  for (const auto& tile : bytes)
    if (auto ok = sink_(tile); !ok) return ok;
  advance();
  return done{};
}

result<done> archive_writer::write_opaque(std::span<const std::byte> bytes) {
  if (auto ok = check_next(false, used_coder->source()); !ok) return ok;
  if (bytes.size() != next()->opaque_bytes)
    return fail(status::invalid_argument, "the bytes beside the cache have another size");
  for (std::uint64_t i = 0; i < next()->tiles(); ++i) {
    const std::uint64_t begin = i * kOpaqueChunkBytes;
    const auto chunk = bytes.subspan(begin, std::min(kOpaqueChunkBytes, bytes.size() - begin));
    const opaque_tile t = encode_opaque(chunk);
    box.records[tile_index + i] = t.record;
    if (auto ok = sink_(t.record.mode() == tile_mode::raw ? chunk : t.bytes); !ok) return ok;
  }
  advance();
  return done{};
}

result<std::vector<std::byte>> archive_writer::finish() const {
  if (next() != nullptr) return fail(status::invalid_argument, "streams are missing");
  return front_matter(box);
}

result<archive_reader> archive_reader::begin(container c, const codec& coder,
                                             std::span<const std::byte> file,
                                             const predictor_identity& by, unsigned threads,
                                             const outside_rows* outside) {
  if (auto ok = require_predictor(c.predictor, by); !ok) return ok.failure();
  if (auto ok = check(c, coder, outside); !ok) return ok.failure();
  archive_reader r(coder, file, thread_count(threads));
  r.at_ = c.tiles_begin;
  r.box = std::move(c);
  return r;
}

result<done> archive_reader::decode(row_view<const std::byte> means, row_view<std::byte> numbers) {
  const stream& s = *next();
  if (used_coder->source() == mean_source::given && means.data == nullptr)
    return fail(status::invalid_argument, to_string(s.id) + ": there is no prediction");
  const std::uint64_t tiles = s.tiles();
  std::vector<std::uint64_t> begins(tiles);
  std::uint64_t end = at_;
  for (std::uint64_t i = 0; i < tiles; ++i) {
    begins[i] = end;
    end += box.records[tile_index + i].bytes();
  }
  std::vector<result<done>> outcomes(tiles, done{});
  parallel_for(tiles, used_threads, [&](std::size_t i) {
    const tile_range r = tile_at(s, i);
    const tile_record& record = box.records[tile_index + i];
    outcomes[i] =
        used_coder->decode(slice_of(s, r), record, file_.subspan(begins[i], record.bytes()),
                           part_of(means, r, s.head_dim * used_coder->mean().bytes()),
                           part_of(numbers, r, s.head_dim * used_coder->target().bytes()));
  });
  if (auto ok = first_failure(outcomes); !ok) return ok;
  at_ = end;
  advance();
  return done{};
}

result<std::vector<std::byte>> archive_reader::read_opaque() {
  if (auto ok = check_next(false, used_coder->source()); !ok) return ok.failure();
  std::vector<std::byte> bytes;
  std::uint64_t left = next()->opaque_bytes;
  for (std::uint64_t i = 0; i < next()->tiles(); ++i) {
    const std::size_t begin = bytes.size();
    bytes.resize(begin + std::min(kOpaqueChunkBytes, left));
    left -= bytes.size() - begin;
    const tile_record& record = box.records[tile_index + i];
    if (auto ok = decode_opaque(record, file_.subspan(at_, record.bytes()),
                                std::span(bytes).subspan(begin));
        !ok)
      return ok.failure();
    at_ += record.bytes();
  }
  advance();
  return bytes;
}

}  // namespace skv::cpu
