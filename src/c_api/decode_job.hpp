// One item of a batch to decode.
#pragma once

#include <vector>

#include "item.hpp"

namespace skv::c_api {

class decode_job {
 public:
  /// Returns the number of tiles. Fails as skv_decode says.
  result<std::size_t> prepare(const cpu::codec& coder, const skv_decode_item& item);
  result<done> work(std::size_t tile);
  result<done> finish(bool) { return done{}; }
  void report(skv_decode_item&, bool) const {}

 private:
  item_basis basis_;
  row_view<std::byte> numbers_;
  const std::byte* compressed_ = nullptr;
  const skv_tile_record* records_ = nullptr;
  std::vector<std::size_t> begins_;  // of the tiles in `compressed`
};

}  // namespace skv::c_api
