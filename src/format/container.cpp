#include <skv/format/container.hpp>

#include <zstd.h>
#include <algorithm>
#include <limits>
#include <skv/format/byte_io.hpp>
#include <skv/predict/list.hpp>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace skv {
namespace {

constexpr std::uint8_t kMagic[4] = {'S', 'K', 'V', 'C'};
constexpr std::uint16_t kLinearFeature = 1, kPredictorFeature = 2;
constexpr std::size_t kHeaderBytes = 56, kChecksumAt = 48, kStreamBytes = 32, kRecordBytes = 12;
// Metadata that zstd shrinks more than this are stored as they are, so that a reader can bound
// what it allocates by the size of the file.
constexpr std::uint64_t kMaxExpansion = 64;
constexpr int kMetadataLevel = 19, kOpaqueLevel = 3;

std::vector<std::byte> zstd(std::span<const std::byte> bytes, int level) {
  std::vector<std::byte> out(ZSTD_compressBound(bytes.size()));
  const std::size_t n = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level);
  out.resize(ZSTD_isError(n) ? 0 : n);
  return out;
}

bool unzstd(std::span<const std::byte> bytes, std::span<std::byte> out) {
  const std::size_t n = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  return !ZSTD_isError(n) && n == out.size();
}

std::uint32_t first_position(std::span<const stream> streams) {
  std::uint32_t first = std::numeric_limits<std::uint32_t>::max();
  for (const stream& s : streams)
    if (s.is_tensor) first = std::min(first, s.first_position);
  return first;
}

std::vector<std::byte> metadata_of(const container& c) {
  std::vector<std::byte> out;
  append(out, static_cast<std::uint32_t>(c.streams.size()));
  append(out, static_cast<std::uint32_t>(c.preamble.size()));
  append(out, static_cast<std::uint32_t>(c.embedded_profile.size()));
  for (const stream& s : c.streams) {
    append(out, static_cast<std::uint8_t>(s.is_tensor));
    append(out, static_cast<std::uint8_t>(s.is_tensor ? static_cast<int>(s.id.kind) : 0));
    append(out, static_cast<std::uint8_t>(s.is_tensor ? static_cast<int>(s.format) : 0));
    append(out, std::uint8_t{0});
    append(out, s.is_tensor ? s.id.layer : 0);
    append(out, s.is_tensor ? s.tokens : s.opaque_bytes);
    append(out, s.heads);
    append(out, s.head_dim);
    append(out, s.tile_tokens);
    append(out, s.tile_heads);
  }
  if (c.linear_base) {
    append(out, first_position(c.streams));
    append(out, c.draft_hash);
  }
  if (c.predictor) {
    append(out, static_cast<std::uint8_t>(c.predictor->name.size()));
    append(out, std::as_bytes(std::span(c.predictor->name)));
    append(out, c.predictor->fingerprint);
  }
  append(out, c.preamble);
  append(out, c.embedded_profile);
  return out;
}

// A stream whose sizes cannot overflow: fewer than 2^63 bytes.
bool is_sound(const stream& s) {
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  if (!s.is_tensor)
    return s.opaque_bytes > 0 && s.opaque_bytes < limit && s.heads == 0 && s.head_dim == 0 &&
           s.tile_tokens == 0 && s.tile_heads == 0;
  if (s.tokens == 0 || s.heads == 0 || s.head_dim == 0 || s.tile_tokens == 0 || s.tile_heads == 0 ||
      s.tile_heads > s.heads)
    return false;
  const std::uint64_t width = std::uint64_t{s.heads} * s.head_dim;
  const std::uint64_t tile_width = std::uint64_t{s.tile_heads} * s.head_dim;
  return s.tokens < limit / 2 / width && tile_width <= kMaxTileElements &&
         s.tile_tokens <= kMaxTileElements / tile_width;
}

// Positions, and whether linear propagation can go through the tiles.
bool parse_positions(byte_reader& in, std::span<stream> streams) {
  if (!place_streams(streams, in.read<std::uint32_t>())) return false;
  const stream* first = nullptr;
  for (const stream& s : streams) {
    if (!s.is_tensor) continue;
    if (first == nullptr) first = &s;
    if (s.tile_heads != s.heads || s.tile_tokens != first->tile_tokens) return false;
  }
  return true;
}

bool parse_predictor(byte_reader& in, predictor_identity& p) {
  const auto name = in.take(in.read<std::uint8_t>());
  p.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  const auto fingerprint = in.take(p.fingerprint.size());
  if (!in.ok() || !is_name(p.name)) return false;
  std::ranges::copy(fingerprint, p.fingerprint.begin());
  return true;
}

result<done> parse_metadata(std::span<const std::byte> bytes, container& c) {
  byte_reader in(bytes);
  const auto streams = in.read<std::uint32_t>();
  const auto preamble = in.read<std::uint32_t>();
  const auto profile = in.read<std::uint32_t>();
  if (!in.ok() || streams > in.left() / kStreamBytes)
    return fail(status::corrupt, "metadata: more streams than bytes");
  std::uint64_t total = preamble;
  c.streams.reserve(streams);
  for (std::uint32_t i = 0; i < streams; ++i) {
    stream s;
    const auto is_tensor = in.read<std::uint8_t>();
    const auto kind = in.read<std::uint8_t>();
    const auto format_number = in.read<std::uint8_t>();
    const auto format = find_format(format_number);
    const auto reserved = in.read<std::uint8_t>();
    s.is_tensor = is_tensor == 1;
    s.id.layer = in.read<std::uint32_t>();
    const auto count = in.read<std::uint64_t>();
    (s.is_tensor ? s.tokens : s.opaque_bytes) = count;
    s.heads = in.read<std::uint32_t>();
    s.head_dim = in.read<std::uint32_t>();
    s.tile_tokens = in.read<std::uint32_t>();
    s.tile_heads = in.read<std::uint32_t>();
    s.id.kind = static_cast<tensor_kind>(kind);
    if (format) s.format = format->id;
    const bool known = s.is_tensor ? kind <= 2 && format.has_value()
                                   : kind == 0 && format_number == 0 && s.id.layer == 0;
    if (is_tensor > 1 || reserved != 0 || !known || !is_sound(s))
      return fail(status::corrupt, "metadata: stream " + std::to_string(i) + " makes no sense");
    total += s.bytes();
    if (total >= std::uint64_t{1} << 63)
      return fail(status::corrupt, "metadata: streams of more than 2^63 bytes");
    c.streams.push_back(s);
  }
  if (c.linear_base) {
    if (!parse_positions(in, c.streams))
      return fail(status::corrupt, "metadata: linear propagation cannot go through these streams");
    c.draft_hash = in.read<std::uint64_t>();
  }
  if (c.predictor && !parse_predictor(in, *c.predictor))
    return fail(status::corrupt, "metadata: its predictor has no name");
  const auto text = in.take(preamble);
  const auto embedded = in.take(profile);
  if (!in.ok() || in.left() != 0)
    return fail(status::corrupt, "metadata: their parts do not add up to their size");
  c.preamble.assign(text.begin(), text.end());
  c.embedded_profile.assign(embedded.begin(), embedded.end());
  return done{};
}

}  // namespace

std::uint64_t container::source_bytes() const {
  std::uint64_t n = preamble.size();
  for (const stream& s : streams) n += s.bytes();
  return n;
}

std::vector<std::byte> front_matter(const container& c) {
  const std::vector<std::byte> metadata = metadata_of(c);
  std::vector<std::byte> stored = zstd(metadata, kMetadataLevel);
  if (stored.empty() || stored.size() >= metadata.size() ||
      metadata.size() > kMaxExpansion * stored.size())
    stored = metadata;

  std::uint64_t file_bytes = kHeaderBytes + stored.size() + kRecordBytes * c.records.size();
  for (const tile_record& r : c.records) file_bytes += r.bytes();

  std::vector<std::byte> out;
  append(out, std::as_bytes(std::span(kMagic)));
  append(out, kContainerVersion);
  append(out, static_cast<std::uint16_t>((c.linear_base ? kLinearFeature : 0) |
                                         (c.predictor ? kPredictorFeature : 0)));
  append(out, file_bytes);
  append(out, c.profile);
  append(out, static_cast<std::uint32_t>(stored.size()));
  append(out, static_cast<std::uint32_t>(metadata.size()));
  append(out, static_cast<std::uint32_t>(c.records.size()));
  append(out, static_cast<std::uint8_t>(c.target));
  append(out, static_cast<std::uint8_t>(c.source));
  append(out, static_cast<std::uint8_t>(c.mean));
  append(out, static_cast<std::uint8_t>(c.linear_base.value_or(mean_source::none)));
  append(out, std::uint64_t{0});  // the checksum's place: it is computed with zeros here
  append(out, stored);
  for (const tile_record& r : c.records) {
    append(out, r.packed);
    append(out, r.data_hash);
    append(out, r.prediction_hash);
  }
  std::vector<std::byte> checksum;
  append(checksum, static_cast<std::uint64_t>(XXH3_64bits(out.data(), out.size())));
  std::ranges::copy(checksum, out.begin() + kChecksumAt);
  return out;
}

result<container> parse_container(std::span<const std::byte> file) {
  if (file.size() < kHeaderBytes)
    return fail(status::truncated, "shorter than the header of a .skv file");
  container c;
  byte_reader in(file);
  if (!std::ranges::equal(in.take(4), std::as_bytes(std::span(kMagic))))
    return fail(status::corrupt, "not a .skv file");
  if (const auto version = in.read<std::uint16_t>(); version != kContainerVersion)
    return fail(status::unsupported, "version " + std::to_string(version) +
                                         "; this build reads version " +
                                         std::to_string(kContainerVersion));
  const auto features = in.read<std::uint16_t>();
  const auto announced = in.read<std::uint64_t>();
  std::ranges::copy(in.take(16), c.profile.begin());
  const auto stored_bytes = in.read<std::uint32_t>();
  const auto metadata_bytes = in.read<std::uint32_t>();
  const auto tiles = in.read<std::uint32_t>();
  const auto target = find_format(in.read<std::uint8_t>());
  const auto source = in.read<std::uint8_t>();
  const auto mean = find_format(in.read<std::uint8_t>());
  const auto base = in.read<std::uint8_t>();
  const auto checksum = in.read<std::uint64_t>();

  if (file.size() < announced)
    return fail(status::truncated, std::to_string(file.size()) + " of " +
                                       std::to_string(announced) + " bytes are there");
  if (file.size() > announced) return fail(status::corrupt, "bytes after its end");
  const std::uint64_t front =
      kHeaderBytes + std::uint64_t{stored_bytes} + kRecordBytes * std::uint64_t{tiles};
  if (front > file.size()) return fail(status::corrupt, "its header names more than the file has");

  XXH3_state_t* const state = XXH3_createState();
  if (state == nullptr) throw std::bad_alloc();
  constexpr std::byte zeros[8] = {};
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, file.data(), kChecksumAt);
  XXH3_64bits_update(state, zeros, sizeof zeros);
  XXH3_64bits_update(state, file.data() + kHeaderBytes, front - kHeaderBytes);
  const std::uint64_t computed = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  if (computed != checksum)
    return fail(status::corrupt, "checksum mismatch: header, metadata or index were altered");

  if ((features & ~(kLinearFeature | kPredictorFeature)) != 0)
    return fail(status::unsupported, "needs a feature that this build lacks");
  if (!target || !mean || source > static_cast<std::uint8_t>(mean_source::given))
    return fail(status::unsupported, "unknown number format or predictor");
  if (!is_coded(target->id, static_cast<mean_source>(source), mean->id))
    return fail(status::corrupt, "no coding has its number formats and predictor");
  const bool is_linear = (features & kLinearFeature) != 0;
  if (!is_linear && base != 0) return fail(status::corrupt, "reserved bytes are not zero");
  if (is_linear) {
    c.linear_base = static_cast<mean_source>(base);
    const bool has_means = source == static_cast<std::uint8_t>(mean_source::given);
    if (!has_means || (*c.linear_base != mean_source::none && *c.linear_base != mean_source::given))
      return fail(status::corrupt, "linear propagation over a base that it cannot correct");
  }
  c.target = target->id;
  c.source = static_cast<mean_source>(source);
  c.mean = mean->id;
  if ((features & kPredictorFeature) != 0) {
    if (c.linear_base.value_or(c.source) != mean_source::given)
      return fail(status::corrupt, "a predictor of means that are not given");
    c.predictor.emplace();
  }

  const auto stored = in.take(stored_bytes);
  std::vector<std::byte> expanded;
  auto metadata = stored;
  if (metadata_bytes != stored_bytes) {
    if (metadata_bytes > kMaxExpansion * stored_bytes)
      return fail(status::corrupt, "metadata expand more than any encoder lets them");
    expanded.resize(metadata_bytes);
    if (!unzstd(stored, expanded)) return fail(status::corrupt, "metadata do not decompress");
    metadata = expanded;
  }
  if (auto parsed = parse_metadata(metadata, c); !parsed) return parsed.failure();
  if (count_tiles(c.streams) != tiles)
    return fail(status::corrupt, "the index has " + std::to_string(tiles) + " tiles, the streams " +
                                     std::to_string(count_tiles(c.streams)));
  c.tiles_begin = front;
  std::uint64_t end = front;
  c.records.reserve(tiles);
  for (std::uint32_t i = 0; i < tiles; ++i) {
    tile_record r;
    r.packed = in.read<std::uint32_t>();
    r.data_hash = in.read<std::uint32_t>();
    r.prediction_hash = in.read<std::uint32_t>();
    end += r.bytes();
    c.records.push_back(r);
  }
  if (end != file.size()) return fail(status::corrupt, "its tiles do not add up to its size");
  return c;
}

opaque_tile encode_opaque(std::span<const std::byte> chunk) {
  opaque_tile t;
  t.bytes = zstd(chunk, kOpaqueLevel);
  const bool smaller = !t.bytes.empty() && t.bytes.size() < chunk.size();
  if (!smaller) t.bytes.clear();
  t.record.packed = smaller ? tile_record::pack(tile_mode::coded, t.bytes.size())
                            : tile_record::pack(tile_mode::raw, chunk.size());
  t.record.data_hash = XXH32(chunk.data(), chunk.size(), 0);
  return t;
}

result<done> decode_opaque(const tile_record& record, std::span<const std::byte> bytes,
                           std::span<std::byte> chunk) {
  const bool is_raw = record.mode() == tile_mode::raw && bytes.size() == chunk.size();
  if (is_raw) std::ranges::copy(bytes, chunk.begin());
  const bool restored = is_raw || (record.mode() == tile_mode::coded && unzstd(bytes, chunk));
  if (!restored || record.tail_steps() != 0 || record.prediction_hash != 0 ||
      XXH32(chunk.data(), chunk.size(), 0) != record.data_hash)
    return fail(status::corrupt,
                "bytes beside the cache are damaged: they do not match their hash");
  return done{};
}

}  // namespace skv
