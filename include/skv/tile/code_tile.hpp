// A tile in all its modes: to the bytes and the record that stand for it, and back. One text for CPU
// and GPU.
#pragma once

#include <skv/base/status.hpp>
#include <skv/tile/decode_tile.hpp>
#include <skv/tile/encode_tile.hpp>
#include <skv/tile/exponent.hpp>

namespace skv {

/// The mean that a source makes of rows: given means, or the numbers of the tile itself.
template <mean_source Source, class Rows>
SKV_INLINE auto make_mean(const Rows& rows) {
  if constexpr (Source == mean_source::none)
    return no_mean{};
  else if constexpr (Source == mean_source::previous_token)
    return previous_token_mean<Rows>{rows};
  else
    return given_mean<Rows>{rows};
}

/// How numbers are coded that have means of a source.
template <number_format Target, mean_source Source, number_format Mean>
struct coding_of {
  using type = residual_coding<Target, Mean>;
};
template <number_format Target, number_format Mean>
struct coding_of<Target, mean_source::none, Mean> {
  using type = exponent_coding<Target>;
};

/// An encoded tile in its room: its bytes are room[0, head_bytes) and, from room[words_at] on, the
/// remaining ones of record.bytes().
struct staged_tile {
  tile_record record;
  std::uint32_t head_bytes = 0;
  std::uint32_t words_at = 0;
};

namespace detail {

// Rows of one number.
template <class Lanes>
struct same_number {
  typename Lanes::u32 number;
  template <class>
  SKV_INLINE typename Lanes::u32 load(std::uint32_t, std::uint32_t, std::uint32_t,
                                      std::uint32_t) const {
    return number;
  }
};

template <class Lanes, class From, class To>
SKV_INLINE void copy_rows(tile_shape shape, const From& from, const To& to) {
  for (std::uint32_t token = 0; token < shape.tokens; ++token)
    for (std::uint32_t first = 0; first < shape.width; first += kLanes)
      for (std::uint32_t part = 0; part < Lanes::kParts; ++part) {
        const std::uint32_t count = shape.width - first;
        to.template store<Lanes>(token, first, part, count,
                                 from.template load<Lanes>(token, first, part, count));
      }
}

// Stops at the first step of a tile in which rows differ.
template <class Lanes, class A, class B>
SKV_INLINE bool are_equal_rows(tile_shape shape, const A& a, const B& b) {
  for (std::uint32_t token = 0; token < shape.tokens; ++token)
    for (std::uint32_t first = 0; first < shape.width; first += kLanes)
      for (std::uint32_t part = 0; part < Lanes::kParts; ++part) {
        const std::uint32_t count = shape.width - first;
        const auto differ = a.template load<Lanes>(token, first, part, count) !=
                            b.template load<Lanes>(token, first, part, count);
        if (Lanes::any(active_lanes<Lanes, false>(part, count).among(differ))) return false;
      }
  return true;
}

}  // namespace detail

/// Encodes a tile of at least one number into `room`, which has as many bytes as the numbers.
/// `plane`: room + kStateBytes; or, where states and plane are as large as the numbers, room for
/// the plane elsewhere. `mean_rows` are not read unless means are given.
template <class Lanes, class Coding, mean_source Source, class Rows, class MeanRows, class Scales>
SKV_INLINE staged_tile stage_tile(tile_shape shape, const Rows& rows, const MeanRows& mean_rows,
                                  const Scales& scales, const std::uint32_t* table, std::byte* room,
                                  std::byte* plane) {
  using number_type = pattern_of<Coding::kTarget>;
  const auto raw_bytes = static_cast<std::uint32_t>(shape.elements() * sizeof(number_type));
  const auto head_bytes =
      kStateBytes + static_cast<std::uint32_t>(plane_bytes(Coding::kPlane, shape));

  staged_tile s;
  if constexpr (Source == mean_source::given && Coding::kTarget == Coding::kMean) {
    if (detail::are_equal_rows<Lanes>(shape, rows, mean_rows)) {
      s.record.data_hash = s.record.prediction_hash = hash_tile<Lanes>(shape, rows);
      s.record.packed = tile_record::pack(tile_mode::prediction, 0);
      return s;
    }
  }
  const typename Lanes::u32 number(Lanes::sum(rows.template load<Lanes>(0, 0, 0, 1)));
  if (detail::are_equal_rows<Lanes>(shape, rows, detail::same_number<Lanes>{number})) {
    Lanes::template store<number_type>(room, 0, 1, number);
    s.head_bytes = sizeof(number_type);
    s.record.data_hash = hash_tile<Lanes>(shape, rows);
    s.record.packed = tile_record::pack(tile_mode::constant, sizeof(number_type));
    return s;
  }

  // Words are written downwards from the end. A tile too small for its states and plane has no room
  // for words: it will be raw, and is encoded for its hash.
  std::byte* const end = room + raw_bytes / 2 * 2;
  std::byte* const begin = head_bytes < raw_bytes ? room + head_bytes : end;
  const auto encode = [&](const auto& mean) {
    return encode_tile<Lanes, Coding>(shape, rows, mean, scales, table, plane,
                                      typename Lanes::writer{begin, end});
  };
  const auto e = [&] {
    if constexpr (Source == mean_source::given)
      return encode(make_mean<Source>(mean_rows));
    else
      return encode(make_mean<Source>(rows));
  }();

  s.record.data_hash = e.data_hash;
  if (e.words.is_overrun() ||
      head_bytes + static_cast<std::uint32_t>(end - e.words.written()) >= raw_bytes) {
    detail::copy_rows<Lanes>(shape, rows,
                             row_view<number_type>{room, shape.width * sizeof(number_type)});
    s.head_bytes = raw_bytes;
    s.record.packed = tile_record::pack(tile_mode::raw, raw_bytes);
    return s;
  }
  for (std::uint32_t part = 0; part < Lanes::kParts; ++part)
    Lanes::template store<std::uint32_t>(room, part, kLanes, e.states[part]);
  if constexpr (Coding::kPlane) {
    const std::size_t unpadded = kStateBytes + shape.elements();
    Lanes::template store<std::uint8_t>(room + unpadded, 0,
                                        head_bytes - static_cast<std::uint32_t>(unpadded),
                                        typename Lanes::u32(0));
  }
  s.head_bytes = head_bytes;
  s.words_at = static_cast<std::uint32_t>(e.words.written() - room);
  s.record.prediction_hash = e.prediction_hash;
  s.record.packed = tile_record::pack(
      tile_mode::coded, head_bytes + static_cast<std::uint32_t>(end - e.words.written()),
      e.tail_steps);
  return s;
}

/// Restores the numbers of a tile to `rows` from record.bytes() bytes. Any record and bytes are
/// safe: nothing but `rows` is written. ok, corrupt or wrong_prediction.
template <class Lanes, class Coding, mean_source Source, class Rows, class MeanRows, class Scales>
SKV_INLINE status restore_tile(tile_shape shape, const tile_record& record, const std::byte* bytes,
                               const Rows& rows, const MeanRows& mean_rows, const Scales& scales,
                               const std::uint32_t* table) {
  using u32 = typename Lanes::u32;
  using number_type = pattern_of<Coding::kTarget>;
  const tile_mode mode = record.mode();
  const bool has_means = mode == tile_mode::coded || mode == tile_mode::prediction;
  // Fields and bytes that an encoder writes as zeros.
  if (!(has_means && Source == mean_source::given) && record.prediction_hash != 0)
    return status::corrupt;
  if (mode != tile_mode::coded && record.tail_steps() != 0) return status::corrupt;

  if (mode == tile_mode::coded) {
    if constexpr (Coding::kPlane) {
      const std::size_t unpadded = kStateBytes + shape.elements();
      const std::size_t end = kStateBytes + plane_bytes(true, shape);
      if (record.bytes() >= end) {
        const auto padding = Lanes::template load<std::uint8_t>(
            bytes + unpadded, 0, static_cast<std::uint32_t>(end - unpadded));
        if (Lanes::any(padding != u32(0))) return status::corrupt;
      }
    }
    const auto decode = [&](const auto& mean) {
      return decode_tile<Lanes, Coding>(shape, bytes, record.bytes(), record.tail_steps(), rows,
                                        mean, scales, table);
    };
    const decoded_tile d = [&] {
      if constexpr (Source == mean_source::given)
        return decode(make_mean<Source>(mean_rows));
      else
        return decode(make_mean<Source>(rows));
    }();
    if (!d.is_image) return status::corrupt;
    if (d.prediction_hash != record.prediction_hash)
      return Source == mean_source::given ? status::wrong_prediction : status::corrupt;
    return d.well_formed && d.data_hash == record.data_hash ? status::ok : status::corrupt;
  }

  if (mode == tile_mode::prediction) {
    if constexpr (Source == mean_source::given && Coding::kTarget == Coding::kMean) {
      if (record.bytes() != 0) return status::corrupt;
      if (hash_tile<Lanes>(shape, mean_rows) != record.prediction_hash)
        return status::wrong_prediction;
      detail::copy_rows<Lanes>(shape, mean_rows, rows);
    } else {
      return status::corrupt;
    }
  } else if (mode == tile_mode::constant) {
    if (record.bytes() != sizeof(number_type)) return status::corrupt;
    const u32 number(Lanes::sum(Lanes::template load<number_type>(bytes, 0, 1)));
    detail::copy_rows<Lanes>(shape, detail::same_number<Lanes>{number}, rows);
  } else {
    if (record.bytes() != shape.elements() * sizeof(number_type)) return status::corrupt;
    const row_view<const number_type> raw{bytes, shape.width * sizeof(number_type)};
    detail::copy_rows<Lanes>(shape, raw, rows);
  }
  return hash_tile<Lanes>(shape, rows) == record.data_hash ? status::ok : status::corrupt;
}

}  // namespace skv
