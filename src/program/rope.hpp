// Rotary embeddings as users name them, as the frequencies that a profile holds.
#pragma once

#include <filesystem>
#include <skv/base/status.hpp>
#include <skv/profile/linear_model.hpp>
#include <string>

namespace skv::program {

/// "half:10000", "interleaved:500000:64": pairing, theta and, unless it is all of `head_dim`, how
/// many channels of a head turn, and optionally the first of them. Fails with invalid_argument.
result<rotary> parse_rope(const std::string& text, std::uint32_t head_dim);

/// From a Hugging Face config.json: theta, partial_rotary_factor, qk_rope_head_dim, and the
/// scalings linear, dynamic (as linear: none below the trained length), yarn and llama3. Fails with
/// invalid_argument or corrupt.
result<rotary> rope_of_model(const std::filesystem::path& config, std::uint32_t head_dim);

}  // namespace skv::program
