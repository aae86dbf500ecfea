// The instances of the tile codec that there are, and those that run here.
#pragma once

#include <skv/predict/list.hpp>

#include <string>
#include <vector>

#include "cpu/tile_codec.hpp"

namespace skv::test {

using cpu::coding_id;

/// Every combination of formats and source, whether or not there is a coding for it.
inline std::vector<coding_id> all_combinations() {
  std::vector<coding_id> ids;
  for (const number_format& target : kFormats)
    for (const number_format& mean : kFormats)
      for (const mean_source source :
           {mean_source::none, mean_source::previous_token, mean_source::given})
        ids.push_back({target.id, source, mean.id});
  return ids;
}
/// For tests of what does not depend on the coding: with a prediction from outside, and without any.
inline constexpr coding_id kGiven{format_id::bf16, mean_source::given, format_id::bf16};
inline constexpr coding_id kAlone{format_id::bf16, mean_source::none, format_id::bf16};
/// One of each source of means, each in another format.
inline constexpr coding_id kFewCodings[] = {
    kGiven,
    {format_id::fp16, mean_source::none, format_id::fp16},
    {format_id::e4m3, mean_source::previous_token, format_id::e4m3},
};
/// One of each kind: alone with a plane and without, after the previous token, given in the same format and
/// in another.
inline constexpr coding_id kSomeCodings[] = {
    kGiven,
    {format_id::fp16, mean_source::none, format_id::fp16},
    {format_id::e4m3, mean_source::given, format_id::bf16},
    {format_id::e4m3, mean_source::previous_token, format_id::e4m3},
    {format_id::e5m2, mean_source::none, format_id::e5m2},
};

inline std::vector<coding_id> all_codings() {
  std::vector<coding_id> ids;
  for (const coding_id id : all_combinations())
    if (is_coded(id.target, id.source, id.mean)) ids.push_back(id);
  return ids;
}
inline number_format format_of(format_id id) { return *find_format(static_cast<std::uint8_t>(id)); }

inline std::string name_of(coding_id id) {
  std::string name(to_string(id.target));
  if (id.source == mean_source::none) return name + "_alone";
  if (id.source == mean_source::previous_token) return name + "_after_previous_token";
  return name + "_given_" + std::string(to_string(id.mean));
}

struct named_codec {
  const char* name;
  cpu::tile_codec (*find)(coding_id);
};

/// The first is the scalar one.
inline const std::vector<named_codec>& codecs_that_run_here() {
  static const std::vector<named_codec> found = [] {
    std::vector<named_codec> c{{"scalar", cpu::scalar::find_tile_codec},
                               {"portable", cpu::portable::find_tile_codec}};
#if defined(SKV_HAVE_X86_ISAS)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    if (avx2) c.push_back({"avx2", cpu::avx2::find_tile_codec});
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512vbmi2"))
      c.push_back({"avx512", cpu::avx512::find_tile_codec});
#endif
    return c;
  }();
  return found;
}

}  // namespace skv::test
