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
#include <skv/tile/code_tile.hpp>
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

template <class Coding, mean_source Source>
tile_record encode(const encode_arguments& a) {
  using number_type = pattern_of<Coding::kTarget>;
  const std::size_t head_bytes = kStateBytes + plane_bytes(Coding::kPlane, a.shape);
  std::byte unused_plane[kStateBytes + 2];  // of a tile of at most 130 numbers
  const bool has_room = head_bytes < a.shape.elements() * sizeof(number_type);
  const staged_tile s = stage_tile<isa_lanes, Coding, Source>(
      a.shape, as<number_type>(a.numbers), as<pattern_of<Coding::kMean>>(a.means),
      scale_codes{a.codes}, a.table, a.image, has_room ? a.image + kStateBytes : unused_plane);
  std::memmove(a.image + s.head_bytes, a.image + s.words_at, s.record.bytes() - s.head_bytes);
  return s.record;
}

template <class Coding, mean_source Source>
status decode(const decode_arguments& a) {
  return restore_tile<isa_lanes, Coding, Source>(
      a.shape, a.record, a.bytes,
      row_view<pattern_of<Coding::kTarget>>{a.numbers.data, a.numbers.token_stride_bytes},
      as<pattern_of<Coding::kMean>>(a.means), scale_codes{a.codes}, a.table);
}

template <class Coding, mean_source Source>
void measure(const measure_arguments& a) {
  const row_view<const std::byte> mean_rows = Source == mean_source::given ? a.means : a.numbers;
  measure_tile<isa_lanes, Coding>(a.shape, as<pattern_of<Coding::kTarget>>(a.numbers),
                                  make_mean<Source>(as<pattern_of<Coding::kMean>>(mean_rows)),
                                  scale_codes{a.codes}, a.counts, a.token_costs, a.channel_costs);
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
    if (id.source == mean_source::given)
      found =
          kCodec<typename coding_of<target, mean_source::given, mean>::type, mean_source::given>;
    if constexpr (target == mean) {
      if (id.source == mean_source::previous_token)
        found = kCodec<typename coding_of<target, mean_source::previous_token, mean>::type,
                       mean_source::previous_token>;
      if (id.source == mean_source::none)
        found =
            kCodec<typename coding_of<target, mean_source::none, mean>::type, mean_source::none>;
    }
    return true;
  });
  return found;
}

}  // namespace skv::cpu::SKV_ISA_NAMESPACE
