// A safetensors cache in memory, by means of the library alone: its tensors and its streams.
#pragma once

#include <skv/cpu/archive.hpp>
#include <skv/format/container.hpp>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/safetensors.hpp"

namespace skv::test {

using byte_string = std::vector<std::byte>;

inline byte_string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  byte_string bytes(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

inline void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

struct cached_tensor {
  tensor_id id;
  format_id format{};
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;
  std::size_t begin = 0, end = 0;  ///< in the file
};

/// Holds `layers.{l}.k` and `.v` [tokens, heads, head_dim]; all other bytes only travel.
class cache_file {
 public:
  explicit cache_file(byte_string bytes) : bytes_(std::move(bytes)) {
    const auto parsed = io::parse_safetensors(bytes_);
    if (!parsed) throw std::runtime_error(parsed.failure().message);
    data_begin_ = parsed->data_begin;
    for (const io::tensor_entry& e : parsed->tensors) {
      cached_tensor t;
      const bool is_k = e.name.ends_with(".k"), is_v = e.name.ends_with(".v");
      const auto format = format_of_dtype(e.dtype);
      if (!e.name.starts_with("layers.") || !(is_k || is_v) || !format || e.shape.size() != 3)
        continue;
      std::from_chars(e.name.data() + 7, e.name.data() + e.name.size(), t.id.layer);
      t.id.kind = is_k ? tensor_kind::k : tensor_kind::v;
      t.format = *format;
      t.tokens = static_cast<std::uint32_t>(e.shape[0]);
      t.heads = static_cast<std::uint32_t>(e.shape[1]);
      t.head_dim = static_cast<std::uint32_t>(e.shape[2]);
      t.begin = e.begin;
      t.end = e.end;
      tensors_.push_back(t);
    }
  }
  /// A file of the fixture: tests/data/README.md.
  static cache_file tiny(const std::string& name) {
    return cache_file(read_bytes(std::filesystem::path(SKV_TEST_DATA) / "tiny" / name));
  }

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::vector<cached_tensor>& tensors() const { return tensors_; }
  row_view<const std::byte> rows(const cached_tensor& t) const {
    return {bytes_.data() + t.begin, (t.end - t.begin) / t.tokens};
  }
  cpu::mean_lookup as_means() const {
    return [this](const stream& s) -> result<row_view<const std::byte>> {
      for (const cached_tensor& t : tensors_)
        if (t.id == s.id) return rows(t);
      return fail(status::wrong_prediction, to_string(s.id) + ": not in the reference");
    };
  }

  /// A container of this cache, without records.
  container box(const profile& p, std::uint32_t tile_elements = 65536) const {
    container c;
    c.profile = p.id();
    c.target = p.content().target;
    c.source = p.content().source;
    c.mean = p.content().mean;
    c.preamble.assign(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(data_begin_));
    std::size_t at = data_begin_;
    const auto opaque_until = [&](std::size_t end) {
      stream s;
      s.opaque_bytes = end - at;
      if (end > at) c.streams.push_back(s);
    };
    for (const cached_tensor& t : tensors_) {
      opaque_until(t.begin);
      stream s;
      s.is_tensor = true;
      s.id = t.id;
      s.format = t.format;
      s.tokens = t.tokens;
      s.heads = t.heads;
      s.head_dim = t.head_dim;
      if (!choose_tiles(s, tile_elements)) throw std::runtime_error("no tiles");
      c.streams.push_back(s);
      at = t.end;
    }
    opaque_until(bytes_.size());
    return c;
  }

 private:
  static std::optional<format_id> format_of_dtype(std::string_view dtype) {
    if (dtype == "BF16") return format_id::bf16;
    if (dtype == "F16") return format_id::fp16;
    if (dtype == "F8_E4M3") return format_id::e4m3;
    if (dtype == "F8_E5M2") return format_id::e5m2;
    return std::nullopt;
  }

  byte_string bytes_;
  std::size_t data_begin_ = 0;
  std::vector<cached_tensor> tensors_;
};

}  // namespace skv::test
