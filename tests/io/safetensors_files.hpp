// Small safetensors files, well formed or not, and what the parser makes of them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <skv/base/status.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.hpp"

namespace skv::io {

inline std::string little_endian(std::uint64_t number) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(number >> 8 * i & 0xff);
  return out;
}

/// A file with this header and so many bytes of data.
inline std::string file_of(const std::string& header, std::size_t data_bytes = 0) {
  return little_endian(header.size()) + header + std::string(data_bytes, 'd');
}

/// A copy of exactly the file's size on the heap, so that AddressSanitizer sees each byte beyond.
inline result<safetensors_file> parse(const std::string& file) {
  const std::vector<char> exact(file.begin(), file.end());
  return parse_safetensors(std::as_bytes(std::span(exact)));
}

inline void expect_failure(const std::string& file, status code, const std::string& why) {
  const auto outcome = parse(file);
  ASSERT_FALSE(outcome) << file.substr(0, 200);
  EXPECT_EQ(outcome.code(), code) << outcome.failure().message;
  EXPECT_THAT(outcome.failure().message, testing::HasSubstr(why)) << file.substr(0, 200);
}

inline void expect_corrupt(const std::string& header, const std::string& why,
                           std::size_t data_bytes = 8) {
  expect_failure(file_of(header, data_bytes), status::corrupt, why);
}

inline void expect_accepted(const std::string& header, std::size_t data_bytes = 8) {
  const auto outcome = parse(file_of(header, data_bytes));
  EXPECT_TRUE(outcome) << header << ": " << outcome.failure().message;
}

/// A header with one tensor `t` whose fields are these.
inline std::string one(const std::string& dtype, const std::string& shape,
                       const std::string& offsets) {
  return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

/// A header of one-byte tensors, named a, b, c..., with these offsets.
inline std::string with_offsets(
    const std::vector<std::pair<std::uint64_t, std::uint64_t>>& offsets) {
  std::string header = "{";
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const auto [begin, end] = offsets[i];
    header += i ? ",\"" : "\"";
    header += static_cast<char>('a' + i);
    header += R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
              R"(],"data_offsets":[)" + std::to_string(begin) + ',' + std::to_string(end) + "]}";
  }
  return header + '}';
}

inline const std::string kSmall =
    R"({"__metadata__":{"format":"pt"},"k":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";

}  // namespace skv::io
