#include "program/cache.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <skv/calibrate/calibrate.hpp>
#include <skv/predict/list.hpp>

#include "cpu/parallel.hpp"
#include "io/progress.hpp"

namespace skv::program {
namespace {

// "layers.{l}.k", "layers.{l}.v" or "layers.{l}.latent"
std::optional<tensor_id> id_of(std::string_view name) {
  constexpr std::string_view prefix = "layers.";
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  tensor_id id;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), id.layer);
  if (problem != std::errc{} || (name.front() == '0' && end != name.data() + 1))
    return std::nullopt;
  name.remove_prefix(static_cast<std::size_t>(end - name.data()));
  for (const tensor_kind kind : {tensor_kind::k, tensor_kind::v, tensor_kind::latent}) {
    id.kind = kind;
    if (name == std::string(".") + to_string(kind)) return id;
  }
  return std::nullopt;
}

// A K, V or latent with at least one number; anything else travels as bytes.
std::optional<cache_tensor> as_cache_tensor(const io::tensor_entry& e) {
  const auto id = id_of(e.name);
  const auto format = format_of(e.dtype);
  if (!id || !format || e.begin == e.end) return std::nullopt;
  const bool latent = id->kind == tensor_kind::latent && e.shape.size() == 2;
  if (!latent && e.shape.size() != 3) return std::nullopt;
  const std::uint64_t heads = latent ? 1 : e.shape[1];
  const std::uint64_t head_dim = e.shape.back();
  if (heads > std::numeric_limits<std::uint32_t>::max() || head_dim > kMaxTileElements)
    return std::nullopt;
  return cache_tensor{*id,
                      format->id,
                      e.shape[0],
                      static_cast<std::uint32_t>(heads),
                      static_cast<std::uint32_t>(head_dim),
                      e.begin,
                      e.end};
}

// Of the targets; a file that is not there counts nothing, and is reported when it is opened.
std::uint64_t total_bytes(const std::vector<cache_pair>& pairs) {
  std::uint64_t total = 0;
  for (const cache_pair& pair : pairs) {
    std::error_code missing;
    if (const auto bytes = fs::file_size(pair.target, missing); !missing) total += bytes;
  }
  return total;
}

std::string shape_text(std::uint64_t tokens, std::uint32_t heads, std::uint32_t head_dim) {
  return "[" + std::to_string(tokens) + ", " + std::to_string(heads) + ", " +
         std::to_string(head_dim) + "]";
}

}  // namespace

std::optional<number_format> format_of(std::string_view dtype) {
  if (dtype == "BF16") return bf16;
  if (dtype == "F16") return fp16;
  if (dtype == "F8_E4M3") return e4m3;
  if (dtype == "F8_E5M2") return e5m2;
  return std::nullopt;
}

error in_file(const fs::path& path, const error& what) {
  return {what.code, path.string() + ": " + what.message};
}

const cache_tensor* cache::find(tensor_id id) const {
  const auto at = std::ranges::find(tensors, id, &cache_tensor::id);
  return at == tensors.end() ? nullptr : &*at;
}

result<cache> open_cache(const fs::path& path) {
  auto file = io::mapped_file::open(path);
  if (!file) return file.failure();
  file->advise_sequential();
  const auto parsed = io::parse_safetensors(file->bytes());
  if (!parsed) return in_file(path, parsed.failure());
  cache c{path, *std::move(file), parsed->data_begin, {}, {}};
  for (const io::tensor_entry& e : parsed->tensors) {
    if (const auto t = as_cache_tensor(e)) c.tensors.push_back(*t);
    if (e.name == "tokens") c.tokens = e;
  }
  if (c.tensors.empty())
    return fail(status::invalid_argument,
                path.string() +
                    ": no K or V: tensors `layers.{l}.k` and `layers.{l}.v` [tokens, "
                    "kv_heads, head_dim] of BF16, F16, F8_E4M3 or F8_E5M2 are wanted");
  return c;
}

result<open_pair> open(const cache_pair& pair) {
  auto target = open_cache(pair.target);
  if (!target) return target.failure();
  open_pair opened{*std::move(target), std::nullopt, std::nullopt};
  const auto open_beside = [](const fs::path& path, std::optional<cache>& into) -> result<done> {
    if (path.empty()) return done{};
    auto c = open_cache(path);
    if (!c) return c.failure();
    into = *std::move(c);
    return done{};
  };
  if (auto ok = open_beside(pair.reference, opened.reference); !ok) return ok.failure();
  if (auto ok = open_beside(pair.draft, opened.draft); !ok) return ok.failure();
  return opened;
}

result<std::vector<stream>> streams_of(const cache& c, format_id format,
                                       std::uint32_t tile_elements,
                                       std::optional<std::uint32_t> linear_position) {
  std::vector<stream> streams;
  std::uint64_t at = c.data_begin;
  const auto opaque_until = [&](std::uint64_t end) {
    if (end > at) {
      stream s;
      s.opaque_bytes = end - at;
      streams.push_back(s);
    }
    at = end;
  };
  for (const cache_tensor& t : c.tensors) {
    if (t.format != format) continue;
    opaque_until(t.begin);
    stream s;
    s.is_tensor = true;
    s.id = t.id;
    s.format = format;
    s.tokens = t.tokens;
    s.heads = t.heads;
    s.head_dim = t.head_dim;
    if (auto chosen = choose_tiles(s, tile_elements); !chosen)
      return in_file(c.path, chosen.failure());
    streams.push_back(s);
    at = t.end;
  }
  opaque_until(c.file.bytes().size());
  if (linear_position)
    if (auto cut = choose_linear_tiles(streams, tile_elements, *linear_position); !cut)
      return in_file(c.path, cut.failure());
  return streams;
}

result<row_view<const std::byte>> means_in(const cache& reference, format_id mean, tensor_id id,
                                           std::uint64_t tokens, std::uint32_t heads,
                                           std::uint32_t head_dim) {
  const cache_tensor* t = reference.find(id);
  const std::string where = reference.path.string() + ": " + to_string(id);
  if (t == nullptr) return fail(status::wrong_prediction, where + ": not in the reference");
  if (t->tokens != tokens || t->heads != heads || t->head_dim != head_dim)
    return fail(status::wrong_prediction, where + ": the reference has shape " +
                                              shape_text(t->tokens, t->heads, t->head_dim) +
                                              ", the cache " + shape_text(tokens, heads, head_dim));
  if (t->format != mean)
    return fail(status::wrong_prediction, where + ": the reference is " +
                                              std::string(to_string(t->format)) + ", " +
                                              std::string(to_string(mean)) + " is wanted");
  return reference.rows(*t);
}

cpu::mean_lookup means_from(const cache* reference, format_id mean) {
  return [reference, mean](const stream& s) -> result<row_view<const std::byte>> {
    if (reference == nullptr) return row_view<const std::byte>{};
    return means_in(*reference, mean, s.id, s.tokens, s.heads, s.head_dim);
  };
}

result<std::vector<cache_pair>> pair_up(const fs::path& target, const fs::path& reference,
                                        const fs::path& draft) {
  std::error_code problem;
  std::vector<cache_pair> pairs;
  if (!fs::is_directory(target, problem)) {
    const auto beside = [&](const fs::path& other) {
      return !other.empty() && fs::is_directory(other, problem) ? other / target.filename() : other;
    };
    pairs.push_back({target, beside(reference), beside(draft)});
    return pairs;
  }
  const auto in = [](const fs::path& folder, const fs::path& file) {
    return folder.empty() ? fs::path() : folder / file.filename();
  };
  for (const auto& entry : fs::directory_iterator(target, problem))
    if (entry.path().extension() == ".safetensors")
      pairs.push_back({entry.path(), in(reference, entry.path()), in(draft, entry.path())});
  if (problem) return fail(status::io_error, target.string() + ": " + problem.message());
  if (pairs.empty())
    return fail(status::invalid_argument, target.string() + ": no .safetensors files in there");
  std::ranges::sort(pairs, {}, &cache_pair::target);
  return pairs;
}

result<std::vector<calibration_tensor>> calibration_tensors(const cache_pair& pair,
                                                            const open_pair& opened,
                                                            format_id target, format_id mean) {
  const cache& c = opened.target;
  const cache* const reference = opened.means();
  std::vector<calibration_tensor> tensors;
  for (const cache_tensor& t : c.tensors) {
    if (t.format != target) continue;
    if (t.tokens > std::numeric_limits<std::uint32_t>::max())
      return fail(status::invalid_argument, pair.target.string() + ": too many tokens");
    calibration_tensor of{
        t.id, static_cast<std::uint32_t>(t.tokens), t.heads, t.head_dim, c.rows(t), {}};
    if (reference != nullptr) {
      const auto m = means_in(*reference, mean, t.id, t.tokens, t.heads, t.head_dim);
      if (!m) return m.failure();
      of.bases = *m;
    }
    tensors.push_back(of);
  }
  std::ranges::sort(tensors, {}, &calibration_tensor::id);
  return tensors;
}

result<profile_ptr> fit_profile(const std::vector<cache_pair>& pairs, mean_source source,
                                unsigned threads) {
  std::optional<calibrator> fit;
  format_id target{}, mean{};
  io::progress bar("fitting a profile", calibrator::kPasses * total_bytes(pairs));
  do {
    for (const cache_pair& pair : pairs) {
      const auto opened =
          open({pair.target, source == mean_source::given ? pair.reference : "", {}});
      if (!opened) return opened.failure();
      const cache* const reference = opened->means();
      if (!fit) {
        target = opened->target.format();
        mean = reference ? reference->format() : target;
        if (!is_coded(target, source, mean))
          return fail(status::invalid_argument,
                      pair.reference.string() + ": a reference of " + std::string(to_string(mean)) +
                          " numbers cannot predict " + std::string(to_string(target)) +
                          " ones: give it in the same format, or in bf16 or fp16 for an fp8 cache");
        fit.emplace(target, source, mean);
      }
      const auto tensors = calibration_tensors(pair, *opened, target, mean);
      if (!tensors) return tensors.failure();
      const auto add = [&](const calibration_tensor& t) -> result<done> {
        if (auto ok = fit->add(t.id, t.tokens, t.heads, t.head_dim, t.numbers, t.bases); !ok)
          return in_file(pair.target, ok.failure());
        bar.add(t.tokens * t.numbers.token_stride_bytes);
        return done{};
      };
      std::vector<result<done>> outcomes(tensors->size(), done{});
      cpu::parallel_for(tensors->size(), cpu::thread_count(threads),
                        [&](std::size_t i) { outcomes[i] = add((*tensors)[i]); });
      for (const result<done>& outcome : outcomes)
        if (!outcome) return outcome.failure();
    }
  } while (fit && fit->next_pass());
  if (!fit) return fail(status::invalid_argument, "nothing to calibrate on");
  return fit->finish();
}

}  // namespace skv::program
