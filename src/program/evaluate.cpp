#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "program/commands.hpp"

namespace skv::program {
namespace {

struct tally {
  std::uint64_t numbers = 0, bytes = 0;

  double bits() const {
    return numbers == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(numbers);
  }
  double ratio(format_id format) const {
    const double width = find_format(static_cast<std::uint8_t>(format))->bits();
    return bytes == 0 ? 0 : width / bits();
  }
};

struct report {
  std::map<tensor_id, tally> tensors;  // tiles and their records
  tally total;                         // whole files, less a profile and the bytes carried along
  format_id format{};
  std::string predictor;
  std::size_t files = 0;
};

result<done> add(report& r, const cache_pair& pair, const std::optional<embedding_file>& embedding,
                 const evaluate_options& o) {
  const auto opened = open(pair);
  if (!opened) return opened.failure();
  const cache& c = opened->target;
  compress_options as;
  as.profile = o.profile;
  as.predictor = o.predictor;
  const auto coding = choose_coding(c, opened->means(), as);
  if (!coding) return coding.failure();
  auto box = container_of(c, {coding->profile, false}, o.tile_elements);
  if (!box) return box.failure();
  const auto outside = set_outside(*box, coding->profile, embedding, *opened);
  if (!outside) return in_file(pair.target, outside.failure());
  std::uint64_t bytes = 0;
  const auto written = cpu::write_archive(
      *box, cpu::codec(coding->profile), c.file.bytes(), means_from(opened->means(), box->mean),
      [&](std::span<const std::byte> tile) -> result<done> {
        bytes += tile.size();
        return done{};
      },
      {o.threads, {}}, *outside ? &**outside : nullptr);
  if (!written) return in_file(pair.target, written.failure());

  std::size_t tile = 0;
  for (const stream& s : box->streams) {
    std::uint64_t stored = 0;
    for (std::uint64_t i = 0; i < s.tiles(); ++i) stored += box->records[tile++].bytes();
    if (!s.is_tensor) {
      bytes -= stored;
      continue;
    }
    tally& t = r.tensors[s.id];
    t.numbers += s.numbers();
    t.bytes += stored + s.tiles() * sizeof(tile_record);
    r.total.numbers += s.numbers();
  }
  r.total.bytes += bytes + front_matter(*box).size();
  r.format = box->target;
  r.predictor = name_of(*box);
  ++r.files;
  return done{};
}

void print_json(const report& r) {
  nlohmann::ordered_json j;
  j["files"] = r.files;
  j["format"] = to_string(r.format);
  j["predictor"] = r.predictor;
  j["scalars"] = r.total.numbers;
  j["bytes"] = r.total.bytes;
  j["bits_per_scalar"] = r.total.bits();
  j["ratio"] = r.total.ratio(r.format);
  auto& layers = j["tensors"] = nlohmann::ordered_json::array();
  for (const auto& [id, t] : r.tensors)
    layers.push_back({{"layer", id.layer},
                      {"kind", to_string(id.kind)},
                      {"scalars", t.numbers},
                      {"bytes", t.bytes},
                      {"bits_per_scalar", t.bits()},
                      {"ratio", t.ratio(r.format)}});
  fmt::print("{}\n", j.dump(2));
}

void print_table(const report& r) {
  fmt::print("{:<20} {:>12} {:>12} {:>8}\n", "tensor", "scalars", "bits/scalar", "ratio");
  for (const auto& [id, t] : r.tensors)
    fmt::print("{:<20} {:>12} {:>12.3f} {:>7.2f}x\n", to_string(id), t.numbers, t.bits(),
               t.ratio(r.format));
  fmt::print("{:<20} {:>12} {:>12.3f} {:>7.2f}x   whole files, profile not counted\n", "all",
             r.total.numbers, r.total.bits(), r.total.ratio(r.format));
}

}  // namespace

result<done> evaluate(const evaluate_options& o) {
  const auto pairs = pair_up(o.target, o.reference, o.draft);
  if (!pairs) return pairs.failure();
  const auto embedding = open_embedding(o.embedding);
  if (!embedding) return embedding.failure();
  report r;
  for (const cache_pair& pair : *pairs)
    if (auto ok = add(r, pair, *embedding, o); !ok) return ok;
  o.json ? print_json(r) : print_table(r);
  return done{};
}

}  // namespace skv::program
