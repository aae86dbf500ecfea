// Linear propagation on the CPU: whole caches with it and without it, and its matrix product beside
// what the instruction that it is made of can do.
//
//     linear_bench [--data DIR] [--reference NAME] [flags of Google Benchmark]
//
// {encode,decode}/base/{without,linear}/instruction set: a cache through cpu::write_archive, on one
// thread; bytes_per_second counts the uncompressed numbers. product/inputs x outputs/instruction
// set and peak/instruction: items_per_second are multiplications, each with its addition.
#include <benchmark/benchmark.h>
#include <skv/calibrate/calibrate.hpp>
#include <skv/calibrate/linear.hpp>
#include <skv/cpu/archive.hpp>

#include <cmath>
#include <map>
#include <numbers>

#include "cpu/linear_products.hpp"
#include "stop.hpp"
#include "workload.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace skv::bench {
namespace {

using cpu::isa;

data_folder g_folder{std::string(SKV_TEST_DATA) + "/tiny"};

std::vector<calibration_tensor> cache_of(const std::vector<tensor>& tensors, std::size_t number) {
  // Tensors of one name follow each other, cache by cache.
  std::map<tensor_id, std::vector<const tensor*>> by_id;
  for (const tensor& t : tensors) by_id[t.id].push_back(&t);
  std::vector<calibration_tensor> cache;
  for (const auto& [id, of] : by_id) {
    if (number >= of.size()) return {};
    const tensor& t = *of[number];
    cache.push_back({id,
                     t.tokens,
                     t.heads,
                     t.head_dim,
                     {t.numbers.data(), t.numbers.size() / t.tokens},
                     {t.means.empty() ? nullptr : t.means.data(), t.means.size() / t.tokens}});
  }
  return cache;
}

// The models of the folders that this is for turn halves, theta being 10,000.
rotary rope_of(std::uint32_t head_dim) {
  rotary r;
  for (std::uint32_t i = 0; i < head_dim / 2; ++i)
    r.frequencies.push_back(static_cast<std::uint64_t>(
        std::ldexp(std::pow(10000.0, -2.0 * i / head_dim) / (2 * std::numbers::pi), 64)));
  return r;
}

// Caches one after the other with a profile for them, fitted to others.
struct cpu_subject {
  profile_ptr used;
  std::vector<tensor> tensors;
  std::vector<std::byte> source, file;
  container box;
  double multiplications = 0;  // a token

  cpu_subject(mean_source base, bool linear)
      : tensors(read_tensors(g_folder, "evaluation", bf16, base)) {
    const auto calibration = read_tensors(g_folder, "calibration", bf16, base);
    if (linear) {
      linear_fit_options options;
      options.rope = rope_of(tensors.front().head_dim);
      linear_fitter fit(bf16.id, base, bf16.id, options);
      do
        for (std::size_t i = 0; !cache_of(calibration, i).empty(); ++i)
          value_of(fit.add(cache_of(calibration, i)));
      while (fit.next_pass());
      used = value_of(fit.finish());
      if (used == nullptr) stop("it does not pay here");
      for (const linear_tensor& t : used->content().linear->tensors)
        multiplications += static_cast<double>(t.to_output.weights.size());
    } else {
      calibrator fit(bf16.id, base, bf16.id);
      do
        for (const tensor& t : calibration)
          value_of(fit.add(t.id, t.tokens, t.heads, t.head_dim,
                           {t.numbers.data(), t.numbers.size() / t.tokens},
                           {t.means.data(), t.means.size() / t.tokens}));
      while (fit.next_pass());
      used = value_of(fit.finish());
    }
    const auto cache = cache_of(tensors, 0);
    for (const calibration_tensor& t : cache) {
      stream s;
      s.is_tensor = true;
      s.id = t.id;
      s.format = bf16.id;
      s.tokens = t.tokens;
      s.heads = t.heads;
      s.head_dim = t.head_dim;
      value_of(choose_tiles(s, 65536));
      box.streams.push_back(s);
      source.insert(source.end(), t.numbers.data, t.numbers.data + s.bytes());
    }
    box.profile = used->id();
    box.target = bf16.id;
    box.source = used->content().source;
    box.mean = bf16.id;
    if (linear) {
      box.linear_base = base;
      value_of(choose_linear_tiles(box.streams, 65536, 0));
    }
    encode(isa::portable, [&](std::span<const std::byte> tile) {
      file.insert(file.end(), tile.begin(), tile.end());
      return done{};
    });
    auto front = front_matter(box);
    file.insert(file.begin(), front.begin(), front.end());
  }

  cpu::mean_lookup means() const {
    return [this](const stream& s) -> result<row_view<const std::byte>> {
      for (const tensor& t : tensors)
        if (t.id == s.id)
          return row_view<const std::byte>{t.means.data(), t.means.size() / t.tokens};
      return row_view<const std::byte>{};
    };
  }
  void encode(isa set, const cpu::byte_sink& sink) {
    value_of(cpu::write_archive(box, cpu::codec(used, set), source, means(), sink, {1, {}}));
  }
  void decode(isa set, const cpu::placed_byte_sink& sink) const {
    value_of(cpu::read_archive(value_of(parse_container(file)), cpu::codec(used, set), file,
                               means(), sink, {1, {}}));
  }
};

cpu_subject& subject_of(mean_source base, bool linear) {
  static std::map<std::pair<mean_source, bool>, cpu_subject> made;
  const std::pair key{base, linear};
  if (!made.contains(key)) made.emplace(key, cpu_subject(base, linear));
  return made.at(key);
}

void report(benchmark::State& state, const cpu_subject& s) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(s.source.size()));
  state.counters["bits_per_scalar"] =
      16 * static_cast<double>(s.file.size()) / static_cast<double>(s.source.size());
  state.counters["multiplications_per_token"] = s.multiplications;
}

void encode_cache(benchmark::State& state, mean_source base, bool linear, isa set) {
  cpu_subject& s = subject_of(base, linear);
  for (auto _ : state) s.encode(set, [](std::span<const std::byte>) { return done{}; });
  report(state, s);
}

void decode_cache(benchmark::State& state, mean_source base, bool linear, isa set) {
  const cpu_subject& s = subject_of(base, linear);
  std::vector<std::byte> back(s.source.size());
  const auto place = [&](std::uint64_t at, std::span<const std::byte> bytes) -> result<done> {
    std::copy(bytes.begin(), bytes.end(), back.begin() + static_cast<std::ptrdiff_t>(at));
    return done{};
  };
  s.decode(set, place);
  if (back != s.source) return state.SkipWithError("the numbers did not come back");
  for (auto _ : state) s.decode(set, place);
  report(state, s);
}

cpu::linear_kernels kernels_of(isa set) {
  switch (set) {
    case isa::scalar: return cpu::scalar::find_linear_kernels(bf16.id, bf16.id);
#if defined(SKV_HAVE_X86_ISAS)
    case isa::avx2: return cpu::avx2::find_linear_kernels(bf16.id, bf16.id);
    case isa::avx512: return cpu::avx512::find_linear_kernels(bf16.id, bf16.id);
#endif
    default: return cpu::portable::find_linear_kernels(bf16.id, bf16.id);
  }
}

void multiply(benchmark::State& state, std::uint32_t inputs, std::uint32_t outputs, isa set) {
  constexpr std::uint32_t kTokens = 64;
  std::vector<std::int8_t> x(kTokens * std::size_t{inputs}, 3),
      w(std::size_t{inputs} * outputs, -5);
  std::vector<std::int32_t> sums(kTokens * std::size_t{outputs});
  const auto kernels = kernels_of(set);
  std::vector<std::int8_t> room;
  for (auto _ : state) {
    cpu::multiply_in_blocks(
        kernels, {kTokens, inputs / 4, outputs, x.data(), inputs, w.data(), sums.data(), outputs},
        room);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * std::int64_t{kTokens} * inputs * outputs);
}

#if defined(__x86_64__)
// As many independent chains as hide the instruction's latency. The barrier keeps operands in
// registers and the compiler from taking steps together.
constexpr int kChains = 12, kSteps = 1000;

__attribute__((target("avx512f,avx512vnni"))) void peak_vpdpbusd(benchmark::State& state) {
  __m512i sums[kChains];
  for (__m512i& s : sums) s = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto _ : state) {
    for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) {
        sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
        asm volatile("" : "+v"(sums[c]));
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * kSteps * kChains * 64);
}

// The pair of instructions that AVX2 has for it: products of 16 bits, and their sum.
__attribute__((target("avx2"))) void peak_vpmaddwd(benchmark::State& state) {
  __m256i sums[kChains];
  for (__m256i& s : sums) s = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi16(3), b = _mm256_set1_epi16(5);
  for (auto _ : state) {
    for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) {
        asm volatile("" : "+x"(a));
        sums[c] = _mm256_add_epi32(sums[c], _mm256_madd_epi16(a, b));
        asm volatile("" : "+x"(sums[c]));
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * kSteps * kChains * 16);
}
#endif

void register_all() {
  const isa sets[] = {isa::avx512, isa::avx2, isa::portable};
  for (const auto& [base, name] :
       {std::pair{mean_source::none, "none"}, {mean_source::given, "given"}})
    for (const isa set : sets)
      for (const bool linear : {false, true}) {
        if (!cpu::is_available(set)) continue;
        const std::string rest = std::string(name) + (linear ? "/linear/" : "/without/") +
                                 std::string(cpu::to_string(set));
        const mean_source b = base;
        benchmark::RegisterBenchmark(("encode/" + rest).c_str(), [=](benchmark::State& state) {
          encode_cache(state, b, linear, set);
        });
        benchmark::RegisterBenchmark(("decode/" + rest).c_str(), [=](benchmark::State& state) {
          decode_cache(state, b, linear, set);
        });
      }
  for (const isa set : sets) {
    if (!cpu::is_available(set)) continue;
    for (const auto& [inputs, outputs] : {std::pair{384u, 128u}, {3072u, 1024u}})
      benchmark::RegisterBenchmark(
          ("product/" + std::to_string(inputs) + "x" + std::to_string(outputs) + "/" +
           std::string(cpu::to_string(set)))
              .c_str(),
          [=](benchmark::State& state) { multiply(state, inputs, outputs, set); });
  }
#if defined(__x86_64__)
  if (cpu::is_available(isa::avx512))
    benchmark::RegisterBenchmark("peak/vpdpbusd-512", peak_vpdpbusd);
  if (cpu::is_available(isa::avx2))
    benchmark::RegisterBenchmark("peak/vpmaddwd-256", peak_vpmaddwd);
#endif
}

}  // namespace
}  // namespace skv::bench

int main(int argc, char** argv) {
  skv::bench::take_options(skv::bench::g_folder, argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  skv::bench::register_all();
  benchmark::RunSpecifiedBenchmarks();
}
