#include <fmt/format.h>

#include <limits>
#include <skv/predict/list.hpp>

#include "io/progress.hpp"
#include "program/commands.hpp"

namespace skv::program {
namespace {

// Compresses into nothing, for the size.
result<std::uint64_t> compressed_size(const cache& c, const cache* reference,
                                      const coding_choice& coding, const compress_options& o) {
  auto box = container_of(c, coding, o.tile_elements);
  if (!box) return box.failure();
  std::uint64_t bytes = 0;
  const auto written = cpu::write_archive(*box, cpu::codec(coding.profile), c.file.bytes(),
                                          means_from(reference, coding.profile->content().mean),
                                          [&](std::span<const std::byte> tile) -> result<done> {
                                            bytes += tile.size();
                                            return done{};
                                          },
                                          {o.threads, {}});
  if (!written) return in_file(c.path, written.failure());
  return bytes + front_matter(*box).size();
}

// What makes the smallest file: for each source, a profile fitted to the cache or the built-in one.
// A fitted one has a scale per channel, and in a cache of few tokens that is more than it saves.
result<coding_choice> smallest(const cache& c, const cache* reference, format_id mean,
                               const std::vector<mean_source>& sources, const compress_options& o) {
  const std::vector<cache_pair> pair = {{c.path, reference ? reference->path : fs::path(), {}}};
  coding_choice best;
  std::uint64_t best_size = std::numeric_limits<std::uint64_t>::max();
  for (const mean_source source : sources) {
    for (const bool fitted : {true, false}) {
      auto p =
          fitted ? fit_profile(pair, source, o.threads) : default_profile(c.format(), source, mean);
      if (!p) return p.failure();
      const coding_choice candidate{*p, true};
      const auto size = compressed_size(c, reference, candidate, o);
      if (!size) return size.failure();
      if (*size < best_size) {
        best = candidate;
        best_size = *size;
      }
    }
  }
  return best;
}

}  // namespace

std::string_view name_of(mean_source source) {
  switch (source) {
    case mean_source::none: return "none";
    case mean_source::previous_token: return "previous_token";
    case mean_source::given: return "reference";
  }
  return "unknown";
}

std::string name_of(const container& box) {
  const std::string base = box.predictor
                               ? box.predictor->name
                               : std::string(name_of(box.linear_base.value_or(box.source)));
  return box.linear_base ? base + "+linear" : base;
}

std::optional<mean_source> find_predictor(std::string_view name) {
  for (const mean_source s : {mean_source::none, mean_source::previous_token})
    if (name == name_of(s)) return s;
  return std::nullopt;
}

result<coding_choice> choose_coding(const cache& c, const cache* reference,
                                    const compress_options& o) {
  const auto wanted =
      reference != nullptr ? std::optional(mean_source::given) : find_predictor(o.predictor);
  if (!o.profile.empty()) {
    auto p = read_profile(o.profile);
    if (!p) return p.failure();
    const profile_content& content = (*p)->content();
    if (content.target != c.format())
      return fail(status::wrong_profile,
                  fmt::format("{}: made for {} numbers, {} has {}", o.profile.string(),
                              to_string(content.target), c.path.string(), to_string(c.format())));
    if (content.base() == mean_source::given && reference == nullptr)
      return fail(status::wrong_profile,
                  fmt::format("{}: made for caches with a reference: give one by --reference",
                              o.profile.string()));
    if (wanted && content.base() != *wanted)
      return fail(status::wrong_profile,
                  fmt::format("{}: made for the predictor {}, not for {}", o.profile.string(),
                              name_of(content.base()), name_of(*wanted)));
    return coding_choice{*p, o.embed_profile};
  }
  const format_id mean = reference != nullptr ? reference->format() : c.format();
  if (o.default_profile) {
    auto p = default_profile(c.format(), wanted.value_or(mean_source::none), mean);
    if (!p) return p.failure();
    return coding_choice{*p, true};
  }
  if (wanted) return smallest(c, reference, mean, {*wanted}, o);
  return smallest(c, reference, mean, {mean_source::none, mean_source::previous_token}, o);
}

result<container> container_of(const cache& c, const coding_choice& coding,
                               std::uint32_t tile_elements, std::uint32_t first_position) {
  const profile& p = *coding.profile;
  container box;
  box.profile = p.id();
  box.target = p.content().target;
  box.source = p.content().source;
  box.mean = p.content().mean;
  const auto header = c.file.bytes().first(c.data_begin);
  box.preamble.assign(header.begin(), header.end());
  if (coding.embed) box.embedded_profile.assign(p.bytes().begin(), p.bytes().end());
  std::optional<std::uint32_t> linear_position;
  if (p.content().linear) {
    box.linear_base = p.content().base();
    linear_position = first_position;
  }
  auto streams = streams_of(c, box.target, tile_elements, linear_position);
  if (!streams) return streams.failure();
  box.streams = *std::move(streams);
  box.records.resize(count_tiles(box.streams));
  return box;
}

result<std::optional<cpu::outside_rows>> set_outside(container& box, const profile_ptr& p,
                                                     const std::optional<embedding_file>& embedding,
                                                     const open_pair& opened) {
  if (!has_outside(*p)) return std::optional<cpu::outside_rows>();
  const auto material = material_of(embedding ? &*embedding : nullptr, opened.target,
                                    opened.draft ? &*opened.draft : nullptr);
  if (!material) return material.failure();
  auto rows = outside_rows_for(box, p, *material);
  if (rows && *rows) box.draft_hash = (*rows)->draft_hash();
  return rows;
}

result<done> compress(const compress_options& o) {
  const auto opened = open({o.input, o.reference, o.draft});
  if (!opened) return opened.failure();
  const cache& c = opened->target;
  // First: nobody wants to wait for a fit and then learn that its folder does not exist.
  auto out = create_output(o.output, {o.input, o.reference, o.profile, o.draft});
  if (!out) return out.failure();
  const auto coding = choose_coding(c, opened->means(), o);
  if (!coding) return coding.failure();
  auto box = container_of(c, *coding, o.tile_elements, o.first_position);
  if (!box) return box.failure();
  const auto embedding = open_embedding(o.embedding);
  if (!embedding) return embedding.failure();
  const auto outside = set_outside(*box, coding->profile, *embedding, *opened);
  if (!outside) return in_file(o.input, outside.failure());

  // The front matter has its final size, but not its records: it is written again at the end.
  if (auto ok = out->append(front_matter(*box)); !ok) return ok;
  io::progress bar("compressing", c.file.bytes().size());
  const auto written = cpu::write_archive(
      *box, cpu::codec(coding->profile), c.file.bytes(),
      means_from(opened->means(), coding->profile->content().mean),
      [&](std::span<const std::byte> tile) { return out->append(tile); },
      {o.threads, [&](std::uint64_t bytes) { bar.add(bytes); }}, *outside ? &**outside : nullptr);
  if (!written) return in_file(o.input, written.failure());
  if (auto ok = out->write_at(0, front_matter(*box)); !ok) return ok;
  const std::uint64_t compressed = out->size();
  if (auto ok = out->commit(); !ok) return ok;
  fmt::print("{}: {} -> {} bytes, {:.3f}x, predictor {}, profile {}{}\n", o.output.string(),
             c.file.bytes().size(), compressed,
             static_cast<double>(c.file.bytes().size()) / static_cast<double>(compressed),
             name_of(*box), to_string(box->profile),
             box->embedded_profile.empty() ? "" : " (embedded)");
  return done{};
}

}  // namespace skv::program
