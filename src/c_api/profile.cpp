#include <algorithm>
#include <skv/predict/list.hpp>

#include "arguments.hpp"
#include "call.hpp"
#include "handles.hpp"

using namespace skv;
using namespace skv::c_api;

namespace {

// Hands a new profile to the caller.
result<done> give(const result<profile_ptr>& made, skv_profile** out) {
  if (!made) return made.failure();
  *out = new skv_profile(*made);
  return done{};
}

}  // namespace

skv_status skv_profile_from_bytes(const void* bytes, size_t size, skv_profile** profile) {
  return call([&]() -> result<done> {
    if (bytes == nullptr || profile == nullptr) return null_pointer("bytes or profile");
    if (size > PTRDIFF_MAX) return fail(status::invalid_argument, "size: beyond any memory");
    return give(profile::parse({static_cast<const std::byte*>(bytes), size}), profile);
  });
}

skv_status skv_profile_default(skv_format target, skv_source source, skv_format mean,
                               skv_profile** profile) {
  return call([&]() -> result<done> {
    if (profile == nullptr) return null_pointer("profile");
    const auto t = format_of(target, "target"), m = format_of(mean, "mean");
    if (!t) return t.failure();
    if (!m) return m.failure();
    if (source > SKV_SOURCE_GIVEN)
      return fail(status::invalid_argument, "unknown source " + std::to_string(source));
    return give(default_profile(*t, static_cast<mean_source>(source), *m), profile);
  });
}

skv_status skv_profile_slice_heads(const skv_profile* whole, uint32_t first, uint32_t count,
                                   skv_profile** profile) {
  return call([&]() -> result<done> {
    if (whole == nullptr || profile == nullptr) return null_pointer("whole or profile");
    if (count == 0) return fail(status::invalid_argument, "count: no heads");
    return give(whole->held->slice_heads(first, count), profile);
  });
}

skv_profile* skv_profile_retain(skv_profile* profile) { return retain(profile); }
void skv_profile_release(skv_profile* profile) { release(profile); }

skv_status skv_profile_bytes(const skv_profile* profile, const void** bytes, size_t* size) {
  return call([&]() -> result<done> {
    if (profile == nullptr || bytes == nullptr || size == nullptr)
      return null_pointer("profile, bytes or size");
    *bytes = profile->held->bytes().data();
    *size = profile->held->bytes().size();
    return done{};
  });
}

skv_status skv_profile_id(const skv_profile* profile, uint8_t id[16]) {
  return call([&]() -> result<done> {
    if (profile == nullptr || id == nullptr) return null_pointer("profile or id");
    std::ranges::transform(profile->held->id(), id, std::to_integer<std::uint8_t>);
    return done{};
  });
}

skv_status skv_profile_coding(const skv_profile* profile, skv_format* target, skv_source* source,
                              skv_format* mean) {
  return call([&]() -> result<done> {
    if (profile == nullptr) return null_pointer("profile");
    const profile_content& c = profile->held->content();
    if (target != nullptr) *target = static_cast<skv_format>(c.target);
    if (source != nullptr) *source = static_cast<skv_source>(c.source);
    if (mean != nullptr) *mean = static_cast<skv_format>(c.mean);
    return done{};
  });
}
