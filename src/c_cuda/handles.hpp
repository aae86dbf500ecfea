// What the opaque handles of skv_cuda.h are that more than one file knows.
#pragma once

#include <skv/skv_cuda.h>

#include <skv/cuda/codec.hpp>
#include <utility>

#include "c_api/counted.hpp"

struct skv_cuda_codec : skv::c_api::counted {
  explicit skv_cuda_codec(skv::cuda::codec c) : coder(std::move(c)) {}
  const skv::cuda::codec coder;
};
