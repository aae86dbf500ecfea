// The examples of docs/format.md are what the library writes and reads, and a decoder written from
// that document alone (reference_decoder.py) reads what the library writes.
#include <gtest/gtest.h>
#include <skv/calibrate/calibrate.hpp>
#include <skv/cpu/archive.hpp>

#include <zstd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>

#include "support/archives.hpp"
#include "support/linear_models.hpp"
#include "support/tile_case.hpp"

namespace skv {
namespace {

namespace fs = std::filesystem;
using bytes = std::vector<std::byte>;

const std::string kDocument = SKV_TEST_DATA "/../../docs/format.md";
const std::string kDecoder = SKV_TEST_DATA "/../format/reference_decoder.py";

// The blocks that start with "```hex NAME"; semicolons begin comments.
std::map<std::string, bytes> hex_blocks() {
  std::map<std::string, bytes> blocks;
  std::ifstream document(kDocument);
  std::string line, name;
  while (std::getline(document, line)) {
    if (line.starts_with("```")) {
      name = line.starts_with("```hex ") ? line.substr(7) : "";
    } else if (!name.empty()) {
      std::istringstream digits(line.substr(0, line.find(';')));
      for (std::string byte; digits >> byte;)
        blocks[name].push_back(static_cast<std::byte>(std::stoul(byte, nullptr, 16)));
    }
  }
  return blocks;
}

bytes operator+(bytes a, const bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct example {
  std::map<std::string, bytes> block = hex_blocks();
  bytes profile_bytes, source;
  profile_ptr used;

  example() {
    profile_bytes = block["profile-head"];
    for (int context = 0; context < 24; ++context)
      profile_bytes = profile_bytes + block[context < 20 ? "profile-row-0" : "profile-row-20"];
    profile_bytes = profile_bytes + block["profile-checksum"];
    if (auto p = profile::parse(profile_bytes)) used = *p;
    for (const char c : std::string("{\"doc\": 1}")) source.push_back(static_cast<std::byte>(c));
    source = source + block["numbers"];
    for (const char c : std::string("tail\n")) source.push_back(static_cast<std::byte>(c));
  }
  row_view<const std::byte> rows(const char* name) const { return {block.at(name).data(), 80}; }
  tile_record record() const {
    tile_record r;
    std::memcpy(&r, block.at("record").data(), sizeof r);
    return r;
  }
};

cpu::tile_slice example_slice() { return {{0, tensor_kind::k}, 1, 40, 0, 1, 2}; }

TEST(specification, profile_is_named_as_written) {
  const example e;
  ASSERT_NE(e.used, nullptr);
  EXPECT_EQ(to_string(e.used->id()), "73060552aa09923522dc4402d226686f");
  EXPECT_TRUE(std::ranges::equal(e.used->bytes(), e.profile_bytes));
}

TEST(specification, tile_is_coded_as_written) {
  const example e;
  ASSERT_NE(e.used, nullptr);
  for (const cpu::isa set : {cpu::isa::scalar, cpu::best_isa()}) {
    const cpu::codec codec(e.used, set);
    bytes tile(160), numbers(160);
    const auto record = codec.encode(example_slice(), e.rows("numbers"), e.rows("means"), tile);
    ASSERT_TRUE(record);
    EXPECT_EQ(*record, e.record());
    tile.resize(record->bytes());
    EXPECT_EQ(tile, e.block.at("tile"));
    ASSERT_TRUE(codec.decode(example_slice(), e.record(), e.block.at("tile"), e.rows("means"),
                             {numbers.data(), 80}));
    EXPECT_EQ(numbers, e.block.at("numbers"));
  }
}

TEST(specification, file_is_read_and_its_parts_are_written) {
  const example e;
  ASSERT_NE(e.used, nullptr);
  const bytes& file = e.block.at("skv");
  const auto box = parse_container(file);
  ASSERT_TRUE(box) << box.failure().message;
  EXPECT_EQ(box->profile, e.used->id());
  ASSERT_EQ(box->streams.size(), 2u);
  EXPECT_EQ(box->records[0], e.record());

  const cpu::codec codec(e.used);
  const cpu::mean_lookup means = [&](const stream&) -> result<row_view<const std::byte>> {
    return e.rows("means");
  };
  bytes restored(e.source.size());
  ASSERT_TRUE(
      cpu::read_archive(*box, codec, file, means,
                        [&](std::uint64_t at, std::span<const std::byte> b) -> result<done> {
                          std::ranges::copy(b, restored.begin() + static_cast<std::ptrdiff_t>(at));
                          return done{};
                        }));
  EXPECT_EQ(restored, e.source);

  container written = *box;
  bytes tiles;
  ASSERT_TRUE(cpu::write_archive(written, codec, e.source, means,
                                 [&](std::span<const std::byte> b) -> result<done> {
                                   tiles.insert(tiles.end(), b.begin(), b.end());
                                   return done{};
                                 }));
  EXPECT_EQ(written.records, box->records);
  EXPECT_TRUE(std::ranges::equal(tiles, std::span(file).subspan(box->tiles_begin)));
  const bytes front = front_matter(written);  // may differ: zstd shrinks the metadata
  const auto again = parse_container(front + tiles);
  ASSERT_TRUE(again) << again.failure().message;
  EXPECT_EQ(again->streams, box->streams);
  EXPECT_EQ(again->preamble, box->preamble);
}

// --- the decoder that knows nothing but the document ------------------------------------

class reference_decoder : public testing::Test {
 protected:
  fs::path folder;

  void SetUp() override {
    if (std::system("python3 -c pass >/dev/null 2>&1") != 0) GTEST_SKIP() << "no python3";
    folder =
        fs::temp_directory_path() / ("skv_specification_" + std::to_string(std::random_device{}()));
    fs::create_directories(folder);
  }
  void TearDown() override {
    if (!folder.empty()) fs::remove_all(folder);
  }

  std::string put(const char* name, std::span<const std::byte> b) {
    const fs::path path = folder / name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(b.data()), static_cast<std::streamsize>(b.size()));
    return "'" + path.string() + "'";
  }
  /// What the decoder restores; nothing if it fails.
  bytes run(const std::string& arguments, const std::string& behind = "") {
    const fs::path out = folder / "out";
    fs::remove(out);
    const std::string command =
        "python3 -B '" + kDecoder + "' " + arguments + " '" + out.string() + "'" + behind;
    if (std::system(command.c_str()) != 0) return {};
    std::ifstream in(out, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto all = std::as_bytes(std::span(text));
    return {all.begin(), all.end()};
  }
  bytes run_tile(const profile& p, const tile_record& r, tile_shape shape,
                 std::span<const std::byte> tile, std::span<const std::byte> means) {
    std::ostringstream a;
    a << "tile " << put("profile", p.bytes()) << ' ';
    for (const std::uint32_t v : {r.packed, r.data_hash, r.prediction_hash})
      for (int i = 0; i < 4; ++i) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", v >> (8 * i) & 0xff);
        a << digits;
      }
    a << " 0 0 1 " << shape.width << " 0 1 " << shape.tokens << ' ' << put("tile", tile) << ' '
      << put("means", means);
    return run(a.str());
  }
};

TEST_F(reference_decoder, reads_the_examples) {
  const example e;
  ASSERT_NE(e.used, nullptr);
  EXPECT_EQ(run_tile(*e.used, e.record(), {2, 40}, e.block.at("tile"), e.block.at("means")),
            e.block.at("numbers"));
  EXPECT_EQ(run("file " + put("skv", e.block.at("skv")) + " " + put("p", e.profile_bytes) + " " +
                put("m", e.block.at("means"))),
            e.source);
}

// The example's file, with a named predictor put into its metadata, which stay as they are.
TEST_F(reference_decoder, reads_files_that_name_a_predictor) {
  const example e;
  const bytes& plain = e.block.at("skv");
  bytes named = {std::byte{3}, std::byte{'f'}, std::byte{'p'}, std::byte{'8'}};
  for (int i = 0; i < 16; ++i) named.push_back(static_cast<std::byte>(i * 17));
  const auto behind_streams = static_cast<std::ptrdiff_t>(test::kHeaderBytes + 12 + 2 * 32);
  bytes file(plain.begin(), plain.begin() + behind_streams);
  file = file + named + bytes(plain.begin() + behind_streams, plain.end());
  test::put(file, 6, std::uint16_t{2});
  test::put(file, test::kFileBytesAt, std::uint64_t{file.size()});
  test::put(file, test::kStoredBytesAt, std::uint32_t{86 + 20});
  test::put(file, test::kMetadataBytesAt, std::uint32_t{86 + 20});
  test::reseal(file);
  const auto box = parse_container(file);
  ASSERT_TRUE(box) << box.failure().message;
  ASSERT_TRUE(box->predictor);
  EXPECT_EQ(box->predictor->name, "fp8");
  EXPECT_EQ(to_string(box->predictor->fingerprint), "00112233445566778899aabbccddeeff");
  EXPECT_EQ(run("file " + put("skv", file) + " " + put("p", e.profile_bytes) + " " +
                put("m", e.block.at("means"))),
            e.source);
}

TEST_F(reference_decoder, passes_over_attachments) {
  const example e;
  ASSERT_NE(e.used, nullptr);
  profile_content content = e.used->content();
  const bytes some(100, std::byte{5});
  content.attachments = {{"a", some}, {"b", {}}};
  const auto p = profile::make(content);
  ASSERT_TRUE(p);
  EXPECT_EQ(run_tile(**p, e.record(), {2, 40}, e.block.at("tile"), e.block.at("means")),
            e.block.at("numbers"));
}

TEST_F(reference_decoder, reads_tiles_of_every_coding) {
  for (const test::coding_id id : test::all_codings())
    for (const bool fitted : {false, true})
      for (const auto data : {test::data_kind::gaussian, test::data_kind::unusual_mixture}) {
        SCOPED_TRACE(test::name_of(id) + (fitted ? ", fitted" : ", default"));
        const tile_shape shape{24, 72};
        const test::tile_case c = test::make_case(id, shape, data, test::table_kind::equal, 7);
        const row_view<const std::byte> numbers{c.numbers.data(), c.row_bytes()};
        const row_view<const std::byte> means{c.means.data(), c.mean_row_bytes()};
        auto p = default_profile(id.target, id.source, id.mean);
        if (fitted) {
          calibrator fit(id.target, id.source, id.mean);
          do
            ASSERT_TRUE(fit.add({0, tensor_kind::k}, shape.tokens, 1, shape.width, numbers, means));
          while (fit.next_pass());
          p = fit.finish();
        }
        ASSERT_TRUE(p);
        const cpu::codec codec(*p);
        bytes tile(codec.max_tile_bytes(shape));
        const auto record = codec.encode({{0, tensor_kind::k}, 1, shape.width, 0, 1, shape.tokens},
                                         numbers, means, tile);
        ASSERT_TRUE(record);
        tile.resize(record->bytes());
        if (fitted) {  // the default profile expects less spread: its tiles may be raw
          EXPECT_EQ(record->mode(), tile_mode::coded);
        }
        const auto used = id.source == mean_source::given ? c.means : bytes{};
        ASSERT_EQ(run_tile(**p, *record, shape, tile, used), c.numbers);
      }
}

// The decoder knows no zstd: the metadata as they are.
bytes with_plain_metadata(const bytes& file) {
  const auto stored = test::get<std::uint32_t>(file, test::kStoredBytesAt);
  const auto size = test::get<std::uint32_t>(file, test::kMetadataBytesAt);
  if (stored == size) return file;
  bytes plain(file.begin(), file.begin() + test::kHeaderBytes);
  plain.resize(test::kHeaderBytes + size);
  EXPECT_EQ(ZSTD_decompress(plain.data() + test::kHeaderBytes, size,
                            file.data() + test::kHeaderBytes, stored),
            size);
  plain.insert(plain.end(), file.begin() + test::kHeaderBytes + stored, file.end());
  test::put(plain, test::kStoredBytesAt, size);
  test::put(plain, test::kFileBytesAt, std::uint64_t{plain.size()});
  test::reseal(plain);
  return plain;
}

// Files with linear propagation: over bases and over none, of all ranks, shards and pairings, with
// and without outside rows; layers in any order, and with windows.
TEST_F(reference_decoder, reads_files_with_linear_propagation) {
  std::vector<test::linear_case> cases(4);
  cases[0].turns = test::pairing::interleaved;
  cases[1].outside = true;
  cases[1].base = mean_source::none;
  cases[2] = cases[1];
  cases[2].shards = 2;
  cases[2].rank = 3;
  cases[2].turns = test::pairing::partial;
  cases[3].id = {format_id::e4m3, mean_source::given, format_id::bf16};
  cases[3].outside = true;
  for (const test::linear_case& c : cases) {
    SCOPED_TRACE(test::name_of(c.id) + ", rank " + std::to_string(c.rank));
    constexpr std::uint32_t kTokens = 17, kFirst = (1u << 24) - 9;
    const test::random_outside outside(kTokens, 5);
    auto p = test::random_linear_profile(c);
    if (c.outside) p = test::with_hash(p, outside.table.hash());
    const cpu::linear_steps steps(p);
    const auto rows =
        cpu::outside_rows::of(steps, outside.inputs(), cpu::position_range{kFirst, kTokens});
    ASSERT_TRUE(rows);
    const std::vector<std::uint32_t> tokens{kTokens, kTokens, kTokens, kTokens, 6, kTokens};
    const test::predictable_numbers data(*rows, {kFirst, kTokens}, tokens, p->content(), 6);
    std::vector<stream> streams;
    bytes source = test::random_bytes(9, 3), all_bases;
    const bytes preamble = source;
    for (const std::size_t i : {3, 0, 1, 2, 4, 5}) {
      const tensor_scales& s = p->content().scales[i];
      streams.push_back(
          test::tensor_stream(s.id, c.id.target, tokens[i], s.heads, s.head_dim, 1, s.heads));
      source = source + data.numbers[i];
      all_bases = all_bases + data.bases[i];
    }
    ASSERT_TRUE(choose_linear_tiles(streams, 200, kFirst));
    container box = test::box_of(*p, streams);
    box.preamble = preamble;
    box.linear_base = c.base;
    box.draft_hash = rows->draft_hash();
    const auto file = test::pack(
        box, cpu::codec(p), source,
        [&](const stream& s) -> result<row_view<const std::byte>> {
          const bytes& b = data.bases[*steps.find(s.id, s.heads, s.head_dim)];
          return row_view<const std::byte>{b.data(), b.size() / s.tokens};
        },
        1, &*rows);
    ASSERT_TRUE(file) << file.failure().message;
    EXPECT_GT(std::ranges::count(box.records, tile_mode::coded, &tile_record::mode), 0);
    std::string arguments = "file " + put("skv", with_plain_metadata(*file)) + " " +
                            put("p", p->bytes()) + " " +
                            put("m", c.base == mean_source::given ? all_bases : bytes{});
    const std::string rest = " " + put("e", outside.table_numbers) + " " +
                             put("i", std::as_bytes(std::span(outside.ids))) + " " +
                             put("d", outside.draft_numbers);
    EXPECT_TRUE(run(arguments, c.outside ? rest : "") == source);
  }
}

TEST_F(reference_decoder, notices_other_bytes_and_other_means) {
  const example e;
  bytes tile = e.block.at("tile"), means = e.block.at("means");
  tile[77] ^= std::byte{1};
  EXPECT_TRUE(run_tile(*e.used, e.record(), {2, 40}, tile, means).empty());
  means[77] ^= std::byte{1};
  EXPECT_TRUE(run_tile(*e.used, e.record(), {2, 40}, e.block.at("tile"), means).empty());
}

}  // namespace
}  // namespace skv
