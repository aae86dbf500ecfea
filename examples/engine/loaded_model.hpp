// A model with the tokenizer that lies beside it.
#pragma once

#include <filesystem>
#include <optional>
#include <skv/base/status.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/model.hpp"
#include "engine/tokenizer.hpp"

namespace engine {

struct loaded {
  model used;
  std::optional<tokenizer> text;
  skv::error why_no_text{};  ///< if there is none

  /// The tokens of a text, behind the model's begin token if it has one. Fails with unsupported if
  /// there is no tokenizer.
  skv::result<std::vector<std::int32_t>> tokens_of(const std::string& words) const;
  /// Text if there is a tokenizer, else ids with spaces between them.
  std::string text_of(std::span<const std::int32_t> tokens) const;
};

/// Loads a folder as load_model does, and its tokenizer, if it has one that is read. Fails so, too.
skv::result<loaded> load(const std::filesystem::path& folder, const rounding_points& rounding);

/// A file's bytes as text. Fails with io_error.
skv::result<std::string> read_text(const std::filesystem::path& path);

}  // namespace engine
