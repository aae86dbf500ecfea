// Which tensor of a cache something belongs to.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace skv {

/// Wire ids: docs/format.md, section "Tensors".
enum class tensor_kind : std::uint8_t {
  k = 0,
  v = 1,
  latent = 2,  ///< the single latent of multi-head latent attention
};

constexpr const char* to_string(tensor_kind kind) {
  switch (kind) {
    case tensor_kind::k: return "k";
    case tensor_kind::v: return "v";
    case tensor_kind::latent: return "latent";
  }
  return "unknown";
}

/// One tensor of a cache, [tokens, heads, head_dim].
struct tensor_id {
  std::uint32_t layer = 0;
  tensor_kind kind = tensor_kind::k;

  friend constexpr auto operator<=>(tensor_id, tensor_id) = default;
};

/// "layers.3.k", as in a safetensors file.
inline std::string to_string(tensor_id id) {
  return "layers." + std::to_string(id.layer) + "." + to_string(id.kind);
}

}  // namespace skv
