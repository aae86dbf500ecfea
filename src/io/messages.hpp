// How errors of this folder name things: files, tensors and the operating system's reasons.
#pragma once

#include <cstddef>
#include <filesystem>
#include <skv/base/status.hpp>
#include <string>
#include <string_view>

namespace skv::io {

/// `text` between single quotes, fit for a terminal whatever a file holds: control characters are
/// written as \xNN, and text longer than `max_bytes` ends in three dots.
std::string in_quotes(std::string_view text, std::size_t max_bytes = 4096);

/// io_error: "<what> '<path>': <the system's text for error_number>".
error system_failure(std::string_view what, const std::filesystem::path& path, int error_number);

}  // namespace skv::io
