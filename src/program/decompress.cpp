#include <fmt/format.h>

#include "io/progress.hpp"
#include "program/commands.hpp"

namespace skv::program {
namespace {

// The profile that a container names: given or embedded.
result<profile_ptr> profile_for(const container& box, const fs::path& given) {
  result<profile_ptr> found =
      fail(status::wrong_profile,
           fmt::format("needs the profile {}: give it by --profile", to_string(box.profile)));
  if (!given.empty())
    found = read_profile(given);
  else if (!box.embedded_profile.empty())
    found = profile::parse(box.embedded_profile);
  if (!found) return found;
  if ((*found)->id() != box.profile)
    return fail(status::wrong_profile,
                fmt::format("was compressed with the profile {}, {} is {}", to_string(box.profile),
                            given.empty() ? "the embedded one" : given.string(),
                            to_string((*found)->id())));
  const profile_content& content = (*found)->content();
  if (content.target != box.target || content.source != box.source || content.mean != box.mean ||
      box.linear_base != (content.linear ? std::optional(content.base()) : std::nullopt))
    return fail(status::corrupt, "its header contradicts its profile");
  return found;
}

struct opened {
  io::mapped_file file;
  container box;
  profile_ptr profile;
  std::optional<cache> reference, draft;
  std::optional<embedding_file> embedding;
  std::optional<cpu::outside_rows> outside;  // borrows from the two above
};

// What the profile's outside rows are made of, if it has any.
result<done> open_outside(opened& a, const decompress_options& o) {
  if (!has_outside(*a.profile)) return done{};
  outside_material material;
  auto embedding = open_embedding(o.embedding);
  if (!embedding) return embedding.failure();
  if (*embedding) {
    a.embedding = **std::move(embedding);
    material.embedding = &*a.embedding;
    auto ids = token_ids(a.box, a.file.bytes());
    if (!ids) return in_file(o.input, ids.failure());
    material.ids = *std::move(ids);
  }
  if (!o.draft.empty()) {
    auto draft = open_cache(o.draft);
    if (!draft) return draft.failure();
    a.draft = *std::move(draft);
    auto tensors = draft_tensors(*a.draft);
    if (!tensors) return tensors.failure();
    material.draft = *std::move(tensors);
    material.draft_name = o.draft.string();
  }
  auto rows = outside_rows_for(a.box, a.profile, material);
  if (!rows) return in_file(o.input, rows.failure());
  a.outside = *std::move(rows);
  return done{};
}

result<opened> open_archive(const decompress_options& o) {
  auto file = io::mapped_file::open(o.input);
  if (!file) return file.failure();
  auto box = parse_container(file->bytes());
  if (!box) return in_file(o.input, box.failure());
  auto profile = profile_for(*box, o.profile);
  if (!profile) return in_file(o.input, profile.failure());
  opened a{*std::move(file), *std::move(box), *profile, {}, {}, {}, {}};
  if (a.box.linear_base.value_or(a.box.source) == mean_source::given) {
    if (o.reference.empty() && a.box.predictor)
      return fail(
          status::invalid_argument,
          fmt::format("{}: was compressed with the predictor {}: give its means by --reference",
                      o.input.string(), describe(*a.box.predictor)));
    if (o.reference.empty())
      return fail(
          status::invalid_argument,
          o.input.string() + ": was compressed with a reference: give the same one by --reference");
    auto r = open_cache(o.reference);
    if (!r) return r.failure();
    a.reference = *std::move(r);
  }
  if (auto ok = open_outside(a, o); !ok) return ok.failure();
  return a;
}

result<done> decode(const opened& a, const decompress_options& o, std::string_view doing,
                    const cpu::placed_byte_sink& sink) {
  io::progress bar(doing, a.box.source_bytes());
  const auto restored = cpu::read_archive(
      a.box, cpu::codec(a.profile), a.file.bytes(),
      means_from(a.reference ? &*a.reference : nullptr, a.box.mean), sink,
      {o.threads, [&](std::uint64_t bytes) { bar.add(bytes); }}, a.outside ? &*a.outside : nullptr);
  if (!restored) return in_file(o.input, restored.failure());
  return restored;
}

}  // namespace

result<profile_ptr> read_profile(const fs::path& path) {
  auto opened = io::mapped_file::open(path);
  if (!opened) return opened.failure();
  const auto file = std::make_shared<const io::mapped_file>(*std::move(opened));
  auto p = profile::parse(file->bytes(), file);
  if (!p) return in_file(path, p.failure());
  return p;
}

result<done> decompress(const decompress_options& o) {
  const auto a = open_archive(o);
  if (!a) return a.failure();
  auto out = create_output(o.output, {o.input, o.reference, o.profile, o.draft});
  if (!out) return out.failure();
  const auto restored =
      decode(*a, o, "decompressing", [&](std::uint64_t offset, std::span<const std::byte> bytes) {
        return out->write_at(offset, bytes);
      });
  if (!restored) return restored;
  if (out->size() != a->box.source_bytes())
    return fail(status::corrupt, o.input.string() + ": restored to an unexpected size");
  if (auto ok = out->commit(); !ok) return ok;
  fmt::print("{}: restored, {} bytes\n", o.output.string(), a->box.source_bytes());
  return done{};
}

result<done> verify(const decompress_options& o) {
  const auto a = open_archive(o);
  if (!a) return a.failure();
  const auto restored =
      decode(*a, o, "verifying",
             [](std::uint64_t, std::span<const std::byte>) -> result<done> { return done{}; });
  if (!restored) return restored;
  fmt::print("{}: ok, {} tiles restore {} bytes\n", o.input.string(), a->box.records.size(),
             a->box.source_bytes());
  return done{};
}

}  // namespace skv::program
