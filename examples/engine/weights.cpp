#include "engine/weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/bf16.hpp"
#include "io/messages.hpp"

namespace engine {

using namespace skv;

namespace {

using json = nlohmann::json;

float from_fp16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float size = exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                     : exponent == 0
                         ? std::ldexp(static_cast<float>(mantissa), -24)
                         : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -size : size;
}

template <class Number>
Number number_at(const std::byte* from, std::size_t i) {
  Number x;
  std::memcpy(&x, from + i * sizeof x, sizeof x);
  return x;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) { return json(shape).dump(); }

// The shards that an index names.
result<std::set<std::string>> shards(const std::filesystem::path& index) {
  const auto mapped = io::mapped_file::open(index);
  if (!mapped) return mapped.failure();
  const auto* const begin = reinterpret_cast<const char*>(mapped->bytes().data());
  std::set<std::string> names;
  try {
    const json j = json::parse(begin, begin + mapped->bytes().size());
    const auto files = j.at("weight_map").get<std::map<std::string, std::string>>();
    for (const auto& [tensor, file] : files) names.insert(file);
  } catch (const json::exception&) {
    return fail(status::corrupt, io::in_quotes(index.string()) + ": not an index of shards");
  }
  for (const std::string& name : names)
    if (name.empty() || name.find_first_of(std::string_view("/\\\0", 3)) != name.npos ||
        name == "..")
      return fail(status::corrupt, io::in_quotes(index.string()) + ": " + io::in_quotes(name) +
                                       " is not the name of a file beside it");
  return names;
}

}  // namespace

result<weight_files> weight_files::open(const std::filesystem::path& folder) {
  weight_files w;
  w.folder_ = folder.string();
  const auto index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (!std::filesystem::exists(index, ignored)) {
    if (auto ok = w.add(folder / "model.safetensors"); !ok) return ok.failure();
    return w;
  }
  const auto names = shards(index);
  if (!names) return names.failure();
  for (const std::string& name : *names)
    if (auto ok = w.add(folder / name); !ok) return ok.failure();
  return w;
}

result<done> weight_files::add(const std::filesystem::path& path) {
  auto mapped = io::mapped_file::open(path);
  if (!mapped) return mapped.failure();
  auto parsed = io::parse_safetensors(mapped->bytes());
  if (!parsed)
    return fail(parsed.code(), io::in_quotes(path.string()) + ": " + parsed.failure().message);
  for (io::tensor_entry& e : parsed->tensors) {
    std::string name = e.name;
    tensors_.insert_or_assign(std::move(name), place{files_.size(), std::move(e)});
  }
  files_.push_back(*std::move(mapped));
  return done{};
}

result<std::vector<std::uint16_t>> weight_files::read(
    const std::string& name, const std::vector<std::uint64_t>& shape) const {
  const auto refused = [&](status code, const std::string& why) {
    return fail(code, io::in_quotes(folder_) + ": tensor " + io::in_quotes(name) + " " + why);
  };
  const auto at = tensors_.find(name);
  if (at == tensors_.end()) return refused(status::corrupt, "is missing");
  const io::tensor_entry& e = at->second.entry;
  if (e.dtype != "BF16" && e.dtype != "F16" && e.dtype != "F32")
    return refused(status::unsupported,
                   "is of type " + io::in_quotes(e.dtype) + ", not BF16, F16 or F32");
  if (e.shape != shape)
    return refused(status::corrupt, "has shape " + shape_text(e.shape) +
                                        ", and the configuration asks for " + shape_text(shape));
  const std::byte* const from = files_[at->second.file].bytes().data() + e.begin;
  std::vector<std::uint16_t> numbers((e.end - e.begin) / io::dtype_bytes(e.dtype));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = e.dtype == "BF16"  ? number_at<std::uint16_t>(from, i)
                 : e.dtype == "F16" ? to_bf16(from_fp16(number_at<std::uint16_t>(from, i)))
                                    : to_bf16(number_at<float>(from, i));
  if (std::ranges::any_of(numbers, [](std::uint16_t x) { return (x & 0x7f80) == 0x7f80; }))
    return refused(status::corrupt, "holds an infinity or a NaN");
  return numbers;
}

}  // namespace engine
