// Profiles: everything that both ends must agree on before the first number is coded.
// docs/format.md, section "Profile"; docs/profiles.md says how to make one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <skv/base/status.hpp>
#include <skv/base/tensor.hpp>
#include <skv/number/format.hpp>
#include <skv/predict/identity.hpp>
#include <skv/predict/mean.hpp>
#include <skv/profile/linear_model.hpp>
#include <skv/scale/per_channel.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skv {

/// The version of .skvp files that this build writes and reads.
inline constexpr std::uint16_t kProfileVersion = 1;

/// The name of a profile: XXH3-128 of its bytes. Shown as a fingerprint is.
using profile_id = std::array<std::byte, 16>;

/// Bytes that a profile carries for whoever makes the means, such as what was fitted for a
/// predictor. The library knows their name alone. In a profile they lie in its bytes; whoever makes
/// one keeps them until it is made.
struct attachment {
  std::string name;  ///< 1 to 255 printable ASCII characters
  std::span<const std::byte> bytes;
};

/// The scales of one tensor: a code per head and channel.
struct tensor_scales {
  tensor_id id;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  std::vector<scale_code> codes;  ///< [heads][head_dim]
};

/// What a profile is made of.
struct profile_content {
  format_id target = format_id::bf16;
  mean_source source = mean_source::none;
  format_id mean = format_id::bf16;  ///< equal to `target` unless means are given
  /// The code of tensors that have no scales of their own; only in a profile without any.
  scale_code default_code = 0;
  std::vector<tensor_scales> scales;       ///< ascending ids
  std::vector<std::uint16_t> frequencies;  ///< [contexts][tokens]; each context sums to kSlots
  /// How the means are made, if by linear propagation; the source is then `given`.
  std::optional<linear_model> linear = std::nullopt;
  std::vector<attachment> attachments = {};  ///< ascending names

  /// Where what both ends must hold comes from: `given` if a reference is needed.
  mean_source base() const { return linear ? linear->base : source; }
};

/// An immutable, validated profile with its coding tables. Safe to share between threads.
class profile {
 public:
  /// Validates a content and names it. Fails with invalid_argument, saying what is wrong.
  static result<std::shared_ptr<const profile>> make(profile_content content);

  /// Reads the bytes of a .skvp file, or of a profile embedded in a .skv file. Any bytes are safe:
  /// fails with truncated, corrupt or unsupported. Keeps a copy of the bytes, unless `owner` is
  /// given: then the bytes must last, unchanged, as long as it does (a mapped file).
  static result<std::shared_ptr<const profile>> parse(std::span<const std::byte> bytes,
                                                      std::shared_ptr<const void> owner = nullptr);

  /// The bytes of the .skvp file.
  std::span<const std::byte> bytes() const { return bytes_; }
  const profile_id& id() const { return id_; }
  const profile_content& content() const { return content_; }

  /// Scale codes [heads * head_dim] of a tensor. Fails with wrong_profile if the profile was made
  /// for another geometry. The codes live as long as the profile.
  result<std::span<const scale_code>> codes(tensor_id id, std::uint32_t heads,
                                            std::uint32_t head_dim) const;

  /// The attachment of a name; null data if there is none.
  std::span<const std::byte> attached(std::string_view name) const;

  std::uint32_t contexts() const { return contexts_; }
  /// kSlots entries per context (skv/entropy/table.hpp).
  const std::uint32_t* decode_table() const { return decode_table_.data(); }
  /// kMaxTokens entries per context.
  const std::uint32_t* encode_table() const { return encode_table_.data(); }

  /// A profile for the heads [first, first + count) of every tensor, for tensor parallelism. Codes
  /// and tables are those of this profile, attachments are left out; the name is its own. Fails
  /// with invalid_argument if a tensor has fewer heads, or if linear propagation was not fitted for
  /// such shards.
  result<std::shared_ptr<const profile>> slice_heads(std::uint32_t first,
                                                     std::uint32_t count) const;

 private:
  profile() = default;
  static result<std::shared_ptr<const profile>> from(std::span<const std::byte> bytes,
                                                     std::shared_ptr<const void> owner);

  profile_content content_;
  profile_id id_{};
  std::uint32_t contexts_ = 0;
  std::span<const std::byte> bytes_;  // into what owner_ owns; content_'s weights, too
  std::shared_ptr<const void> owner_;
  std::vector<std::uint32_t> decode_table_, encode_table_;
};

using profile_ptr = std::shared_ptr<const profile>;

/// How a coding divides its table: contexts, and tokens per context.
struct table_shape {
  std::uint32_t contexts = 0, tokens = 0;
  std::uint32_t escape = 0;  ///< the token that must have a frequency
};

/// The table of a coding that predict/list.hpp knows.
table_shape coding_table_shape(format_id target, mean_source source, format_id mean);

/// A profile that fits nothing in particular and codes everything: tables of a normal
/// distribution with heavy tails, one scale for all channels. Never fails for a coding that
/// predict/list.hpp knows; otherwise invalid_argument.
result<profile_ptr> default_profile(format_id target, mean_source source, format_id mean);

/// Token frequencies of that distribution, [contexts][kMaxTokens] shares that sum to 1.
std::vector<double> default_token_shares(format_id target, mean_source source, format_id mean);

/// Frequencies summing to kSlots, nearest to `counts` [tokens] in coded length: tokens too rare
/// for a slot of their own get none and are escaped; the escape has at least 1, and no token all.
std::vector<std::uint16_t> normalise_counts(std::span<const double> counts, std::uint32_t escape);

}  // namespace skv
