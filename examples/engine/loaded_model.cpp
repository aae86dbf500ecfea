#include "engine/loaded_model.hpp"

#include <fmt/format.h>

#include "io/mapped_file.hpp"

namespace engine {

using namespace skv;

result<std::vector<std::int32_t>> loaded::tokens_of(const std::string& words) const {
  if (!text) return why_no_text;
  std::vector<std::int32_t> tokens = text->encode(words);
  if (used.config.begin_token >= 0) tokens.insert(tokens.begin(), used.config.begin_token);
  return tokens;
}

std::string loaded::text_of(std::span<const std::int32_t> tokens) const {
  return text ? text->decode(tokens) : fmt::format("{}", fmt::join(tokens, " "));
}

result<loaded> load(const std::filesystem::path& folder, const rounding_points& rounding) {
  auto m = load_model(folder);
  if (!m) return m.failure();
  loaded l{*std::move(m), std::nullopt, {}};
  l.used.config.rounding = rounding;
  auto text = tokenizer::open(folder);
  if (text)
    l.text.emplace(*std::move(text));
  else if (text.code() == status::unsupported)
    l.why_no_text = text.failure();
  else
    return text.failure();
  return l;
}

result<std::string> read_text(const std::filesystem::path& path) {
  const auto file = io::mapped_file::open(path);
  if (!file) return file.failure();
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

}  // namespace engine
