// Text for models that bring a SentencePiece tokenizer.model. For others there are tokens only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <skv/base/status.hpp>
#include <span>
#include <string>
#include <vector>

namespace engine {

class tokenizer {
 public:
  /// Reads DIR/tokenizer.model. Fails with unsupported if there is none (a tokenizer.json is not
  /// read) or the engine was built without SentencePiece, or with corrupt.
  static skv::result<tokenizer> open(const std::filesystem::path& model_folder);

  tokenizer(tokenizer&&) noexcept;
  ~tokenizer();

  /// Ids of a text, without a begin token.
  std::vector<std::int32_t> encode(const std::string& text) const;
  std::string decode(std::span<const std::int32_t> tokens) const;

 private:
  struct processor;
  explicit tokenizer(std::unique_ptr<processor> p);
  std::unique_ptr<processor> processor_;
};

}  // namespace engine
