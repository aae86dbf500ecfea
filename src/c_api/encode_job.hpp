// One item of a batch to encode.
#pragma once

#include <memory>
#include <mutex>

#include "item.hpp"

namespace skv::c_api {

/// Every tile is coded where it would lie if all tiles before it were as large as tiles can be; the
/// last thread to finish a tile moves them together.
class encode_job {
 public:
  /// Returns the number of tiles. Fails as skv_encode says.
  result<std::size_t> prepare(const cpu::codec& coder, const skv_encode_item& item);
  result<done> work(std::size_t tile);
  result<done> finish(bool ok);
  void report(skv_encode_item& item, bool ok) const;

 private:
  std::size_t begin_of(std::size_t tile) const {
    return std::size_t{basis_.cut.first_token(tile)} * dense_row_bytes_;
  }
  std::byte* work_area();

  item_basis basis_;
  row_view<const std::byte> numbers_;
  std::byte* compressed_ = nullptr;
  skv_tile_record* records_ = nullptr;
  std::size_t capacity_ = 0, needed_ = 0, dense_bytes_ = 0, dense_row_bytes_ = 0;
  std::mutex making_scratch_;
  std::unique_ptr<std::byte[]> scratch_;  // where `compressed` is too small for any outcome
};

}  // namespace skv::c_api
