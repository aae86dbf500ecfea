// A .skv file of any bytes: parsed and decoded without harm, with its embedded profile or else the
// built-in one of its coding, and zeros as its means.
#include <skv/cpu/archive.hpp>
#include <skv/predict/list.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <tuple>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace {

using namespace skv;

const cpu::codec* codec_of(const container& c) {
  static std::map<std::tuple<format_id, mean_source, format_id>, cpu::codec> codecs;
  const auto key = std::tuple(c.target, c.source, c.mean);
  if (const auto at = codecs.find(key); at != codecs.end()) return &at->second;
  const auto p = default_profile(c.target, c.source, c.mean);
  return p ? &codecs.emplace(key, cpu::codec(*p)).first->second : nullptr;
}

// Mutations hardly ever hit the checksum: it is made right, so that they reach what lies behind.
std::vector<std::byte> resealed(std::span<const std::byte> file) {
  std::vector<std::byte> copy(file.begin(), file.end());
  if (copy.size() < 56) return copy;
  const auto number_at = [&](std::size_t at) {
    std::uint64_t n = 0;
    for (std::size_t i = 4; i-- > 0;) n = n << 8 | std::to_integer<std::uint64_t>(copy[at + i]);
    return n;
  };
  std::fill_n(copy.begin() + 48, 8, std::byte{0});
  for (std::size_t i = 0; i < 8; ++i)
    copy[8 + i] = static_cast<std::byte>(copy.size() >> (8 * i) & 0xff);
  const std::uint64_t front = 56 + number_at(32) + 12 * number_at(40);
  const std::uint64_t sum = XXH3_64bits(copy.data(), std::min<std::uint64_t>(front, copy.size()));
  for (std::size_t i = 0; i < 8; ++i) copy[48 + i] = static_cast<std::byte>(sum >> (8 * i) & 0xff);
  return copy;
}

void read(std::span<const std::byte> file) {
  const auto c = parse_container(file);
  if (!c) return;
  const cpu::codec* coder = codec_of(*c);
  if (coder == nullptr) return;
  std::optional<cpu::codec> own;
  if (const auto p = profile::parse(c->embedded_profile)) coder = &own.emplace(*p);
  std::uint64_t largest = 0;
  for (const stream& s : c->streams) {
    if (s.bytes() > 1 << 26) return;  // small files may stand for large ones: that takes too long
    if (s.is_tensor) largest = std::max(largest, s.numbers());
  }
  static std::vector<std::byte> zeros;
  if (zeros.size() < 2 * largest) zeros.resize(2 * largest);
  const auto means = [&](const stream& s) -> result<row_view<const std::byte>> {
    return row_view<const std::byte>{zeros.data(),
                                     std::size_t{s.heads} * s.head_dim * coder->mean().bytes()};
  };
  const auto within = [&](std::uint64_t at, std::span<const std::byte> bytes) -> result<done> {
    if (at > c->source_bytes() || bytes.size() > c->source_bytes() - at) std::abort();
    return done{};
  };
  (void)cpu::read_archive(*c, *coder, file, means, within, {1, {}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  read(file);
  read(resealed(file));
  return 0;
}
