// A slice with numbers and means, and items of the C ABI around it.
#pragma once

#include <gtest/gtest.h>
#include <skv/skv.h>

#include <memory>
#include <vector>

#include "support/codecs.hpp"
#include "support/guarded.hpp"
#include "support/profiles.hpp"
#include "support/synthetic.hpp"

namespace skv::test {

struct release_handle {
  void operator()(skv_profile* p) const { skv_profile_release(p); }
  void operator()(skv_codec* c) const { skv_codec_release(c); }
};
using c_profile = std::unique_ptr<skv_profile, release_handle>;
using c_codec = std::unique_ptr<skv_codec, release_handle>;

inline c_profile c_profile_of(const profile& p) {
  skv_profile* made = nullptr;
  EXPECT_EQ(skv_profile_from_bytes(p.bytes().data(), p.bytes().size(), &made), SKV_OK);
  return c_profile(made);
}
inline c_codec c_codec_of(const skv_profile* p) {
  skv_codec* made = nullptr;
  EXPECT_EQ(skv_codec_create(p, &made), SKV_OK);
  return c_codec(made);
}
inline c_codec c_codec_of(coding_id id) {
  return c_codec_of(c_profile_of(*default_profile_of(id)).get());
}

inline skv_slice slice_of(std::uint32_t tokens, std::uint32_t heads = 4,
                          std::uint32_t head_dim = 40) {
  skv_slice s{};
  s.struct_size = sizeof s;
  s.layer = 1;
  s.kind = SKV_KIND_K;
  s.heads = s.head_count = heads;
  s.head_dim = head_dim;
  s.tokens = tokens;
  return s;
}

/// All that a slice needs, without gaps, and room for it.
struct c_case {
  coding_id id;
  skv_slice slice;
  number_set data;
  guarded_bytes compressed, restored;
  std::vector<skv_tile_record> records;

  explicit c_case(coding_id coding, skv_slice s, std::uint64_t seed = 1)
      : id(coding),
        slice(s),
        data(synthetic(coding, elements(s), 0.03, seed)),
        compressed(data.numbers.size()),
        restored(data.numbers.size()) {
    std::size_t tiles = 0;
    EXPECT_EQ(skv_tile_count(&slice, &tiles, nullptr), SKV_OK) << skv_last_error();
    records.resize(tiles);
  }
  static std::size_t elements(const skv_slice& s) {
    return std::size_t{s.tokens} * s.head_count * s.head_dim;
  }

  skv_encode_item to_encode() {
    skv_encode_item i{};
    i.struct_size = sizeof i;
    i.slice = &slice;
    i.numbers = data.numbers.data();
    i.means = data.means.data();
    i.compressed = compressed.data();
    i.capacity_bytes = compressed.size();
    i.records = records.data();
    i.record_capacity = records.size();
    i.status = 77;
    return i;
  }
  skv_decode_item to_decode(const skv_encode_item& encoded) {
    skv_decode_item i{};
    i.struct_size = sizeof i;
    i.slice = &slice;
    i.compressed = encoded.compressed;
    i.compressed_bytes = encoded.compressed_bytes;
    i.records = encoded.records;
    i.record_count = encoded.record_count;
    i.numbers = restored.data();
    i.capacity_bytes = restored.size();
    i.means = data.means.data();
    i.status = 77;
    return i;
  }
  bool is_restored() const {
    return std::ranges::equal(restored.bytes(), data.numbers) && restored.margins_intact() &&
           compressed.margins_intact();
  }
};

}  // namespace skv::test
