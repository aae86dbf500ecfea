// Who makes given means: the name of a predictor and the fingerprint of everything that its means
// depend on.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <skv/base/status.hpp>
#include <string>

namespace skv {

/// Two predictors with the same fingerprint make the same means, to the last bit. docs/format.md,
/// section "Container".
struct predictor_identity {
  std::string name;                         ///< for people: 1 to 255 printable ASCII characters
  std::array<std::byte, 16> fingerprint{};  ///< of weights, options, arithmetic

  friend bool operator==(const predictor_identity&, const predictor_identity&) = default;
};

/// The fingerprint as 32 hexadecimal digits.
std::string to_string(const std::array<std::byte, 16>& fingerprint);

/// "fp8 (0123...)", for messages.
inline std::string describe(const predictor_identity& p) {
  return p.name + " (" + to_string(p.fingerprint) + ")";
}

/// Fails with wrong_prediction, naming both, unless `p` makes the same means as what compressed.
inline result<done> require_predictor(const std::optional<predictor_identity>& compressed_with,
                                      const predictor_identity& p) {
  if (!compressed_with)
    return fail(status::wrong_prediction, "does not say which predictor it was compressed with");
  if (compressed_with->fingerprint != p.fingerprint)
    return fail(status::wrong_prediction, "was compressed with the predictor " +
                                              describe(*compressed_with) + ", this one is " +
                                              describe(p));
  return done{};
}

/// A name that files may carry.
inline bool is_name(const std::string& name) {
  if (name.empty() || name.size() > 255) return false;
  for (char c : name)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

}  // namespace skv
