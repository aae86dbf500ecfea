#include "workload.hpp"

#include <skv/calibrate/calibrate.hpp>
#include <skv/number/value.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "io/mapped_file.hpp"
#include "io/safetensors.hpp"
#include "stop.hpp"

namespace skv::bench {
namespace {

namespace fs = std::filesystem;

struct raw_tensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

// The tensors layers.{l}.{k,v} of every file of a folder.
std::vector<raw_tensor> read(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<raw_tensor> tensors;
  for (const fs::path& path : paths) {
    const auto file = value_of(io::mapped_file::open(path));
    for (const auto& e : value_of(io::parse_safetensors(file.bytes())).tensors)
      if (e.shape.size() == 3 && e.name.starts_with("layers.")) {
        const auto bytes = file.bytes().subspan(e.begin, e.end - e.begin);
        tensors.push_back({e.name, e.shape, {bytes.begin(), bytes.end()}});
      }
  }
  // Files list their tensors in an order of their own; references must match their targets.
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  return tensors;
}

std::uint32_t nearest(number_format f, double value) {
  const double magnitude = std::fabs(value);
  std::uint32_t pattern = 0;
  if (magnitude > 0) {
    const int bias = static_cast<int>(f.bias()), bits = static_cast<int>(f.mantissa_bits);
    const int exponent = std::max(std::ilogb(magnitude), 1 - bias);
    pattern = (static_cast<std::uint32_t>(exponent + bias - 1) << bits) +
              static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, bits - exponent)));
  }
  const std::uint32_t largest = f.max_exponent() << f.mantissa_bits;  // from here on: no numbers
  return std::min(pattern, largest - 1) | (std::signbit(value) ? 1u << f.magnitude_bits() : 0);
}

std::vector<std::byte> converted(std::vector<std::byte> patterns, number_format to) {
  if (to == bf16) return patterns;
  const std::size_t count = patterns.size() / 2;
  std::vector<std::byte> out(count * to.bytes());
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t from;
    std::memcpy(&from, &patterns[2 * i], 2);
    const std::uint32_t pattern = nearest(to, to_double(bf16, from));
    std::memcpy(&out[i * to.bytes()], &pattern, to.bytes());
  }
  return out;
}

}  // namespace

void take_options(data_folder& folder, int& argc, char** argv) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--data" && i + 1 < argc)
      folder.root = argv[++i];
    else if (option == "--reference" && i + 1 < argc)
      folder.reference = argv[++i];
    else
      argv[kept++] = argv[i];
  }
  argv[kept] = nullptr;
  argc = kept;
}

std::vector<tensor> read_tensors(const data_folder& folder, const char* split, number_format target,
                                 mean_source source) {
  const bool scaled = target == e4m3;  // the folder has these, divided by their scale
  const fs::path at = folder.root / split;
  std::vector<raw_tensor> numbers = read(at / (scaled ? "target_e4m3" : "target")), means;
  if (source == mean_source::given)
    means = read(at / (folder.reference + (scaled ? "_for_e4m3" : "")));
  std::vector<tensor> tensors;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    raw_tensor& n = numbers[i];
    tensor t;
    t.id.layer = static_cast<std::uint32_t>(std::atoi(n.name.c_str() + std::strlen("layers.")));
    t.id.kind = n.name.ends_with(".k") ? tensor_kind::k : tensor_kind::v;
    t.tokens = static_cast<std::uint32_t>(n.shape[0]);
    t.heads = static_cast<std::uint32_t>(n.shape[1]);
    t.head_dim = static_cast<std::uint32_t>(n.shape[2]);
    t.numbers = scaled ? std::move(n.bytes) : converted(std::move(n.bytes), target);
    if (source == mean_source::given)
      t.means = converted(std::move(means.at(i).bytes), target == fp16 ? fp16 : bf16);
    tensors.push_back(std::move(t));
  }
  return tensors;
}

workload make_workload(const data_folder& folder, number_format target, mean_source source,
                       std::size_t min_elements) {
  const bool finer = source == mean_source::given && target.bits() == 8;
  calibrator fit(target.id, source, finer ? bf16.id : target.id);
  const auto calibration = read_tensors(folder, "calibration", target, source);
  do {
    for (const tensor& t : calibration) {
      const std::size_t width = std::size_t{t.heads} * t.head_dim;
      value_of(fit.add(t.id, t.tokens, t.heads, t.head_dim,
                       {t.numbers.data(), width * target.bytes()},
                       {t.means.data(), t.means.size() / t.tokens}));
    }
  } while (fit.next_pass());

  workload w{value_of(fit.finish()), read_tensors(folder, "evaluation", target, source), 0};
  std::size_t elements = 0;
  for (const tensor& t : w.tensors) elements += t.numbers.size() / target.bytes();
  w.distinct = w.tensors.size();
  for (std::size_t copies = 1; copies * elements < min_elements; ++copies)
    for (std::size_t i = 0; i < w.distinct; ++i) w.tensors.push_back(tensor(w.tensors[i]));
  return w;
}

}  // namespace skv::bench
