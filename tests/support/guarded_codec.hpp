// Encoding and decoding with forbidden memory around everything that is read or written.
#pragma once

#include <gtest/gtest.h>

#include "support/guarded.hpp"
#include "support/tile_case.hpp"

namespace skv::test {

struct encoded {
  tile_record record;
  std::vector<std::byte> bytes;
};

/// The inputs of a case, each ending at a forbidden page, or beginning at one.
struct guarded_case {
  guarded_bytes numbers, means, codes, encode_table, decode_table;

  explicit guarded_case(const tile_case& c, flush side = flush::right)
      : numbers(c.numbers, side),
        means(c.means, side),
        codes(c.codes, side),
        encode_table(std::as_bytes(std::span(c.tables.encode)), side),
        decode_table(std::as_bytes(std::span(c.tables.decode)), side) {}
};

inline encoded encode(const cpu::tile_codec& codec, const tile_case& c, const guarded_case& g,
                      flush side = flush::right) {
  guarded_bytes image(c.numbers.size(), side);
  const tile_record record = codec.encode({c.shape,
                                           {g.numbers.data(), c.row_bytes()},
                                           {g.means.data(), c.mean_row_bytes()},
                                           g.codes.data(),
                                           g.encode_table.as<std::uint32_t>(),
                                           image.data()});
  EXPECT_TRUE(image.margins_intact());
  EXPECT_LE(record.bytes(), c.numbers.size());
  const std::size_t bytes = std::min<std::size_t>(record.bytes(), image.size());
  return {record, std::vector<std::byte>(image.data(), image.data() + bytes)};
}

struct decoded {
  status outcome;
  std::vector<std::byte> numbers;
};

/// `bytes` may be fewer than the record says: as a caller, this checks it before decoding.
inline decoded decode(const cpu::tile_codec& codec, const tile_case& c, const guarded_case& g,
                      const encoded& e, flush side = flush::right) {
  if (e.bytes.size() < e.record.bytes()) return {status::truncated, {}};
  const guarded_bytes bytes(std::span(e.bytes).first(e.record.bytes()), side);
  guarded_bytes numbers(c.numbers.size(), side);
  const status outcome = codec.decode({c.shape,
                                       e.record,
                                       bytes.data(),
                                       {g.means.data(), c.mean_row_bytes()},
                                       g.codes.data(),
                                       g.decode_table.as<std::uint32_t>(),
                                       {numbers.data(), c.row_bytes()}});
  EXPECT_TRUE(numbers.margins_intact());
  return {outcome, std::vector<std::byte>(numbers.data(), numbers.data() + numbers.size())};
}

}  // namespace skv::test
