#include "engine/tokenizer.hpp"

#if defined(SKV_ENGINE_HAS_SENTENCEPIECE)
#include <sentencepiece_processor.h>
#endif

#include <utility>

#include "io/messages.hpp"

namespace engine {

using namespace skv;

#if defined(SKV_ENGINE_HAS_SENTENCEPIECE)
struct tokenizer::processor {
  sentencepiece::SentencePieceProcessor pieces;

  bool load(const std::string& file) { return pieces.Load(file).ok(); }
  std::vector<int> encode(const std::string& text) const { return pieces.EncodeAsIds(text); }
  std::string decode(const std::vector<int>& ids) const { return pieces.DecodeIds(ids); }
  int size() const { return pieces.GetPieceSize(); }
};
constexpr bool kHasText = true;
#else
struct tokenizer::processor {
  bool load(const std::string&) { return false; }
  std::vector<int> encode(const std::string&) const { return {}; }
  std::string decode(const std::vector<int>&) const { return {}; }
  int size() const { return 0; }
};
constexpr bool kHasText = false;
#endif

tokenizer::tokenizer(std::unique_ptr<processor> p) : processor_(std::move(p)) {}
tokenizer::tokenizer(tokenizer&&) noexcept = default;
tokenizer::~tokenizer() = default;

result<tokenizer> tokenizer::open(const std::filesystem::path& model_folder) {
  const auto file = model_folder / "tokenizer.model";
  const std::string name = io::in_quotes(file.string());
  if (!kHasText)
    return fail(status::unsupported, "built without SentencePiece: give tokens, not text");
  if (std::error_code ignored; !std::filesystem::exists(file, ignored))
    return fail(
        status::unsupported,
        "there is no " + name + ": only SentencePiece's tokenizers are read, so give tokens");
  auto p = std::make_unique<processor>();
  if (!p->load(file.string())) return fail(status::corrupt, name + ": not a SentencePiece model");
  return tokenizer(std::move(p));
}

std::vector<std::int32_t> tokenizer::encode(const std::string& text) const {
  const std::vector<int> ids = processor_->encode(text);
  return {ids.begin(), ids.end()};
}

std::string tokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::vector<int> ids;
  for (const std::int32_t t : tokens)
    if (t >= 0 && t < processor_->size()) ids.push_back(t);
  return processor_->decode(ids);
}

}  // namespace engine
