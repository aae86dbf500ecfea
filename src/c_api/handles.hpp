// What the opaque handles of skv.h are. A library beside this one (for another device) does not see
// them: it takes the same handles and asks for what it needs by skv_profile_bytes.
#pragma once

#include <skv/skv.h>

#include <skv/cpu/codec.hpp>
#include <utility>

#include "counted.hpp"

struct skv_profile : skv::c_api::counted {
  explicit skv_profile(skv::profile_ptr p) : held(std::move(p)) {}
  const skv::profile_ptr held;
};

struct skv_codec : skv::c_api::counted {
  explicit skv_codec(skv::profile_ptr p) : coder(std::move(p)) {}
  const skv::cpu::codec coder;
};
