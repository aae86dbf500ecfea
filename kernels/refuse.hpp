// How the host part of the kernels refuses arguments.
#pragma once

#include <skv/base/status.hpp>
#include <string>
#include <utility>

namespace skv::cuda {

inline error bad(std::string what) { return fail(status::invalid_argument, std::move(what)); }

}  // namespace skv::cuda
