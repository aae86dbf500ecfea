#include "io/messages.hpp"

#include <system_error>

namespace skv::io {

std::string in_quotes(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  const bool too_long = text.size() > max_bytes;
  if (too_long) {
    // Not in the middle of a UTF-8 sequence.
    while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xc0) == 0x80)
      --max_bytes;
    text = text.substr(0, max_bytes);
  }
  std::string out = "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out.append("\\x").append({kHexDigits[byte >> 4], kHexDigits[byte & 15]});
    else
      out += c;
  }
  return out += too_long ? "...'" : "'";
}

error system_failure(std::string_view what, const std::filesystem::path& path, int error_number) {
  return fail(status::io_error, std::string(what) + ' ' + in_quotes(path.native()) + ": " +
                                    std::generic_category().message(error_number));
}

}  // namespace skv::io
