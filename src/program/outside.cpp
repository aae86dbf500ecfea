#include "program/outside.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <skv/cpu/archive.hpp>
#include <skv/predict/embedding.hpp>

namespace skv::program {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";

template <class Int>
std::vector<std::uint32_t> ids_from(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> ids(bytes.size() / sizeof(Int));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Int id;
    std::memcpy(&id, bytes.data() + i * sizeof(Int), sizeof(Int));
    constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    ids[i] =
        id < 0 || static_cast<std::uint64_t>(id) > none ? none : static_cast<std::uint32_t>(id);
  }
  return ids;
}

// `read` gives the bytes of an entry.
template <class Read>
result<std::vector<std::uint32_t>> ids_of(const io::tensor_entry* e, const Read& read) {
  if (e == nullptr || e->shape.size() != 1 || (e->dtype != "I32" && e->dtype != "I64"))
    return fail(status::invalid_argument,
                "no token ids for the embedding: a tensor `tokens` [tokens] of I32 is wanted");
  const auto bytes = read(*e);
  if (!bytes) return bytes.failure();
  return e->dtype == "I32" ? ids_from<std::int32_t>(*bytes) : ids_from<std::int64_t>(*bytes);
}

}  // namespace

result<std::optional<embedding_file>> open_embedding(const std::string& where) {
  if (where.empty()) return std::optional<embedding_file>();
  // A colon may be part of the path: the whole is tried as a path first.
  std::error_code problem;
  const std::size_t colon = where.rfind(':');
  const bool is_path = colon == where.npos || fs::exists(where, problem);
  const fs::path path = is_path ? where : where.substr(0, colon);
  const std::string tensor = is_path ? kEmbedding : where.substr(colon + 1);
  auto file = io::mapped_file::open(path);
  if (!file) return file.failure();
  const auto parsed = io::parse_safetensors(file->bytes());
  if (!parsed) return in_file(path, parsed.failure());
  const std::string name = path.string() + ":" + tensor;
  const auto e = std::ranges::find(parsed->tensors, tensor, &io::tensor_entry::name);
  if (e == parsed->tensors.end())
    return fail(status::invalid_argument, name + ": there is no such tensor");
  const auto format = e->dtype == "F32" ? std::optional(kSingle) : format_of(e->dtype);
  constexpr std::uint64_t limit = std::numeric_limits<std::uint32_t>::max();
  if (!format || e->shape.size() != 2 || e->shape[0] == 0 || e->shape[1] == 0 ||
      e->shape[0] > limit || e->shape[1] > kMaxInputs)
    return fail(status::invalid_argument,
                name +
                    ": an embedding [ids, width] of F32, BF16, F16, F8_E4M3 or F8_E5M2, at most " +
                    std::to_string(kMaxInputs) + " wide, is wanted");
  const cpu::embedding_table table(*format, static_cast<std::uint32_t>(e->shape[0]),
                                   static_cast<std::uint32_t>(e->shape[1]),
                                   file->bytes().data() + e->begin);
  return std::optional<embedding_file>(embedding_file{name, *std::move(file), table});
}

result<std::vector<std::uint32_t>> token_ids(const cache& c) {
  return ids_of(c.tokens ? &*c.tokens : nullptr,
                [&](const io::tensor_entry& e) -> result<std::span<const std::byte>> {
                  return c.file.bytes().subspan(e.begin, e.end - e.begin);
                });
}

result<std::vector<std::uint32_t>> token_ids(const container& box,
                                             std::span<const std::byte> file) {
  const auto parsed = io::parse_safetensors(box.preamble, box.source_bytes());
  if (!parsed) return parsed.failure();
  const auto e = std::ranges::find(parsed->tensors, "tokens", &io::tensor_entry::name);
  return ids_of(e == parsed->tensors.end() ? nullptr : &*e, [&](const io::tensor_entry& t) {
    return cpu::read_opaque(box, file, t.begin, t.end - t.begin);
  });
}

result<std::vector<cpu::draft_tensor>> draft_tensors(const cache& draft) {
  std::vector<cpu::draft_tensor> tensors;
  for (const cache_tensor& t : draft.tensors) {
    if (t.tokens > std::numeric_limits<std::uint32_t>::max())
      return fail(status::invalid_argument, draft.path.string() + ": too many tokens");
    tensors.push_back(
        {t.id, t.format, static_cast<std::uint32_t>(t.tokens), t.heads, t.head_dim, draft.rows(t)});
  }
  std::ranges::sort(tensors, {}, &cpu::draft_tensor::id);
  return tensors;
}

cpu::outside_inputs outside_material::inputs() const {
  cpu::outside_inputs in;
  if (embedding != nullptr) {
    in.embedding = &embedding->table;
    in.embedding_name = embedding->name;
  }
  in.ids = ids;
  in.draft = draft;
  if (!draft_name.empty()) in.draft_name = draft_name;
  return in;
}

result<outside_material> material_of(const embedding_file* embedding, const cache& target,
                                     const cache* draft) {
  outside_material m;
  if (embedding != nullptr) {
    m.embedding = embedding;
    auto ids = token_ids(target);
    if (!ids) return ids.failure();
    m.ids = *std::move(ids);
  }
  if (draft != nullptr) {
    auto tensors = draft_tensors(*draft);
    if (!tensors) return tensors.failure();
    m.draft = *std::move(tensors);
    m.draft_name = draft->path.string();
  }
  return m;
}

result<std::optional<cpu::outside_rows>> outside_rows_for(const container& box, profile_ptr p,
                                                          const outside_material& material) {
  if (!has_outside(*p)) return std::optional<cpu::outside_rows>();
  std::uint64_t longest = 0;
  std::uint32_t first = std::numeric_limits<std::uint32_t>::max();
  for (const stream& s : box.streams) {
    if (!s.is_tensor) continue;
    longest = std::max(longest, s.tokens);
    first = std::min(first, s.first_position);
  }
  auto rows =
      cpu::outside_rows::of(cpu::linear_steps(std::move(p)), material.inputs(),
                            cpu::position_range{first, static_cast<std::uint32_t>(longest)});
  if (!rows) return rows.failure();
  return std::optional(*std::move(rows));
}

}  // namespace skv::program
