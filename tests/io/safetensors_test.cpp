#include "io/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "io/mapped_file.hpp"
#include "safetensors_files.hpp"

namespace skv::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(parse_safetensors, finds_the_tensors) {
  const auto file = parse(file_of(kSmall, 16));
  ASSERT_TRUE(file) << file.failure().message;
  const std::uint64_t begin = 8 + kSmall.size();
  EXPECT_EQ(file->data_begin, begin);
  EXPECT_THAT(file->tensors, ElementsAre(tensor_entry{"s", "F32", {}, begin, begin + 4},
                                         tensor_entry{"k", "BF16", {2, 3}, begin + 4, begin + 16}));
}

TEST(parse_safetensors, takes_a_file_without_tensors) {
  for (const std::string header : {"{}", "{ }   ", R"({"__metadata__":{}})"}) {
    const auto file = parse(file_of(header));
    ASSERT_TRUE(file) << header;
    EXPECT_TRUE(file->tensors.empty());
    EXPECT_EQ(file->data_begin, 8 + header.size());
  }
}

TEST(parse_safetensors, reads_the_test_data) {
  for (const char* name : {"evaluation/target", "evaluation/target_e4m3"}) {
    const auto path = std::filesystem::path(SKV_TEST_DATA) / "tiny" / name / "000.safetensors";
    const auto file = mapped_file::open(path);
    ASSERT_TRUE(file) << file.failure().message;
    const auto parsed = parse_safetensors(file->bytes());
    ASSERT_TRUE(parsed) << parsed.failure().message;
    ASSERT_FALSE(parsed->tensors.empty());
    EXPECT_EQ(parsed->tensors.front().begin, parsed->data_begin);
    EXPECT_EQ(parsed->tensors.back().end, file->bytes().size());
  }
}

TEST(parse_safetensors, knows_the_dtypes) {
  const std::map<std::string, std::uint64_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8},
  };
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(dtype_bytes(dtype), size);
    const std::string quoted = '"' + dtype + '"';
    expect_accepted(one(quoted, "[3]", "[0," + std::to_string(3 * size) + "]"), 24);
    expect_corrupt(one(quoted, "[3]", "[0," + std::to_string(3 * size - 1) + "]"),
                   "tensor 't': its shape takes", 24);
  }
  EXPECT_EQ(dtype_bytes("F4"), 0U);
  EXPECT_EQ(dtype_bytes("bf16"), 0U);
  EXPECT_EQ(dtype_bytes(""), 0U);
}

TEST(parse_safetensors, unknown_dtypes_are_opaque) {
  expect_accepted(one(R"("F4")", "[3]", "[0,2]"));
  expect_accepted(one(R"("")", "[18446744073709551615,18446744073709551615]", "[0,8]"));
  expect_failure(file_of(one(R"("F4")", "[3]", "[0,9]"), 8), status::truncated, "tensor 't'");
}

TEST(parse_safetensors, takes_empty_tensors_and_scalars) {
  expect_accepted(one(R"("F64")", "[]", "[0,8]"));
  expect_accepted(one(R"("F64")", "[0]", "[0,0]"));
  expect_accepted(one(R"("F64")", "[4,0,5]", "[8,8]"));
  expect_corrupt(one(R"("F64")", "[]", "[0,0]"), "its shape takes 8 bytes");
  expect_corrupt(one(R"("F64")", "[0]", "[0,8]"), "its shape takes 0 bytes");
}

TEST(parse_safetensors, takes_gaps_and_trailing_bytes) {
  const auto file = parse(file_of(with_offsets({{8, 10}, {2, 5}, {10, 10}, {5, 5}}), 20));
  ASSERT_TRUE(file) << file.failure().message;
  std::vector<std::string> names;
  for (const auto& t : file->tensors) names.push_back(t.name);
  EXPECT_THAT(names, ElementsAre("b", "d", "a", "c"));
}

TEST(parse_safetensors, ignores_metadata_and_unknown_fields) {
  const std::string rest = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
  const auto accepts = [&rest](const std::string& value) {
    expect_accepted(R"({"__metadata__":)" + value + "}");
    expect_accepted(R"({"t":{"more":)" + value + ',' + rest + "}}");
    expect_accepted(R"({"t":{)" + rest + R"(,"more":)" + value + "}}");
  };
  for (const char* value : {"null", "true", "1", "-1", "1.5", R"("x")", "[]", "{}",
                            R"({"a":[{"b":[1,{"c":null}]},2]})"})
    accepts(value);
  // What lies in an ignored value is not a tensor's field, nor a tensor.
  expect_corrupt(R"({"t":{"more":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}})", "no dtype");
  const auto file = parse(file_of(R"({"__metadata__":{"t":{)" + rest + "}}}", 1));
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->tensors.empty());
}

TEST(parse_safetensors, takes_any_utf8_name) {
  for (const std::string name : {"", "\xc3\xbc", R"(\u00fc)", R"(\"\\\n)", R"(a\u0000b)"}) {
    const auto file =
        parse(file_of("{\"" + name + R"(":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1));
    ASSERT_TRUE(file) << name;
    EXPECT_EQ(file->tensors.size(), 1U);
  }
  expect_corrupt("{\"\xff\":{}}", "not valid JSON");
  expect_corrupt(R"({"\ud800":{}})", "not valid JSON");
}

// Header bytes changed at random: whatever is accepted keeps what the interface promises.
// Time in proportion to the length: neither a key nor a tensor may cost a walk over the others.
TEST(parse_safetensors, takes_many_tensors) {
  std::vector<tensor_entry> tensors;
  for (std::uint64_t i = 0; i < 50'000; ++i)
    tensors.push_back({"layers." + std::to_string(i), "U8", {1}, i, i + 1});
  const auto file = parse(make_header(tensors) + std::string(50'000, 'd'));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->tensors.size(), 50'000U);
  EXPECT_EQ(file->tensors[12'345].name, "layers.12345");
}

TEST(make_header, is_canonical) {
  const std::string header =
      make_header({{"k", "BF16", {2, 3}, 4, 16}, {"s", "F32", {}, 0, 4}}, {{"b", "2"}, {"a", "1"}});
  const std::string expected =
      R"({"__metadata__":{"a":"1","b":"2"},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("k":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]}})";
  const std::size_t padded = (expected.size() + 7) / 8 * 8;
  EXPECT_EQ(header, little_endian(padded) + expected + std::string(padded - expected.size(), ' '));
}

TEST(make_header, without_tensors) { EXPECT_EQ(make_header({}), little_endian(8) + "{}      "); }

TEST(make_header, is_padded_to_8_bytes) {
  for (std::size_t length = 0; length < 20; ++length)
    EXPECT_EQ(make_header({{std::string(length, 'n'), "U8", {}, 0, 1}}).size() % 8, 0U);
}

TEST(make_header, parses_back) {
  const std::vector<tensor_entry> tensors = {
      {"quote\"backslash\\line\n", "U8", {7}, 0, 7},
      {"\xc3\xbc", "NEW", {~std::uint64_t{0}}, 9, 9},  // behind a gap
      {"", "I64", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, 17},
  };
  const std::string header = make_header(tensors, {{"key", "value"}});
  const auto file = parse(header + std::string(17, 'd'));
  ASSERT_TRUE(file) << file.failure().message;
  EXPECT_EQ(file->data_begin, header.size());
  ASSERT_EQ(file->tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensor_entry expected = tensors[i];
    expected.begin += header.size();
    expected.end += header.size();
    EXPECT_EQ(file->tensors[i], expected);
  }
  // Entries relative to the file give the same header.
  EXPECT_EQ(make_header(file->tensors, {{"key", "value"}}), header);
}

TEST(make_header, replaces_bytes_that_are_not_utf8) {
  EXPECT_THAT(make_header({{"a\xff", "U8", {}, 0, 1}}), HasSubstr("\"a\xef\xbf\xbd\""));
}

}  // namespace
}  // namespace skv::io
