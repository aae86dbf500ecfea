#include "engine/anchors.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <skv/format/byte_io.hpp>
#include <string>

namespace engine {
namespace {

// Layout, little-endian: magic, version u16, reserved u16, layers u32, hidden u32, kv width u32;
// then for every layer and each of its two maps a u8, 1 if it is there, and then its scales, float
// [hidden], and its codes, i8 [inputs][hidden].
constexpr std::uint8_t kMagic[4] = {'S', 'K', 'V', 'A'};
constexpr std::uint16_t kVersion = 1;

using map_ptr = std::shared_ptr<const quantised_matrix>;

void append_map(std::vector<std::byte>& out, const map_ptr& map) {
  skv::append(out, static_cast<std::uint8_t>(map != nullptr));
  if (map == nullptr) return;
  for (std::uint32_t o = 0; o < map->outputs(); ++o)
    skv::append(out, std::bit_cast<std::uint32_t>(map->scales()[o]));
  for (std::uint32_t i = 0; i < map->inputs(); ++i)
    for (std::uint32_t o = 0; o < map->outputs(); ++o)
      skv::append(
          out, map->codes()[(std::size_t{o / kPanel} * map->inputs() + i) * kPanel + o % kPanel]);
}

// False if it makes no sense; `in` is not ok if it is cut short.
bool read_map(skv::byte_reader& in, std::uint32_t inputs, std::uint32_t outputs, map_ptr& map) {
  const auto is_there = in.read<std::uint8_t>();
  if (is_there == 0) return true;
  if (is_there != 1) return false;
  const std::uint64_t needed = std::uint64_t{outputs} * 4 + std::uint64_t{inputs} * outputs;
  if (needed > in.left()) {
    in.take(needed);
    return true;
  }
  std::vector<float> scales(quantised_matrix::scale_count(outputs, inputs, weight_format::int8));
  std::vector<std::uint8_t> codes(
      quantised_matrix::code_count(outputs, inputs, weight_format::int8));
  for (std::uint32_t o = 0; o < outputs; ++o) {
    scales[o] = std::bit_cast<float>(in.read<std::uint32_t>());
    if (!std::isfinite(scales[o])) return false;
  }
  for (std::uint32_t i = 0; i < inputs; ++i) {
    const auto row = in.take(outputs);
    for (std::uint32_t o = 0; o < outputs; ++o)
      codes[(std::size_t{o / kPanel} * inputs + i) * kPanel + o % kPanel] =
          std::to_integer<std::uint8_t>(row[o]);
  }
  map = std::make_shared<quantised_matrix>(outputs, inputs, weight_format::int8, std::move(codes),
                                           std::move(scales));
  return true;
}

}  // namespace

std::vector<std::byte> anchors::serialise(const model_config& config) const {
  std::vector<std::byte> out;
  skv::append(out, std::as_bytes(std::span(kMagic)));
  skv::append(out, kVersion);
  skv::append(out, std::uint16_t{0});
  skv::append(out, config.layers);
  skv::append(out, config.hidden);
  skv::append(out, config.kv_width());
  for (const layer_anchors& l : layers) {
    append_map(out, l.after_k);
    append_map(out, l.after_v);
  }
  return out;
}

skv::result<anchors> anchors::parse(std::span<const std::byte> bytes, const model_config& config) {
  skv::byte_reader in(bytes);
  const auto magic = in.take(4);
  const auto version = in.read<std::uint16_t>();
  const auto reserved = in.read<std::uint16_t>();
  const auto count = in.read<std::uint32_t>();
  const auto hidden = in.read<std::uint32_t>();
  const auto kv_width = in.read<std::uint32_t>();
  if (!in.ok()) return skv::fail(skv::status::truncated, "anchors: shorter than their header");
  if (std::memcmp(magic.data(), kMagic, 4) != 0 || reserved != 0)
    return skv::fail(skv::status::corrupt, "anchors: not what this engine attaches to a profile");
  if (version != kVersion)
    return skv::fail(skv::status::unsupported, "anchors: version " + std::to_string(version) +
                                                   ", this build reads version " +
                                                   std::to_string(kVersion));
  if (count != config.layers || hidden != config.hidden || kv_width != config.kv_width())
    return skv::fail(skv::status::wrong_profile, "anchors: for a model of another shape");
  anchors a;
  for (std::uint32_t l = 0; l < config.layers && in.ok(); ++l) {
    layer_anchors maps;
    if (!read_map(in, kv_width, hidden, maps.after_k) ||
        !read_map(in, 2 * kv_width, hidden, maps.after_v))
      return skv::fail(skv::status::corrupt, "anchors: a map makes no sense");
    a.layers.push_back(std::move(maps));
  }
  if (!in.ok()) return skv::fail(skv::status::truncated, "anchors: a map is cut short");
  if (in.left() != 0) return skv::fail(skv::status::corrupt, "anchors: bytes after their end");
  return a;
}

float root_mean_square(std::span<const float> row) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(row.size())));
}

void correct(workers& team, const matrix& map, std::span<const float> residuals,
             std::span<float> hidden) {
  const std::size_t width = map.outputs(), rows = hidden.size() / width;
  std::vector<float> corrections(hidden.size());
  multiply(team, map, residuals, static_cast<std::uint32_t>(rows), corrections);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = hidden.subspan(r * width, width);
    const float scale = root_mean_square(row);
    for (std::size_t i = 0; i < width; ++i) {
      const float corrected = row[i] + corrections[r * width + i] * scale;
      if (std::isfinite(corrected)) row[i] = corrected;
    }
  }
}

}  // namespace engine
