#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <random>
#include <string>

#include "safetensors_files.hpp"

namespace skv::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(parse_safetensors_reject, every_shorter_file_is_truncated) {
  const std::string file = file_of(kSmall, 16);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const auto outcome = parse(file.substr(0, size));
    ASSERT_FALSE(outcome) << size;
    EXPECT_EQ(outcome.code(), status::truncated) << size;
  }
}

TEST(parse_safetensors_reject, every_shorter_header_is_corrupt) {
  for (std::size_t size = 0; size < kSmall.size(); ++size)
    expect_corrupt(kSmall.substr(0, size), size == 0 ? "not a JSON object" : "not valid JSON", 16);
}

TEST(parse_safetensors_reject, refuses_lengths_beyond_the_file) {
  expect_failure("", status::truncated, "at least 8 bytes");
  expect_failure(little_endian(1), status::truncated, "header of 1 bytes");
  expect_failure(little_endian(100'000'000) + "{}", status::truncated, "100000000");
  expect_failure(little_endian(100'000'001) + "{}", status::corrupt, "not a safetensors file");
  expect_failure(little_endian(~std::uint64_t{0}) + "{}", status::corrupt, "above the limit");
  expect_failure(little_endian(~std::uint64_t{7}) + "{}", status::corrupt, "above the limit");
  expect_failure(little_endian(0) + "{}", status::corrupt, "not a JSON object");
}

TEST(parse_safetensors_reject, refuses_a_header_that_is_no_object) {
  for (const std::string header :
       {"[]", "null", "1", R"("x")", " {}", "\n{}", "\xef\xbb\xbf{}", "x", "    "})
    expect_corrupt(header, "not a JSON object");
}

TEST(parse_safetensors_reject, refuses_bad_json) {
  for (const std::string header :
       {"{", "{}}", "{}{}", "{},", "{,}", "{1:2}", "{'a':1}", R"({"a"})", R"({"a":})", "{}x",
        R"({"a":{},})", "{/**/}", R"({"a":nul})", R"({"a":"\x"})", "{\"a\n\":{}}"})
    expect_corrupt(header, "");
  expect_corrupt(R"({"__metadata__":1e999})", "not valid JSON at its byte");
  expect_corrupt(std::string("{}\0", 3), "zero byte");
  expect_corrupt(std::string("{}\0}garbage", 11), "zero byte");
  // The message does not quote the header, however long.
  const auto outcome = parse(file_of("{" + std::string(100'000, '1')));
  ASSERT_FALSE(outcome);
  EXPECT_LT(outcome.failure().message.size(), 100U);
}

TEST(parse_safetensors_reject, refuses_wrong_types) {
  for (const std::string value : {"null", "true", "1", "-1", "1.5", R"("x")", "[]", "[{}]"})
    expect_corrupt(R"({"t":)" + value + "}", "tensor 't' is not a JSON object");
  for (const std::string value : {"null", "false", "7", "[]", R"(["U8"])", "{}"})
    expect_corrupt(one(value, "[1]", "[0,1]"), "tensor 't': dtype is not a string");
  for (const std::string value :
       {"null", "1", R"("1")", "{}", "[null]", "[true]", R"(["1"])", "[[1]]", "[{}]", "[1.0]",
        "[1e0]", "[-1]", "[-0]", "[18446744073709551616]"}) {
    expect_corrupt(one(R"("U8")", value, "[0,1]"), "tensor 't': shape is not an array");
    expect_corrupt(one(R"("U8")", "[1]", value), "tensor 't': data_offsets is not an array");
  }
  expect_corrupt(one(R"("U8")", "[1]", "[0,-1]"), "tensor 't': data_offsets is not an array");
}

TEST(parse_safetensors_reject, refuses_missing_fields) {
  expect_corrupt(R"({"t":{}})", "tensor 't': it has no dtype");
  expect_corrupt(R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", "tensor 't': it has no shape");
  expect_corrupt(R"({"t":{"dtype":"U8","shape":[1]}})", "tensor 't': it has no data_offsets");
  // Nothing is left over from the tensor before.
  expect_corrupt(R"({"s":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8"}})",
                 "tensor 't': it has no shape");
}

TEST(parse_safetensors_reject, refuses_other_than_two_offsets) {
  expect_corrupt(one(R"("U8")", "[1]", "[]"), "tensor 't': data_offsets are fewer than two");
  expect_corrupt(one(R"("U8")", "[1]", "[0]"), "tensor 't': data_offsets are fewer than two");
  expect_corrupt(one(R"("U8")", "[1]", "[0,1,2]"), "tensor 't': data_offsets are more than two");
}

TEST(parse_safetensors_reject, refuses_keys_that_occur_twice) {
  const std::string t = R"("t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_corrupt("{" + t + "," + t + "}", "the key 't' occurs twice");
  expect_corrupt(R"({"__metadata__":{},"__metadata__":{}})", "'__metadata__' occurs twice");
  expect_corrupt(R"({"__metadata__":{"a":"1","a":"1"}})", "the key 'a' occurs twice");
  expect_corrupt(R"({"t":{"dtype":"U8","dtype":"U8"}})", "tensor 't': the key 'dtype' occurs");
  expect_corrupt(R"({"t":{"x":{"y":1,"\u0079":2}}})", "tensor 't': the key 'y' occurs twice");
  expect_accepted(R"({"__metadata__":{"a":{"a":1},"b":[{"a":1},{"a":1}]}})");
}

TEST(parse_safetensors_reject, refuses_deep_nesting) {
  const auto nested = [](std::size_t depth, const std::string& key) {
    return R"({")" + key + R"(":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  expect_accepted(nested(15, "__metadata__"));
  expect_corrupt(nested(16, "__metadata__"), "nested too deeply");
  expect_corrupt(R"({"__metadata__":)" + std::string(5'000'000, '['), "nested too deeply");
  expect_corrupt(R"({"t":{"x":)" + std::string(10'000, '['), "tensor 't': values are nested");
  std::string objects = R"({"__metadata__":)";
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  expect_corrupt(objects, "nested too deeply");
}

TEST(parse_safetensors_reject, refuses_offsets_outside_the_data) {
  expect_failure(file_of(one(R"("U8")", "[9]", "[0,9]"), 8), status::truncated,
                 "tensor 't': its bytes end at 9, and the file's data at 8");
  expect_failure(file_of(one(R"("U8")", "[0]", "[9,9]"), 8), status::truncated, "tensor 't'");
  expect_corrupt(one(R"("U8")", "[1]", "[2,1]"), "tensor 't': it ends at 1, before its begin 2");
  const std::string huge = "18446744073709551615";
  expect_failure(file_of(one(R"("U8")", "[1]", "[0," + huge + "]"), 8), status::truncated, huge);
  expect_failure(file_of(one(R"("U8")", "[0]", "[" + huge + "," + huge + "]"), 8),
                 status::truncated, huge);
  expect_corrupt(one(R"("U8")", "[1]", "[" + huge + ",0]"), "before its begin");
}

TEST(parse_safetensors_reject, refuses_shapes_that_overflow) {
  // Each product is what the offsets leave, modulo 2^64.
  expect_corrupt(one(R"("U8")", "[4294967296,4294967296]", "[0,0]"), "shape is too large");
  expect_corrupt(one(R"("BF16")", "[9223372036854775808]", "[0,0]"), "shape is too large");
  expect_corrupt(one(R"("F64")", "[2305843009213693953]", "[0,8]"), "shape is too large");
  expect_corrupt(one(R"("U8")", "[18446744073709551615,18446744073709551615]", "[0,1]"),
                 "shape is too large");
  // In any order of the factors.
  expect_corrupt(one(R"("U8")", "[0,4294967296,4294967296]", "[0,0]"), "shape is too large");
  expect_corrupt(one(R"("U8")", "[4294967296,4294967296,0]", "[0,0]"), "shape is too large");
  expect_corrupt(one(R"("U8")", "[18446744073709551615]", "[0,8]"), "its shape takes 184467440");
  expect_accepted(one(R"("U8")", "[18446744073709551615,0]", "[0,0]"));
}

TEST(parse_safetensors_reject, refuses_overlaps) {
  expect_accepted(with_offsets({{0, 4}, {4, 8}}));
  expect_accepted(with_offsets({{4, 4}, {0, 4}, {4, 8}, {4, 4}}));
  expect_corrupt(with_offsets({{0, 5}, {4, 8}}), "tensor 'b' begins within tensor 'a'");
  expect_corrupt(with_offsets({{4, 8}, {0, 5}}), "tensor 'a' begins within tensor 'b'");
  expect_corrupt(with_offsets({{0, 8}, {2, 4}}), "tensor 'b' begins within tensor 'a'");
  expect_corrupt(with_offsets({{0, 8}, {0, 8}}), "tensor 'b' begins within tensor 'a'");
  expect_corrupt(with_offsets({{0, 8}, {3, 3}}), "tensor 'b' begins within tensor 'a'");
  expect_corrupt(with_offsets({{0, 4}, {4, 8}, {3, 5}}), "tensor 'c' begins within tensor 'a'");
}

TEST(parse_safetensors_reject, messages_are_short_and_printable) {
  const auto outcome =
      parse(file_of(R"({"\u001b[31m)" + std::string(100'000, 'n') + R"(":{"dtype":1}})"));
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.failure().message, AllOf(HasSubstr("\\x1b[31m"), HasSubstr("n...'")));
  EXPECT_LT(outcome.failure().message.size(), 200U);
}

TEST(parse_safetensors_reject, survives_random_changes) {
  const std::string pieces[] = {"{",
                                "}",
                                "[",
                                "]",
                                ",",
                                ":",
                                "\"",
                                "0",
                                "9",
                                "-",
                                "\\",
                                "e",
                                "18446744073709551615",
                                "\"k\"",
                                "\"dtype\"",
                                "null",
                                "{}",
                                " "};
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string header = kSmall;
    for (std::uint32_t changes = 1 + random() % 3; changes-- > 0;) {
      const std::size_t at = random() % header.size();
      switch (random() % 4) {
        case 0: header[at] = static_cast<char>(random()); break;
        case 1: header.erase(at, 1 + random() % 4); break;
        case 2: header.insert(at, pieces[random() % std::size(pieces)]); break;
        default: header.replace(at, 1, 1, static_cast<char>('0' + random() % 10));
      }
      if (header.empty()) header = " ";
    }
    const std::string file = file_of(header, random() % 32);
    const auto outcome = parse(file);
    if (!outcome) {
      EXPECT_FALSE(outcome.failure().message.empty());
      continue;
    }
    ++accepted;
    std::uint64_t last_end = outcome->data_begin;
    for (const auto& t : outcome->tensors) {
      EXPECT_LE(last_end, t.begin);
      EXPECT_LE(t.begin, t.end);
      EXPECT_LE(t.end, file.size());
      last_end = t.end;
    }
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace skv::io
