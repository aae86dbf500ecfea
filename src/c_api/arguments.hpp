// Pointers and values that callers give, checked.
#pragma once

#include <skv/skv.h>

#include <skv/base/status.hpp>
#include <skv/number/format.hpp>
#include <string>

namespace skv::c_api {

inline error null_pointer(const char* what) {
  return fail(status::invalid_argument, std::string(what) + ": null pointer");
}

inline result<format_id> format_of(skv_format value, const char* what) {
  // Not narrowed before it is compared: 257 is no format either.
  for (const number_format& f : kFormats)
    if (static_cast<skv_format>(f.id) == value) return f.id;
  return fail(status::invalid_argument,
              std::string(what) + ": unknown number format " + std::to_string(value));
}

}  // namespace skv::c_api
