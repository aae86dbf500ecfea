// The tile codec for one instruction set: the build compiles this file several times, each time
// with SKV_ISA_NAMESPACE naming the set whose flags it is compiled with.
#include "tile_codec.hpp"

#include <cstring>
#include <skv/lanes/scalar.hpp>
#if defined(__AVX512VBMI2__)
#include <skv/lanes/avx512.hpp>
#else
#include <skv/lanes/simd.hpp>
#endif
#include <skv/predict/list.hpp>
#include <skv/tile/decode_tile.hpp>
#include <skv/tile/encode_tile.hpp>
#include <skv/tile/exponent.hpp>
#include <skv/tile/measure_tile.hpp>

namespace skv::cpu::SKV_ISA_NAMESPACE {
namespace {

struct instruction_set;
#if defined(SKV_ISA_SCALAR)
using isa_lanes = scalar_lanes;
#elif defined(__AVX512VBMI2__)
using isa_lanes = avx512_lanes<instruction_set>;
#else
using isa_lanes = simd_lanes<instruction_set>;
#endif
static_assert(lanes<isa_lanes>);

template <class Pattern>
row_view<const Pattern> as(row_view<const std::byte> v) {
  return {v.data, v.token_stride_bytes};
}

template <mean_source Source, number_format Format>
auto make_mean(row_view<const std::byte> rows) {
  if constexpr (Source == mean_source::none)
    return no_mean{};
  else if constexpr (Source == mean_source::previous_token)
    return previous_token_mean{as<pattern_of<Format>>(rows)};
  else
    return given_mean{as<pattern_of<Format>>(rows)};
}

template <class Coding, mean_source Source>
tile_record encode(const encode_arguments& a) {
  using number_type = pattern_of<Coding::kTarget>;
  const std::size_t raw_bytes = a.shape.elements() * sizeof(number_type);
  const std::size_t plane = plane_bytes(Coding::kPlane, a.shape);
  const std::size_t words_at = kStateBytes + plane;

  // Words are written downwards from the end of the room, and moved to their place when all are
  // there. A tile too small for its states and plane (of at most 130 numbers, then) has no room
  // for words: it will be raw, and is encoded for its hash.
  std::byte* const end = a.image + raw_bytes / 2 * 2;
  std::byte* const begin = words_at < raw_bytes ? a.image + words_at : end;
  std::byte unused_plane[kStateBytes + 2];
  std::byte* const plane_at = words_at < raw_bytes ? a.image + kStateBytes : unused_plane;

  const row_view<const std::byte> mean_rows = Source == mean_source::given ? a.means : a.numbers;
  const auto e = encode_tile<isa_lanes, Coding>(
      a.shape, as<number_type>(a.numbers), make_mean<Source, Coding::kMean>(mean_rows),
      scale_codes{a.codes}, a.table, plane_at, word_writer{begin, end, false});

  tile_record r;
  r.data_hash = e.data_hash;
  if (e.all_predicted && Source == mean_source::given && Coding::kTarget == Coding::kMean) {
    r.prediction_hash = e.prediction_hash;
    r.packed = tile_record::pack(tile_mode::prediction, 0);
    return r;
  }
  if (e.all_equal) {
    std::memcpy(a.image, a.numbers.data, sizeof(number_type));
    r.packed = tile_record::pack(tile_mode::constant, sizeof(number_type));
    return r;
  }
  const auto word_bytes = static_cast<std::size_t>(end - e.words.next);
  if (e.words.overrun || words_at + word_bytes >= raw_bytes) {
    const std::size_t row_bytes = a.shape.width * sizeof(number_type);
    for (std::uint32_t t = 0; t < a.shape.tokens; ++t)
      std::memcpy(a.image + t * row_bytes, a.numbers.at(t, 0), row_bytes);
    r.packed = tile_record::pack(tile_mode::raw, raw_bytes);
    return r;
  }
  for (std::uint32_t part = 0; part < isa_lanes::kParts; ++part)
    isa_lanes::template store<std::uint32_t>(a.image, part, kLanes, e.states[part]);
  if constexpr (Coding::kPlane)
    std::memset(a.image + kStateBytes + a.shape.elements(), 0, plane - a.shape.elements());
  std::memmove(a.image + words_at, e.words.next, word_bytes);
  r.prediction_hash = e.prediction_hash;
  r.packed = tile_record::pack(tile_mode::coded, words_at + word_bytes, e.tail_steps);
  return r;
}

template <class Pattern>
void fill(const decode_arguments& a, Pattern number) {
  for (std::uint32_t t = 0; t < a.shape.tokens; ++t)
    for (std::uint32_t i = 0; i < a.shape.width; ++i)
      std::memcpy(a.numbers.at(t, 0) + i * sizeof number, &number, sizeof number);
}

// Fields and bytes that an encoder writes as zeros.
template <class Coding, mean_source Source>
bool zeros_are_zero(const decode_arguments& a) {
  const tile_record& r = a.record;
  const bool has_means = r.mode() == tile_mode::coded || r.mode() == tile_mode::prediction;
  if (!(has_means && Source == mean_source::given) && r.prediction_hash != 0) return false;
  if (r.mode() != tile_mode::coded) return r.tail_steps() == 0;
  const std::size_t end = kStateBytes + plane_bytes(Coding::kPlane, a.shape);
  if (Coding::kPlane && r.bytes() >= end)
    for (std::size_t i = kStateBytes + a.shape.elements(); i < end; ++i)
      if (a.bytes[i] != std::byte{0}) return false;
  return true;
}

template <class Coding, mean_source Source>
status decode(const decode_arguments& a) {
  using number_type = pattern_of<Coding::kTarget>;
  using mean_pattern = pattern_of<Coding::kMean>;
  const std::size_t row_bytes = a.shape.width * sizeof(number_type);
  const row_view<const std::byte> written{a.numbers.data, a.numbers.token_stride_bytes};
  if (!zeros_are_zero<Coding, Source>(a)) return status::corrupt;

  switch (a.record.mode()) {
    case tile_mode::raw:
      if (a.record.bytes() != a.shape.elements() * sizeof(number_type)) return status::corrupt;
      for (std::uint32_t t = 0; t < a.shape.tokens; ++t)
        std::memcpy(a.numbers.at(t, 0), a.bytes + t * row_bytes, row_bytes);
      break;
    case tile_mode::constant: {
      if (a.record.bytes() != sizeof(number_type)) return status::corrupt;
      number_type number;
      std::memcpy(&number, a.bytes, sizeof number);
      fill(a, number);
      break;
    }
    case tile_mode::prediction: {
      if (a.record.bytes() != 0 || Source != mean_source::given || Coding::kTarget != Coding::kMean)
        return status::corrupt;
      for (std::uint32_t t = 0; t < a.shape.tokens; ++t)
        std::memcpy(a.numbers.at(t, 0), a.means.at(t, 0), row_bytes);
      if (hash_tile<isa_lanes>(a.shape, as<mean_pattern>(a.means)) != a.record.prediction_hash)
        return status::wrong_prediction;
      break;
    }
    case tile_mode::coded: {
      const row_view<const std::byte> mean_rows = Source == mean_source::given ? a.means : written;
      const decoded_tile d = decode_tile<isa_lanes, Coding>(
          a.shape, a.bytes, a.record.bytes(), a.record.tail_steps(),
          row_view<number_type>{a.numbers.data, a.numbers.token_stride_bytes},
          make_mean<Source, Coding::kMean>(mean_rows), scale_codes{a.codes}, a.table);
      if (!d.is_image) return status::corrupt;
      if (d.prediction_hash != a.record.prediction_hash)
        return Source == mean_source::given ? status::wrong_prediction : status::corrupt;
      return d.well_formed && d.data_hash == a.record.data_hash ? status::ok : status::corrupt;
    }
  }
  return hash_tile<isa_lanes>(a.shape, as<number_type>(written)) == a.record.data_hash
             ? status::ok
             : status::corrupt;
}

template <class Coding, mean_source Source>
void measure(const measure_arguments& a) {
  const row_view<const std::byte> mean_rows = Source == mean_source::given ? a.means : a.numbers;
  measure_tile<isa_lanes, Coding>(a.shape, as<pattern_of<Coding::kTarget>>(a.numbers),
                                  make_mean<Source, Coding::kMean>(mean_rows), scale_codes{a.codes},
                                  a.counts, a.token_costs, a.channel_costs);
}

template <class Coding, mean_source Source>
constexpr tile_codec kCodec{encode<Coding, Source>, decode<Coding, Source>,
                            measure<Coding, Source>};

}  // namespace

tile_codec find_tile_codec(coding_id id) {
  tile_codec found{};
  coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    constexpr number_format target = Pair::kTarget, mean = Pair::kMean;
    if (target.id != id.target || mean.id != id.mean) return false;
    using residual = residual_coding<target, mean>;
    if (id.source == mean_source::given) found = kCodec<residual, mean_source::given>;
    if constexpr (target == mean) {
      if (id.source == mean_source::previous_token)
        found = kCodec<residual, mean_source::previous_token>;
      if (id.source == mean_source::none)
        found = kCodec<exponent_coding<target>, mean_source::none>;
    }
    return true;
  });
  return found;
}

}  // namespace skv::cpu::SKV_ISA_NAMESPACE
