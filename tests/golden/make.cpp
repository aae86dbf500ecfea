// Writes the files of this folder: see README.md. Not built by default: they are never written
// anew, only added to when the format grows.
#include <skv/calibrate/calibrate.hpp>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "support/archives.hpp"
#include "support/cache_file.hpp"
#include "support/linear_models.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace {

using namespace skv;
using test::byte_string;
namespace fs = std::filesystem;

fs::path folder;

struct tensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  byte_string numbers, means;
};

const char* dtype_of(format_id f) {
  const char* const names[] = {"", "BF16", "F16", "F8_E4M3", "F8_E5M2"};
  return names[static_cast<int>(f)];
}

byte_string safetensors(const std::vector<tensor>& tensors, const char* dtype, bool means,
                        bool with_note, const byte_string* ids = nullptr) {
  std::vector<io::tensor_entry> entries;
  byte_string data;
  for (const tensor& t : tensors) {
    const byte_string& from = means ? t.means : t.numbers;
    entries.push_back({t.name, dtype, t.shape, data.size(), data.size() + from.size()});
    append(data, from);
  }
  if (with_note) {
    const std::string note =
        "Bytes beside the cache, bytes beside the cache, bytes beside the cache.";
    entries.push_back({"note", "U8", {note.size()}, data.size(), data.size() + note.size()});
    append(data, std::as_bytes(std::span(note)));
  }
  if (ids != nullptr) {
    entries.push_back({"tokens", "I32", {ids->size() / 4}, data.size(), data.size() + ids->size()});
    append(data, *ids);
  }
  const std::string header = io::make_header(entries, {{"made", "by tests/golden/make.cpp"}});
  byte_string file;
  append(file, std::as_bytes(std::span(header)));
  append(file, data);
  return file;
}

std::vector<tensor> synthetic_tensors(test::coding_id id, std::uint64_t tokens) {
  std::vector<tensor> tensors = {{"layers.0.k", {tokens, 2, 32}, {}, {}},
                                 {"layers.0.v", {tokens, 3, 15}, {}, {}}};
  for (tensor& t : tensors) {
    const auto data = test::synthetic(id, t.shape[0] * t.shape[1] * t.shape[2], 0.05, t.shape[2]);
    t.numbers = data.numbers;
    t.means = data.means;
  }
  return tensors;
}

profile_ptr fitted(test::coding_id id, const test::cache_file& source,
                   const test::cache_file& means) {
  calibrator c(id.target, id.source, id.mean);
  do
    for (std::size_t i = 0; i < source.tensors().size(); ++i) {
      const test::cached_tensor& t = source.tensors()[i];
      if (!c.add(t.id, t.tokens, t.heads, t.head_dim, source.rows(t),
                 means.rows(means.tensors()[i])))
        std::abort();
    }
  while (c.next_pass());
  return *c.finish();
}

// name.skv, name.safetensors and, as needed, name.reference.safetensors and name.skvp.
byte_string write(const std::string& name, test::coding_id id, const std::vector<tensor>& tensors,
                  bool embed, std::uint32_t tile_elements = 65536, bool split_heads = false,
                  const std::optional<predictor_identity>& predictor = std::nullopt) {
  const test::cache_file source(safetensors(tensors, dtype_of(id.target), false, true));
  const test::cache_file means(safetensors(tensors, dtype_of(id.mean), true, false));
  profile_ptr p = fitted(id, source, means);
  const byte_string attached = test::random_bytes(40, 2);
  if (predictor) {
    profile_content content = p->content();
    content.attachments = {{"a predictor's", attached}, {"empty", {}}};
    p = *profile::make(content);
  }
  container c = source.box(*p, tile_elements);
  c.predictor = predictor;
  if (split_heads)
    for (stream& s : c.streams)
      if (s.is_tensor) s.tile_heads = 1;
  if (embed) c.embedded_profile.assign(p->bytes().begin(), p->bytes().end());
  const auto file = test::pack(c, cpu::codec(p), source.bytes(), means.as_means());
  if (!file) std::abort();
  test::write_bytes(folder / (name + ".skv"), *file);
  if (!name.starts_with("reject"))
    test::write_bytes(folder / (name + ".safetensors"), source.bytes());
  if (!embed) test::write_bytes(folder / (name + ".skvp"), p->bytes());
  if (id.source == mean_source::given)
    test::write_bytes(folder / (name + ".reference.safetensors"), means.bytes());
  return *file;
}

void write_valid() {
  using enum format_id;
  using enum mean_source;
  const auto simple = [](const char* name, test::coding_id id, bool embed,
                         std::uint32_t tile_elements) {
    write(std::string("valid/") + name, id, synthetic_tensors(id, 24), embed, tile_elements);
  };
  simple("bf16_reference", {bf16, given, bf16}, false, 65536);
  simple("fp16_reference", {fp16, given, fp16}, true, 65536);
  simple("e4m3_reference", {e4m3, given, e4m3}, true, 500);
  simple("e4m3_bf16_reference", {e4m3, given, bf16}, true, 65536);
  simple("e5m2_fp16_reference", {e5m2, given, fp16}, true, 65536);
  simple("bf16_previous_token", {bf16, previous_token, bf16}, true, 65536);
  write("valid/bf16_named_predictor", {bf16, given, bf16},
        synthetic_tensors({bf16, given, bf16}, 24), true, 65536, false,
        predictor_identity{"a predictor", {std::byte{1}, std::byte{0xfe}}});
  simple("bf16_none", {bf16, none, bf16}, true, 65536);
  simple("fp16_none", {fp16, none, fp16}, true, 500);
  simple("e4m3_none", {e4m3, none, e4m3}, true, 65536);

  // Tiles that are raw, as predicted, of one number, and coded, one head each.
  auto tensors = synthetic_tensors({bf16, given, bf16}, 24);
  tensors[1] = tensors[0];
  tensors.push_back(tensors[0]);
  tensors.push_back(tensors[0]);
  for (std::size_t i = 0; i < 4; ++i) tensors[i].name = "layers." + std::to_string(i) + ".k";
  tensors[1].numbers = test::random_bytes(tensors[1].numbers.size(), 1);
  tensors[2].numbers = tensors[2].means;
  for (std::size_t i = 0; i < tensors[3].numbers.size(); ++i)
    tensors[3].numbers[i] = std::byte{static_cast<unsigned char>(i % 2 ? 0xc1 : 0x23)};
  write("valid/modes", {bf16, given, bf16}, tensors, true, 65536, true);
}

// Linear propagation, over bases with a profile beside the file, and over none, with outside rows:
// what they are made of is in name.outside.safetensors, the token ids in the source.
void write_linear(const std::string& name, const test::linear_case& c) {
  constexpr std::uint32_t kTokens = 24, kFirst = 1000;
  const test::random_outside outside(kTokens, 5);
  auto p = test::random_linear_profile(c);
  if (c.outside) p = test::with_hash(p, outside.table.hash());
  const auto rows = cpu::outside_rows::of(cpu::linear_steps(p), outside.inputs(),
                                          cpu::position_range{kFirst, kTokens});
  if (!rows) std::abort();
  // A window of 9 tokens in the middle.
  const std::vector<std::uint32_t> tokens{kTokens, kTokens, 9, 9, kTokens, kTokens};
  const test::predictable_numbers data(*rows, {kFirst, kTokens}, tokens, p->content(), 6);
  std::vector<tensor> tensors;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tensors.push_back({to_string(p->content().scales[i].id),
                       {tokens[i], c.heads, c.head_dim},
                       data.numbers[i],
                       data.bases[i]});
  const byte_string ids{std::as_bytes(std::span(outside.ids)).begin(),
                        std::as_bytes(std::span(outside.ids)).end()};
  byte_string with_ids = safetensors(tensors, dtype_of(c.id.target), false, false, &ids);
  const test::cache_file source(std::move(with_ids));
  const test::cache_file bases(safetensors(tensors, dtype_of(c.id.mean), true, false));
  container box = source.box(*p);
  if (!choose_linear_tiles(box.streams, 200, kFirst)) std::abort();
  box.linear_base = c.base;
  box.draft_hash = rows->draft_hash();
  if (c.outside) box.embedded_profile.assign(p->bytes().begin(), p->bytes().end());
  const auto file = test::pack(box, cpu::codec(p), source.bytes(), bases.as_means(), 1, &*rows);
  if (!file) std::abort();
  test::write_bytes(folder / (name + ".skv"), *file);
  test::write_bytes(folder / (name + ".safetensors"), source.bytes());
  if (!c.outside) test::write_bytes(folder / (name + ".skvp"), p->bytes());
  if (c.base == mean_source::given)
    test::write_bytes(folder / (name + ".reference.safetensors"), bases.bytes());
  if (!c.outside) return;
  const std::size_t table_bytes = outside.table_numbers.size();
  const std::string header = io::make_header({{"embedding", "BF16", {50, 10}, 0, table_bytes},
                                              {"layers.1.k",
                                               "F16",
                                               {kTokens, 3, 6},
                                               table_bytes,
                                               table_bytes + outside.draft_numbers.size()}});
  byte_string made;
  append(made, std::as_bytes(std::span(header)));
  append(made, outside.table_numbers);
  append(made, outside.draft_numbers);
  test::write_bytes(folder / (name + ".outside.safetensors"), made);
}

void write_linear() {
  test::linear_case c;
  c.shards = 2;
  c.rank = 3;
  write_linear("valid/linear_reference", c);
  c = {};
  c.id = {format_id::fp16, mean_source::given, format_id::fp16};
  c.base = mean_source::none;
  c.turns = test::pairing::interleaved;
  c.outside = true;
  write_linear("valid/linear_outside", c);
}

void write_rejected() {
  using enum format_id;
  using enum mean_source;
  const test::coding_id id{e4m3, none, e4m3};
  const byte_string good = write("reject/good", id, synthetic_tensors(id, 6), true);
  fs::remove(folder / "reject/good.skv");
  const container c = *parse_container(good);
  const byte_string p = c.embedded_profile;
  const auto cut = [](byte_string b, std::size_t size) {
    b.resize(size);
    return b;
  };
  const auto with = [](byte_string b, std::size_t at, unsigned flip, void (*seal)(byte_string&)) {
    b[at] ^= static_cast<std::byte>(flip);
    if (seal != nullptr) seal(b);
    return b;
  };
  const auto save = [](const char* name, const byte_string& b) {
    test::write_bytes(folder / "reject" / name, b);
  };
  const std::size_t records = c.tiles_begin - 12 * c.records.size();
  save("truncated/half.skv", cut(good, good.size() / 2));
  save("truncated/header.skv", cut(good, 55));
  save("truncated/last_byte.skv", cut(good, good.size() - 1));
  save("truncated/half.skvp", cut(p, p.size() / 2));
  save("corrupt/magic.skv", with(good, 0, 1, test::reseal));
  save("corrupt/checksum.skv", with(good, 48, 1, nullptr));
  save("corrupt/metadata.skv", with(good, 70, 1, nullptr));
  save("corrupt/metadata_resealed.skv", with(good, 60, 0x55, test::reseal));
  save("corrupt/tile.skv", with(good, c.tiles_begin + 200, 1, nullptr));
  save("corrupt/opaque.skv", with(good, good.size() - 3, 1, nullptr));
  save("corrupt/trailing.skv", cut(good, good.size() + 1));
  save("corrupt/tile_mode.skv", with(good, records + 3, 0x80, test::reseal));
  save("corrupt/tile_bytes.skv", with(good, records, 1, test::reseal));
  save("corrupt/tile_hash.skv", with(good, records + 4, 1, test::reseal));
  save("corrupt/reserved.skv", with(good, 47, 1, test::reseal));
  save("corrupt/tile_count.skv", with(good, 40, 1, test::reseal));
  save("corrupt/magic.skvp", with(p, 0, 1, test::reseal_profile));
  save("corrupt/checksum.skvp", with(p, p.size() - 1, 1, nullptr));
  save("corrupt/frequencies.skvp", with(p, p.size() - 10, 1, test::reseal_profile));
  save("corrupt/kind.skvp", with(p, 36, 8, test::reseal_profile));
  save("unsupported/version.skv", with(good, 4, 2, test::reseal));
  save("unsupported/features.skv", with(good, 7, 0x80, test::reseal));
  save("unsupported/format.skv", with(good, 44, 0x40, test::reseal));
  save("unsupported/predictor.skv", with(good, 45, 0x40, test::reseal));
  save("unsupported/version.skvp", with(p, 4, 2, test::reseal_profile));
  save("unsupported/features.skvp", with(p, 23, 0x80, test::reseal_profile));

  save("wrong_profile/other.skv", good);
  save("wrong_profile/other.skvp", with(p, 32 + 2 * 16, 1, test::reseal_profile));  // a scale
  const test::coding_id given_id{e4m3, given, e4m3};
  write("reject/wrong_prediction/other", given_id, synthetic_tensors(given_id, 6), true);
  const fs::path reference = folder / "reject/wrong_prediction/other.reference.safetensors";
  byte_string means = test::read_bytes(reference);
  means.back() ^= std::byte{1};
  test::write_bytes(reference, means);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  folder = argv[1];
  write_valid();
  write_linear();
  write_rejected();
  return 0;
}
