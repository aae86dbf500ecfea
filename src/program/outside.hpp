// What outside rows of linear propagation are made of: files of an embedding, ids, a draft's cache.
#pragma once

#include <optional>
#include <skv/cpu/outside.hpp>
#include <string>
#include <vector>

#include "program/cache.hpp"

namespace skv::program {

/// A matrix of embeddings in a safetensors file.
struct embedding_file {
  std::string name;  ///< FILE:TENSOR, for messages
  io::mapped_file file;
  cpu::embedding_table table;
};
/// `where` is FILE or FILE:TENSOR; the tensor is model.embed_tokens.weight if none is named.
/// Nothing for an empty `where`.
result<std::optional<embedding_file>> open_embedding(const std::string& where);

/// The token ids of a cache: its tensor `tokens`, I32 or I64. An id outside of 32 bits becomes
/// 2^32 - 1.
result<std::vector<std::uint32_t>> token_ids(const cache& c);
/// The same of a compressed one, whose .skv bytes are `file`.
result<std::vector<std::uint32_t>> token_ids(const container& box, std::span<const std::byte> file);

/// The tensors of a draft's cache, in ascending order of id.
result<std::vector<cpu::draft_tensor>> draft_tensors(const cache& draft);

/// For one cache. Borrows.
struct outside_material {
  const embedding_file* embedding = nullptr;
  std::vector<std::uint32_t> ids;  // as far as there is an embedding
  std::vector<cpu::draft_tensor> draft;
  std::string draft_name;

  cpu::outside_inputs inputs() const;
};
/// Of an uncompressed cache: ids are read if there is an embedding.
result<outside_material> material_of(const embedding_file* embedding, const cache& target,
                                     const cache* draft);

/// The rows of a container that `p` is for; nothing if it has none. Fails as cpu::outside_rows::of.
result<std::optional<cpu::outside_rows>> outside_rows_for(const container& box, profile_ptr p,
                                                          const outside_material& material);

/// Whether a profile needs material at all.
inline bool has_outside(const profile& p) {
  return p.content().linear && !p.content().linear->outside.empty();
}

}  // namespace skv::program
