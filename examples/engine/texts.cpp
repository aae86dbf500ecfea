#include "engine/texts.hpp"

#include <algorithm>

#include "engine/cache_file.hpp"
#include "io/messages.hpp"

namespace engine {

using namespace skv;
namespace fs = std::filesystem;

namespace {

// A file's tokens in pieces of `length`, each behind the begin token; a shorter rest only if there
// is nothing else.
result<std::vector<std::vector<std::int32_t>>> pieces_of(const fs::path& file, const loaded& m,
                                                         std::uint32_t length) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> first;
  if (file.extension() == ".safetensors") {
    auto read = read_tokens(file);
    if (!read) return read.failure();
    tokens = *std::move(read);
  } else {
    if (!m.text) return m.why_no_text;
    const auto words = read_text(file);
    if (!words) return words.failure();
    tokens = m.text->encode(*words);
    if (m.used.config.begin_token >= 0) first = {m.used.config.begin_token};
  }
  std::vector<std::vector<std::int32_t>> pieces;
  const std::size_t step = std::max<std::size_t>(length - first.size(), 1);
  for (std::size_t at = 0; at < tokens.size(); at += step) {
    const std::size_t count = std::min(step, tokens.size() - at);
    if (count < step && at > 0) break;
    pieces.push_back(first);
    pieces.back().insert(pieces.back().end(), tokens.begin() + static_cast<std::ptrdiff_t>(at),
                         tokens.begin() + static_cast<std::ptrdiff_t>(at + count));
  }
  return pieces;
}

}  // namespace

result<std::vector<recording>> record_all(const fs::path& from, const loaded& m, workers& team,
                                          std::uint32_t length) {
  std::vector<fs::path> files;
  std::error_code problem;
  if (fs::is_directory(from, problem)) {
    for (const auto& e : fs::directory_iterator(from, problem))
      if (e.path().extension() == ".safetensors" || e.path().extension() == ".txt")
        files.push_back(e.path());
    std::ranges::sort(files);
  } else {
    files.push_back(from);
  }
  if (problem)
    return fail(status::io_error, io::in_quotes(from.string()) + ": " + problem.message());
  std::vector<recording> recordings;
  for (const fs::path& file : files) {
    const auto pieces = pieces_of(file, m, length);
    if (!pieces) return pieces.failure();
    for (const auto& tokens : *pieces) {
      auto r = record(m.used, team, tokens);
      if (!r) return fail(r.code(), io::in_quotes(file.string()) + ": " + r.failure().message);
      recordings.push_back(*std::move(r));
    }
  }
  if (recordings.empty())
    return fail(status::invalid_argument,
                io::in_quotes(from.string()) +
                    ": no tokens: .safetensors files with `tokens`, or texts, are wanted");
  return recordings;
}

}  // namespace engine
