// What items to encode and to decode have in common.
#pragma once

#include <string>

#include "slice.hpp"

namespace skv::c_api {

/// An item's slice and the means that go with it.
struct item_basis {
  const cpu::codec* coder = nullptr;
  geometry cut;
  row_view<const std::byte> means;

  /// `Item` is skv_encode_item or skv_decode_item. Fails with invalid_argument or unsupported.
  template <class Item>
  result<done> prepare(const cpu::codec& codec, const Item& item) {
    if (item.reserved != 0)
      return fail(status::unsupported, "the item's reserved member is not zero");
    const auto g = read_slice(item.slice);
    if (!g) return g.failure();
    coder = &codec;
    cut = *g;
    if (codec.source() != mean_source::given) return done{};
    const auto rows = lay_out(cut, codec.mean(), item.means, item.mean_stride_bytes, "means");
    if (!rows) return rows.failure();
    means = {static_cast<const std::byte*>(item.means), rows->stride_bytes};
    return done{};
  }

  /// The rows of a tile in those of the slice.
  template <class Byte>
  row_view<Byte> rows_of(std::size_t tile, row_view<Byte> rows) const {
    return rows.from(cut.first_token(tile));
  }

  error refuse(status code, const std::string& what) const {
    return fail(code, to_string(cut.whole.tensor) + ": " + what);
  }
};

}  // namespace skv::c_api
