#include "stand_in/fat_binary.hpp"

#include <lz4.h>
#include <zstd.h>

#include <cstring>

namespace skv::stand_in {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

/// Takes a header off the bytes; false if they are too few for it and what it says of itself.
template <class Header>
bool read(std::span<const std::byte> bytes, Header& header) {
  if (bytes.size() < sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::size_t rest = bytes.size() - sizeof header;
  return header.header_bytes >= sizeof header && header.header_bytes - sizeof header <= rest &&
         header.bytes <= bytes.size() - header.header_bytes;
}

std::string text_of(const module_header& header, std::span<const std::byte> bytes) {
  const auto* const from = reinterpret_cast<const char*>(bytes.data());
  const std::uint64_t compression = header.flags & header.kIsCompressed;
  if (compression == 0) return {from, bytes.size()};
  if (header.compressed_bytes > bytes.size() || header.compressed_bytes > kMaxBytes ||
      header.text_bytes > kMaxBytes)
    return {};
  std::string text(header.text_bytes, '\0');
  std::size_t made = 0;
  if (compression == header.kIsZstd)
    made = ZSTD_decompress(text.data(), text.size(), from, header.compressed_bytes);
  else if (compression == header.kIsLz4)
    made = static_cast<std::size_t>(LZ4_decompress_safe(from, text.data(),
                                                        static_cast<int>(header.compressed_bytes),
                                                        static_cast<int>(text.size())));
  return made == text.size() ? text : "";
}

}  // namespace

std::string ptx_of(std::span<const std::byte> binary) {
  fat_header all;
  if (!read(binary, all) || all.magic != all.kMagic) return {};
  std::span<const std::byte> rest = binary.subspan(all.header_bytes, all.bytes);
  for (module_header module; read(rest, module);
       rest = rest.subspan(module.header_bytes + module.bytes)) {
    if (module.kind != module.kPtx) continue;
    std::string text = text_of(module, rest.subspan(module.header_bytes, module.bytes));
    text.resize(std::strlen(text.c_str()));  // padded with zeros
    return text.find(".version") == text.npos ? "" : text;
  }
  return {};
}

}  // namespace skv::stand_in
