#include "encode_job.hpp"

#include <cstring>

namespace skv::c_api {

result<std::size_t> encode_job::prepare(const cpu::codec& coder, const skv_encode_item& item) {
  if (const auto ok = basis_.prepare(coder, item); !ok) return ok.failure();
  const geometry& cut = basis_.cut;
  const auto rows = lay_out(cut, coder.target(), item.numbers, item.number_stride_bytes, "numbers");
  if (!rows) return rows.failure();
  const auto dense = dense_bytes(cut, coder.target());
  if (!dense) return dense.failure();
  if (item.compressed == nullptr && item.capacity_bytes != 0)
    return basis_.refuse(status::invalid_argument, "compressed: null pointer");
  if (item.records == nullptr || item.record_capacity < cut.tiles)
    return basis_.refuse(status::invalid_argument,
                         "room for " + std::to_string(cut.tiles) + " records is needed");
  numbers_ = {static_cast<const std::byte*>(item.numbers), rows->stride_bytes};
  compressed_ = static_cast<std::byte*>(item.compressed);
  capacity_ = item.capacity_bytes;
  records_ = item.records;
  dense_bytes_ = *dense;
  dense_row_bytes_ = *dense / cut.whole.tokens;
  return cut.tiles;
}

std::byte* encode_job::work_area() {
  if (capacity_ >= dense_bytes_) return compressed_;
  const std::lock_guard lock(making_scratch_);
  if (!scratch_) scratch_ = std::make_unique_for_overwrite<std::byte[]>(dense_bytes_);
  return scratch_.get();
}

result<done> encode_job::work(std::size_t tile) {
  const cpu::tile_slice slice = basis_.cut.tile(tile);
  const std::span room(work_area() + begin_of(tile), basis_.coder->max_tile_bytes(slice.shape()));
  const auto record = basis_.coder->encode(slice, basis_.rows_of(tile, numbers_),
                                           basis_.rows_of(tile, basis_.means), room);
  if (!record) return record.failure();
  records_[tile] = {record->packed, record->data_hash, record->prediction_hash};
  return done{};
}

result<done> encode_job::finish(bool ok) {
  const std::unique_ptr<std::byte[]> scratch = std::move(scratch_);  // not held until all are done
  if (!ok) return done{};
  const std::byte* area = scratch ? scratch.get() : compressed_;
  for (std::size_t i = 0; i < basis_.cut.tiles; ++i) needed_ += skv_tile_bytes(&records_[i]);
  if (needed_ > capacity_)
    return basis_.refuse(status::does_not_fit,
                         std::to_string(needed_) + " bytes, room for " + std::to_string(capacity_));
  // Upwards: no tile lies before the place it moves to.
  std::size_t end = 0;
  for (std::size_t i = 0; i < basis_.cut.tiles; ++i) {
    const std::size_t bytes = skv_tile_bytes(&records_[i]);
    if (bytes != 0 && compressed_ + end != area + begin_of(i))
      std::memmove(compressed_ + end, area + begin_of(i), bytes);
    end += bytes;
  }
  return done{};
}

void encode_job::report(skv_encode_item& item, bool ok) const {
  item.compressed_bytes = needed_;
  item.record_count = ok ? basis_.cut.tiles : 0;
}

}  // namespace skv::c_api
