#include "decode_job.hpp"

namespace skv::c_api {

result<std::size_t> decode_job::prepare(const cpu::codec& coder, const skv_decode_item& item) {
  if (const auto ok = basis_.prepare(coder, item); !ok) return ok.failure();
  const geometry& cut = basis_.cut;
  const auto rows = lay_out(cut, coder.target(), item.numbers, item.number_stride_bytes, "numbers");
  if (!rows) return rows.failure();
  if (rows->extent_bytes > item.capacity_bytes)
    return basis_.refuse(status::does_not_fit, std::to_string(rows->extent_bytes) +
                                                   " bytes, room for " +
                                                   std::to_string(item.capacity_bytes));
  if (item.records == nullptr)
    return basis_.refuse(status::invalid_argument, "records: null pointer");
  if (item.record_count != cut.tiles)
    return basis_.refuse(
        item.record_count < cut.tiles ? status::truncated : status::corrupt,
        std::to_string(item.record_count) + " records of " + std::to_string(cut.tiles) + " tiles");
  std::uint64_t end = 0;  // at most 2^32 tiles of 2^24 bytes
  begins_.reserve(cut.tiles);
  for (std::size_t i = 0; i < cut.tiles; ++i) {
    begins_.push_back(static_cast<std::size_t>(end));
    end += skv_tile_bytes(&item.records[i]);
  }
  if (end > item.compressed_bytes)
    return basis_.refuse(status::truncated, std::to_string(item.compressed_bytes) + " of " +
                                                std::to_string(end) + " bytes");
  if (item.compressed == nullptr && end != 0)
    return basis_.refuse(status::invalid_argument, "compressed: null pointer");
  numbers_ = {static_cast<std::byte*>(item.numbers), rows->stride_bytes};
  compressed_ = static_cast<const std::byte*>(item.compressed);
  records_ = item.records;
  return cut.tiles;
}

result<done> decode_job::work(std::size_t tile) {
  const skv_tile_record& r = records_[tile];
  const tile_record record{r.packed, r.data_hash, r.prediction_hash};
  const std::span<const std::byte> bytes =
      record.bytes() == 0 ? std::span<const std::byte>{}
                          : std::span(compressed_ + begins_[tile], record.bytes());
  return basis_.coder->decode(basis_.cut.tile(tile), record, bytes,
                              basis_.rows_of(tile, basis_.means), basis_.rows_of(tile, numbers_));
}

}  // namespace skv::c_api
