#include "engine/compressed_cache.hpp"

#include <bit>
#include <cmath>
#include <skv/cpu/layered_archive.hpp>
#include <skv/format/byte_io.hpp>

#include "engine/propagation.hpp"
#include "io/safetensors.hpp"

namespace engine {
namespace {

using skv::fail;
using skv::result;
using skv::status;

constexpr std::uint32_t kTileElements = 65536;

const char* kind_name(skv::tensor_id t) { return t.kind == skv::tensor_kind::k ? ".k" : ".v"; }

std::string name_of(skv::tensor_id t) { return "layers." + std::to_string(t.layer) + kind_name(t); }

// The header of the safetensors file: tokens and scales first, for what needs them comes behind.
std::string header_of(const model_config& config, std::uint64_t tokens,
                      const cache_format& format) {
  std::vector<skv::io::tensor_entry> entries;
  std::uint64_t at = 0;
  const auto add = [&](std::string name, const char* type, std::vector<std::uint64_t> shape,
                       std::uint64_t bytes) {
    entries.push_back({std::move(name), type, std::move(shape), at, at + bytes});
    at += bytes;
  };
  const bool is_bf16 = format.id == skv::format_id::bf16;
  add("tokens", "I32", {tokens}, 4 * tokens);
  for (const skv::tensor_id t : tensors_of(config))
    if (!is_bf16) add(name_of(t) + ".scale", "F32", {1}, 4);
  for (const skv::tensor_id t : tensors_of(config))
    add(name_of(t), is_bf16 ? "BF16" : "F8_E4M3", {tokens, config.kv_heads, config.head_dim},
        tokens * config.kv_width() * format.number_bytes());
  return skv::io::make_header(entries, {});
}

std::vector<std::byte> beside_of(const sequence_cache& cache) {
  std::vector<std::byte> bytes;
  for (const std::int32_t t : cache.tokens) skv::append(bytes, static_cast<std::uint32_t>(t));
  for (const float s : cache.format.scales) skv::append(bytes, std::bit_cast<std::uint32_t>(s));
  return bytes;
}

result<skv::container> container_of(const predictor_model& m, const skv::profile& p,
                                    std::uint64_t tokens, const cache_format& format,
                                    std::uint64_t beside_bytes) {
  const model_config& config = m.weights().config;
  skv::container c;
  c.profile = p.id();
  c.target = p.content().target;
  c.source = p.content().source;
  c.mean = p.content().mean;
  if (p.content().linear) c.linear_base = p.content().base();
  c.predictor = m.identity();
  const std::string header = header_of(config, tokens, format);
  const auto text = std::as_bytes(std::span(header));
  c.preamble.assign(text.begin(), text.end());
  skv::stream beside;
  beside.opaque_bytes = beside_bytes;
  c.streams.push_back(beside);
  for (const skv::tensor_id t : tensors_of(config)) {
    skv::stream s;
    s.is_tensor = true;
    s.id = t;
    s.format = format.id;
    s.tokens = tokens;
    s.heads = config.kv_heads;
    s.head_dim = config.head_dim;
    if (auto ok = choose_tiles(s, kTileElements); !ok) return ok.failure();
    c.streams.push_back(s);
  }
  if (c.linear_base)
    if (auto ok = choose_linear_tiles(c.streams, kTileElements, 0); !ok) return ok.failure();
  c.records.resize(count_tiles(c.streams));
  return c;
}

}  // namespace

sequence_cache cache_of(const recording& r, const cache_format& format) {
  sequence_cache cache{r.tokens, format, {}};
  for (std::uint32_t l = 0; l < r.layers.size(); ++l)
    for (const auto kind : {skv::tensor_kind::k, skv::tensor_kind::v})
      cache.tensors.push_back(r.kept({l, kind}, format));
  return cache;
}

result<std::vector<std::byte>> compress(const predictor_model& m, workers& team,
                                        const skv::profile_ptr& p, const sequence_cache& cache) {
  auto predictor = model_predictor::start(m, team, cache.tokens, cache.format);
  if (!predictor) return predictor.failure();
  const std::vector<std::byte> beside = beside_of(cache);
  auto c = container_of(m, *p, cache.tokens.size(), cache.format, beside.size());
  if (!c) return c.failure();
  const skv::cpu::codec coder(p);
  std::vector<std::byte> tiles;
  auto out = skv::cpu::archive_writer::begin(
      *std::move(c), coder,
      [&](std::span<const std::byte> bytes) -> result<skv::done> {
        skv::append(tiles, bytes);
        return skv::done{};
      },
      team.threads());
  if (!out) return out.failure();
  if (auto ok = out->write_opaque(beside); !ok) return ok.failure();
  const std::size_t row_bytes =
      std::size_t{m.weights().config.kv_width()} * cache.format.number_bytes();
  auto ok = with_propagation(p, predictor_ref(**predictor), cache.tokens.size(),
                             [&](auto& q) -> result<skv::done> {
                               for (const auto& tensor : cache.tensors)
                                 if (auto done = out->write(q, {tensor.data(), row_bytes}); !done)
                                   return done;
                               return skv::done{};
                             });
  if (!ok) return ok.failure();
  auto file = out->finish();
  if (!file) return file.failure();
  skv::append(*file, tiles);
  return *std::move(file);
}

result<sequence_cache> restore(const predictor_model& m, workers& team, const skv::profile_ptr& p,
                               std::span<const std::byte> file) {
  const auto c = skv::parse_container(file);
  if (!c) return c.failure();
  const skv::cpu::codec coder(p);
  auto in = skv::cpu::archive_reader::begin(*c, coder, file, m.identity(), team.threads());
  if (!in) return in.failure();

  const model_config& config = m.weights().config;
  const std::size_t tensors = 2 * std::size_t{config.layers};
  const auto no_cache = fail(status::corrupt, "not a cache of this model");
  if (c->streams.size() != 1 + tensors || c->streams[0].is_tensor) return no_cache;
  sequence_cache cache;
  cache.format.id = c->target;
  const std::uint64_t tokens = c->streams[1].tokens;
  const std::size_t scales = c->target == skv::format_id::bf16 ? 0 : tensors;
  if (c->streams[0].opaque_bytes != 4 * (tokens + scales)) return no_cache;
  const auto beside = in->read_opaque();
  if (!beside) return beside.failure();
  skv::byte_reader numbers(*beside);
  for (std::uint64_t i = 0; i < tokens; ++i)
    cache.tokens.push_back(static_cast<std::int32_t>(numbers.read<std::uint32_t>()));
  for (std::size_t i = 0; i < scales; ++i) {
    cache.format.scales.push_back(std::bit_cast<float>(numbers.read<std::uint32_t>()));
    if (!(cache.format.scales.back() > 0) || !std::isfinite(cache.format.scales.back()))
      return no_cache;
  }
  const auto expected = container_of(m, *p, tokens, cache.format, beside->size());
  if (!expected || expected->streams != c->streams || expected->preamble != c->preamble)
    return no_cache;

  auto predictor = model_predictor::start(m, team, cache.tokens, cache.format);
  if (!predictor) return predictor.failure();
  const std::size_t row_bytes = std::size_t{config.kv_width()} * cache.format.number_bytes();
  auto ok =
      with_propagation(p, predictor_ref(**predictor), tokens, [&](auto& q) -> result<skv::done> {
        while (in->next() != nullptr) {
          cache.tensors.emplace_back(tokens * row_bytes);
          if (auto done = in->read(q, {cache.tensors.back().data(), row_bytes}); !done) return done;
        }
        return skv::done{};
      });
  if (!ok) return ok.failure();
  return cache;
}

std::uint64_t cache_bytes(const skv::container& c, std::uint64_t file_bytes) {
  std::size_t tile = 0;
  for (const skv::stream& s : c.streams)
    for (std::uint64_t i = 0; i < s.tiles(); ++i, ++tile)
      if (!s.is_tensor) file_bytes -= c.records[tile].bytes();
  return file_bytes;
}

}  // namespace engine
