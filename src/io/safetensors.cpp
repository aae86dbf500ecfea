#include "io/safetensors.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "io/header_reader.hpp"

namespace skv::io {
namespace {

using json = nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct dtype_size {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr dtype_size kDtypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
    {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8},
};

bool in_order(const tensor_entry& a, const tensor_entry& b) {
  return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
}

/// Whether the product of the nonzero factors and `size` fits 64 bits; `bytes` becomes the product
/// of all. With zeros left out the outcome does not hang on the factors' order, and a caller may
/// multiply any of them.
bool multiply(const std::vector<std::uint64_t>& shape, std::uint64_t size, std::uint64_t& bytes) {
  bytes = size;
  bool empty = false;
  for (const std::uint64_t factor : shape) {
    if (factor == 0) {
      empty = true;
      continue;
    }
    if (bytes > std::numeric_limits<std::uint64_t>::max() / factor) return false;
    bytes *= factor;
  }
  if (empty) bytes = 0;
  return true;
}

result<done> check(const tensor_entry& t, std::uint64_t data_bytes) {
  const auto refused = [&t](status code, const std::string& why) {
    return fail(code, tensor_named(t.name) + ": " + why);
  };
  if (t.begin > t.end)
    return refused(status::corrupt, "it ends at " + std::to_string(t.end) + ", before its begin " +
                                        std::to_string(t.begin));
  if (t.end > data_bytes)
    return refused(status::truncated, "its bytes end at " + std::to_string(t.end) +
                                          ", and the file's data at " + std::to_string(data_bytes));
  const std::uint64_t size = dtype_bytes(t.dtype);
  if (size == 0) return done{};
  std::uint64_t bytes = 0;
  if (!multiply(t.shape, size, bytes)) return refused(status::corrupt, "its shape is too large");
  if (bytes != t.end - t.begin)
    return refused(status::corrupt, "its shape takes " + std::to_string(bytes) +
                                        " bytes, and its offsets leave " +
                                        std::to_string(t.end - t.begin));
  return done{};
}

}  // namespace

std::uint64_t dtype_bytes(std::string_view dtype) {
  for (const auto& known : kDtypes)
    if (known.name == dtype) return known.bytes;
  return 0;
}

result<safetensors_file> parse_safetensors(std::span<const std::byte> file) {
  return parse_safetensors(file, file.size());
}

result<safetensors_file> parse_safetensors(std::span<const std::byte> file,
                                           std::uint64_t file_bytes) {
  if (file.size() < kLengthBytes)
    return fail(status::truncated, "a safetensors file has at least 8 bytes, and this one " +
                                       std::to_string(file.size()));
  std::uint64_t header_bytes = 0;
  for (std::uint64_t i = kLengthBytes; i-- > 0;)
    header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(file[i]);
  if (header_bytes > kMaxHeaderBytes)
    return fail(status::corrupt, "not a safetensors file: a header of " +
                                     std::to_string(header_bytes) + " bytes is above the limit");
  const std::uint64_t data_begin = kLengthBytes + header_bytes;
  if (data_begin > std::min<std::uint64_t>(file.size(), file_bytes))
    return fail(status::truncated, "the header of " + std::to_string(header_bytes) +
                                       " bytes does not end within the file");

  const auto* const begin = reinterpret_cast<const char*>(file.data()) + kLengthBytes;
  const std::string_view header(begin, header_bytes);
  // The format starts with a brace; the JSON library would also skip spaces and a byte order mark,
  // and take a zero byte for the end.
  if (!header.starts_with('{')) return fail(status::corrupt, "the header is not a JSON object");
  if (header.find('\0') != header.npos) return fail(status::corrupt, "the header has a zero byte");

  header_reader reader;
  if (!json::sax_parse(header.begin(), header.end(), &reader))
    return fail(status::corrupt, std::move(reader.complaint));

  safetensors_file out{data_begin, std::move(reader.tensors)};
  for (tensor_entry& t : out.tensors) {
    if (auto checked = check(t, file_bytes - data_begin); !checked) return checked.failure();
    t.begin += data_begin;
    t.end += data_begin;
  }
  std::sort(out.tensors.begin(), out.tensors.end(), in_order);
  for (std::size_t i = 1; i < out.tensors.size(); ++i) {
    // An empty tensor amid another's bytes counts as well: the reference refuses it, and callers
    // may subtract neighbours' offsets.
    const tensor_entry& before = out.tensors[i - 1];
    if (out.tensors[i].begin < before.end)
      return fail(status::corrupt, tensor_named(out.tensors[i].name) + " begins within " +
                                       tensor_named(before.name));
  }
  return out;
}

std::string make_header(const std::vector<tensor_entry>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::vector<const tensor_entry*> sorted;
  sorted.reserve(tensors.size());
  for (const tensor_entry& t : tensors) sorted.push_back(&t);
  std::sort(sorted.begin(), sorted.end(),
            [](const tensor_entry* a, const tensor_entry* b) { return in_order(*a, *b); });
  const std::uint64_t first = sorted.empty() ? 0 : sorted.front()->begin;

  std::string header = "{";
  const auto append = [&header](std::string_view name, const nlohmann::ordered_json& value) {
    const auto text = [](const nlohmann::ordered_json& j) {
      return j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    };
    if (header.size() > 1) header += ',';
    header.append(text(name)).append(1, ':').append(text(value));
  };
  if (!metadata.empty()) append(kMetadata, metadata);
  for (const tensor_entry* t : sorted)
    append(t->name, {{"dtype", t->dtype},
                     {"shape", t->shape},
                     {"data_offsets", {t->begin - first, t->end - first}}});
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');

  std::string length;
  for (std::uint64_t i = 0; i < kLengthBytes; ++i)
    length += static_cast<char>(header.size() >> 8 * i & 0xff);
  return length + header;
}

}  // namespace skv::io
