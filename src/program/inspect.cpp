#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "program/commands.hpp"

namespace skv::program {

result<done> inspect(const inspect_options& o) {
  const auto file = io::mapped_file::open(o.input);
  if (!file) return file.failure();
  const auto parsed = parse_container(file->bytes());
  if (!parsed) return in_file(o.input, parsed.failure());
  const container& box = *parsed;

  nlohmann::ordered_json streams = nlohmann::ordered_json::array();
  std::uint64_t tokens = 0, numbers = 0, number_bytes = 0, carried_bytes = 0;
  std::size_t tile = 0;
  for (const stream& s : box.streams) {
    std::uint64_t bytes = 0;
    std::array<std::uint64_t, 4> modes{};
    for (std::uint64_t i = 0; i < s.tiles(); ++i, ++tile) {
      bytes += box.records[tile].bytes();
      ++modes[static_cast<std::size_t>(box.records[tile].mode())];
    }
    if (!s.is_tensor) {
      streams.push_back({{"opaque_bytes", s.opaque_bytes}, {"stored_bytes", bytes}});
      carried_bytes += s.opaque_bytes;
      continue;
    }
    tokens = std::max(tokens, s.tokens);
    numbers += s.numbers();
    number_bytes += s.bytes();
    streams.push_back(
        {{"tensor", to_string(s.id)},
         {"format", to_string(s.format)},
         {"shape", {s.tokens, s.heads, s.head_dim}},
         {"tile", {s.tile_tokens, s.tile_heads, s.head_dim}},
         {"stored_bytes", bytes},
         {"bits_per_scalar", 8.0 * static_cast<double>(bytes) / static_cast<double>(s.numbers())},
         {"tiles",
          {{"raw", modes[0]},
           {"coded", modes[1]},
           {"prediction", modes[2]},
           {"constant", modes[3]}}}});
  }
  const double ratio =
      static_cast<double>(box.source_bytes()) / static_cast<double>(file->bytes().size());
  if (o.json) {
    nlohmann::ordered_json j = {{"version", kContainerVersion},
                                {"file_bytes", file->bytes().size()},
                                {"source_bytes", box.source_bytes()},
                                {"ratio", ratio},
                                {"tokens", tokens},
                                {"scalars", numbers},
                                {"format", to_string(box.target)},
                                {"predictor", name_of(box)},
                                {"mean_format", to_string(box.mean)},
                                {"profile", to_string(box.profile)},
                                {"profile_embedded", !box.embedded_profile.empty()},
                                {"carried_bytes", carried_bytes},
                                {"streams", std::move(streams)}};
    if (box.predictor) j["predictor_fingerprint"] = to_string(box.predictor->fingerprint);
    fmt::print("{}\n", j.dump(2));
    return done{};
  }
  fmt::print("{}: .skv version {}, {} -> {} bytes, {:.3f}x\n", o.input.string(), kContainerVersion,
             box.source_bytes(), file->bytes().size(), ratio);
  fmt::print("{} tokens, {} {} numbers, predictor {}, {} other bytes\n", tokens, numbers,
             to_string(box.target), name_of(box), carried_bytes);
  if (box.predictor) fmt::print("predictor {}\n", describe(*box.predictor));
  fmt::print("profile {}{}\n", to_string(box.profile),
             box.embedded_profile.empty() ? "" : ", embedded");
  fmt::print("{:<16} {:<6} {:<20} {:>6} {:>12} {:>8}\n", "tensor", "format", "shape", "tiles",
             "bytes", "bits");
  for (const stream& s : box.streams) {
    if (!s.is_tensor) continue;
    const auto& j = *std::ranges::find_if(streams, [&](const auto& e) {
      return e.contains("tensor") && e["tensor"] == to_string(s.id);
    });
    fmt::print("{:<16} {:<6} {:<20} {:>6} {:>12} {:>8.3f}\n", to_string(s.id), to_string(s.format),
               fmt::format("[{}, {}, {}]", s.tokens, s.heads, s.head_dim), s.tiles(),
               j["stored_bytes"].template get<std::uint64_t>(),
               j["bits_per_scalar"].template get<double>());
  }
  return done{};
}

}  // namespace skv::program
