// A safetensors header of any bytes: what is accepted keeps its promises (src/io/safetensors.hpp).
#include <cstdint>
#include <cstdlib>

#include "io/safetensors.hpp"

namespace {

using namespace skv;

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto parsed = io::parse_safetensors(file);
  if (!parsed) {
    check(parsed.code() == status::corrupt || parsed.code() == status::truncated);
    check(!parsed.failure().message.empty());
    return 0;
  }
  check(parsed->data_begin >= 8 && parsed->data_begin <= size);
  std::uint64_t at = parsed->data_begin;
  for (const io::tensor_entry& t : parsed->tensors) {
    check(t.begin >= at && t.end >= t.begin && t.end <= size);
    at = t.end;
    std::uint64_t bytes = io::dtype_bytes(t.dtype);
    if (bytes == 0) continue;
    for (const std::uint64_t n : t.shape) bytes *= n;
    check(bytes == t.end - t.begin);
  }
  // A header written for the same tensors names the same ones, if they lie without gaps.
  std::uint64_t sum = 0;
  for (const io::tensor_entry& t : parsed->tensors) sum += t.end - t.begin;
  if (parsed->tensors.empty() || sum != parsed->tensors.back().end - parsed->tensors.front().begin)
    return 0;
  const std::string header = io::make_header(parsed->tensors);
  std::vector<std::byte> again(header.size() + sum);
  for (std::size_t i = 0; i < header.size(); ++i) again[i] = static_cast<std::byte>(header[i]);
  const auto second = io::parse_safetensors(again);
  check(second && second->tensors.size() == parsed->tensors.size());
  for (std::size_t i = 0; i < second->tensors.size(); ++i) {
    const io::tensor_entry &a = parsed->tensors[i], &b = second->tensors[i];
    check(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape &&
          a.end - a.begin == b.end - b.begin);
  }
  return 0;
}
