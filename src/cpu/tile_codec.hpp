// The tile codec as functions without template parameters, one table of them per instruction set.
#pragma once

#include <cstddef>
#include <skv/base/status.hpp>
#include <skv/number/format.hpp>
#include <skv/predict/mean.hpp>
#include <skv/tile/block_image.hpp>

namespace skv::cpu {

/// Which instance of the codec: formats of the numbers and of the means, and where means come from.
struct coding_id {
  format_id target;
  mean_source source;
  format_id mean;  ///< equal to `target` unless means are given

  friend constexpr bool operator==(coding_id, coding_id) = default;
};

struct encode_arguments {
  tile_shape shape;
  row_view<const std::byte> numbers, means;
  const std::byte* codes;      ///< shape.width scale codes
  const std::uint32_t* table;  ///< encoding tables
  std::byte* image;            ///< room for as many bytes as the numbers have
};

struct decode_arguments {
  tile_shape shape;
  tile_record record;
  const std::byte* bytes;  ///< record.bytes() bytes
  row_view<const std::byte> means;
  const std::byte* codes;
  const std::uint32_t* table;  ///< decoding tables
  row_view<std::byte> numbers;
};

/// For calibration: see skv/tile/measure_tile.hpp.
struct measure_arguments {
  tile_shape shape;
  row_view<const std::byte> numbers, means;
  const std::byte* codes;
  std::uint64_t* counts;
  const std::uint32_t* token_costs;
  std::uint64_t* channel_costs;
};

struct tile_codec {
  /// Writes what stands for the tile to `image`: never more bytes than its numbers have.
  tile_record (*encode)(const encode_arguments&);
  /// ok, corrupt, or wrong_prediction. Whatever the bytes, nothing outside `numbers` is written.
  status (*decode)(const decode_arguments&);
  void (*measure)(const measure_arguments&);
};

/// Null functions for a combination that has no coding.
namespace scalar {
tile_codec find_tile_codec(coding_id);
}
namespace portable {
tile_codec find_tile_codec(coding_id);
}
namespace avx2 {
tile_codec find_tile_codec(coding_id);
}
namespace avx512 {
tile_codec find_tile_codec(coding_id);
}

}  // namespace skv::cpu
