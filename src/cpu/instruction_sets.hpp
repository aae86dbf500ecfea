// Which tile codec runs here.
#pragma once

#include <skv/cpu/codec.hpp>

#include "tile_codec.hpp"

namespace skv::cpu {

/// The functions for an instruction set that is_available.
inline tile_codec codec_for(isa set, coding_id id) {
  switch (set) {
    case isa::scalar: return scalar::find_tile_codec(id);
#if defined(SKV_HAVE_X86_ISAS)
    case isa::avx2: return avx2::find_tile_codec(id);
    case isa::avx512: return avx512::find_tile_codec(id);
#endif
    default: return portable::find_tile_codec(id);
  }
}

}  // namespace skv::cpu
