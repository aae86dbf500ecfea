// The files of tests/golden: written once, read for ever. See tests/golden/README.md.
#include <gtest/gtest.h>
#include <skv/calibrate/calibrate.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "support/archives.hpp"
#include "support/cache_file.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;
using test::byte_string;

std::vector<fs::path> files_in(const std::string& folder, const std::string& extension) {
  std::vector<fs::path> found;
  for (const auto& e : fs::recursive_directory_iterator(fs::path(SKV_TEST_GOLDEN) / folder))
    if (e.path().extension() == extension) found.push_back(e.path());
  std::ranges::sort(found);
  return found;
}

// name.skv with the profile name.skvp, or else the embedded one, and the means of
// name.reference.safetensors, if that is there.
result<byte_string> decode(const fs::path& path, cpu::isa set) {
  const byte_string file = test::read_bytes(path);
  const auto c = parse_container(file);
  if (!c) return c.failure();
  const fs::path beside = fs::path(path).replace_extension(".skvp");
  const auto p =
      profile::parse(fs::exists(beside) ? test::read_bytes(beside) : c->embedded_profile);
  if (!p) return p.failure();
  if ((*p)->id() != c->profile) return fail(status::wrong_profile, "another profile");
  const fs::path reference = fs::path(path).replace_extension(".reference.safetensors");
  std::optional<test::cache_file> means;
  if (fs::exists(reference)) means.emplace(test::read_bytes(reference));
  const auto read = [&](const cpu::outside_rows* outside) {
    return test::unpack(file, cpu::codec(*p, set), means ? means->as_means() : cpu::mean_lookup{},
                        1, outside);
  };
  const fs::path made_of = fs::path(path).replace_extension(".outside.safetensors");
  if (!fs::exists(made_of)) return read(nullptr);

  // The tables `embedding` and `layers.1.k`, a draft's; the ids are the last bytes of the source.
  const byte_string outside = test::read_bytes(made_of);
  const auto tables = *io::parse_safetensors(outside);
  const byte_string source = test::read_bytes(fs::path(path).replace_extension(".safetensors"));
  const io::tensor_entry ids_at = io::parse_safetensors(source)->tensors.back();
  EXPECT_EQ(ids_at.name, "tokens");
  const auto id_bytes = *cpu::read_opaque(*c, file, ids_at.begin, ids_at.end - ids_at.begin);
  std::vector<std::uint32_t> ids(id_bytes.size() / 4);
  std::memcpy(ids.data(), id_bytes.data(), id_bytes.size());
  const auto &e = tables.tensors[0], &d = tables.tensors[1];
  const cpu::embedding_table table(bf16, static_cast<std::uint32_t>(e.shape[0]),
                                   static_cast<std::uint32_t>(e.shape[1]),
                                   outside.data() + e.begin);
  const auto tokens = static_cast<std::uint32_t>(d.shape[0]);
  const std::vector<cpu::draft_tensor> draft = {
      {{1, tensor_kind::k}, format_id::fp16, tokens, 3, 6, {outside.data() + d.begin, 36}}};
  cpu::outside_inputs in;
  in.embedding = &table;
  in.ids = ids;
  in.draft = draft;
  const auto rows =
      cpu::outside_rows::of(cpu::linear_steps(*p, set), in, cpu::position_range{1000, tokens});
  if (!rows) return rows.failure();
  return read(&*rows);
}

constexpr cpu::isa kSets[] = {cpu::isa::scalar, cpu::isa::portable, cpu::isa::avx2,
                              cpu::isa::avx512};

TEST(golden, valid_files_are_restored) {
  const auto files = files_in("valid", ".skv");
  EXPECT_GE(files.size(), 7u);
  for (const fs::path& path : files)
    for (const cpu::isa set : kSets) {
      const auto restored = decode(path, set);
      ASSERT_TRUE(restored) << path << ": " << restored.failure().message;
      EXPECT_TRUE(*restored == test::read_bytes(fs::path(path).replace_extension(".safetensors")))
          << path << ", " << cpu::to_string(set);
    }
}

// The folder's name is the status.
TEST(golden, other_files_are_refused) {
  std::size_t count = 0;
  for (const fs::path& path : files_in("reject", ".skv"))
    for (const cpu::isa set : kSets) {
      const auto restored = decode(path, set);
      EXPECT_EQ(to_string(restored.code()), path.parent_path().filename().string()) << path;
      ++count;
    }
  for (const fs::path& path : files_in("reject", ".skvp")) {
    if (fs::exists(fs::path(path).replace_extension(".skv"))) continue;
    const auto p = profile::parse(test::read_bytes(path));
    EXPECT_EQ(to_string(p.code()), path.parent_path().filename().string()) << path;
    ++count;
  }
  EXPECT_GE(count, 20u);
}

// All modes of tiles and all sources of means occur among the valid files.
TEST(golden, valid_files_cover_the_format) {
  std::array<int, 4> modes{};
  std::array<int, 3> sources{};
  int embedded = 0, beside = 0, opaque = 0, split_heads = 0, tails = 0, named = 0, linear = 0,
      drafts = 0;
  for (const fs::path& path : files_in("valid", ".skv")) {
    const auto c = *parse_container(test::read_bytes(path));
    ++sources[static_cast<std::size_t>(c.source)];
    ++(c.embedded_profile.empty() ? beside : embedded);
    named += c.predictor.has_value();
    linear += c.linear_base.has_value();
    drafts += c.draft_hash != 0;
    std::size_t tile = 0;
    for (const stream& s : c.streams)
      for (std::uint64_t i = 0; i < s.tiles(); ++i, ++tile) {
        opaque += !s.is_tensor;
        split_heads += s.is_tensor && s.tile_heads < s.heads;
        if (s.is_tensor) ++modes[static_cast<std::size_t>(c.records[tile].mode())];
        tails += c.records[tile].tail_steps() > 0;
      }
  }
  for (const int n : modes) EXPECT_GT(n, 0);
  for (const int n : sources) EXPECT_GT(n, 0);
  for (const int n : {embedded, beside, opaque, split_heads, tails, named, linear, drafts})
    EXPECT_GT(n, 0);
}

}  // namespace
}  // namespace skv
