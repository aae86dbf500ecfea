#include "engine/cache_file.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "io/mapped_file.hpp"
#include "io/messages.hpp"
#include "io/output_file.hpp"
#include "io/safetensors.hpp"

namespace engine {

using namespace skv;

result<done> write_cache(const std::filesystem::path& path, const model_config& config,
                         std::span<const std::int32_t> tokens, const kv_cache& cache) {
  const std::uint64_t count = cache.tokens(), bytes = count * config.kv_width() * 2;
  std::vector<io::tensor_entry> entries;
  std::uint64_t at = 0;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer)
    for (const tensor_kind kind : {tensor_kind::k, tensor_kind::v}) {
      entries.push_back({to_string(tensor_id{layer, kind}),
                         "BF16",
                         {count, config.kv_heads, config.head_dim},
                         at,
                         at + bytes});
      at += bytes;
    }
  entries.push_back({"tokens", "I32", {count}, at, at + count * 4});
  auto file = io::output_file::create(path);
  if (!file) return file.failure();
  const std::string header = io::make_header(entries);
  if (auto ok = file->append(std::as_bytes(std::span(header))); !ok) return ok;
  std::vector<std::uint16_t> rows(count * config.kv_width());
  for (std::uint32_t layer = 0; layer < config.layers; ++layer)
    for (const tensor_kind kind : {tensor_kind::k, tensor_kind::v}) {
      cache.read(layer, kind, 0, rows);
      if (auto ok = file->append(std::as_bytes(std::span(rows))); !ok) return ok;
    }
  if (auto ok = file->append(std::as_bytes(tokens)); !ok) return ok;
  return file->commit();
}

namespace {

result<std::vector<std::int32_t>> tokens_of_safetensors(std::span<const std::byte> file) {
  const auto parsed = io::parse_safetensors(file);
  if (!parsed) return parsed.failure();
  const auto at = std::ranges::find(parsed->tensors, "tokens", &io::tensor_entry::name);
  if (at == parsed->tensors.end() || at->dtype != "I32" || at->shape.size() != 1)
    return fail(status::corrupt, "there is no tensor 'tokens' of type I32 and one dimension");
  std::vector<std::int32_t> tokens(at->shape[0]);
  if (!tokens.empty()) std::memcpy(tokens.data(), file.data() + at->begin, at->end - at->begin);
  return tokens;
}

result<std::vector<std::int32_t>> tokens_of_text(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::int32_t> tokens;
  for (std::size_t begin = 0; (begin = text.find_first_not_of(kSpace, begin)) != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const auto [stop, problem] =
        std::from_chars(word.data(), word.data() + word.size(), tokens.emplace_back());
    if (problem != std::errc{} || stop != word.data() + word.size())
      return fail(status::corrupt, io::in_quotes(word, 40) + " is not a token id");
    begin = end;
  }
  return tokens;
}

}  // namespace

result<std::vector<std::int32_t>> read_tokens(const std::filesystem::path& path) {
  const auto file = io::mapped_file::open(path);
  if (!file) return file.failure();
  const auto* const begin = reinterpret_cast<const char*>(file->bytes().data());
  auto tokens = path.extension() == ".safetensors" ? tokens_of_safetensors(file->bytes())
                                                   : tokens_of_text({begin, file->bytes().size()});
  if (!tokens)
    return fail(tokens.code(), io::in_quotes(path.string()) + ": " + tokens.failure().message);
  return tokens;
}

}  // namespace engine
