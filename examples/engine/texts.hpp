// Files of text or tokens, as a model sees them.
#pragma once

#include <filesystem>
#include <skv/base/status.hpp>
#include <vector>

#include "engine/loaded_model.hpp"
#include "engine/recording.hpp"

namespace engine {

/// What the model makes of a file, or of a folder's .safetensors and .txt files: of tokens
/// (`tokens` of a .safetensors file) or of text, cut into pieces of `length` tokens. A rest that is
/// shorter is left out unless there is nothing else. Fails with io_error, invalid_argument (no
/// tokens) or as loaded::tokens_of and record do; the message names the file.
skv::result<std::vector<recording>> record_all(const std::filesystem::path& from, const loaded& m,
                                               workers& team, std::uint32_t length);

}  // namespace engine
