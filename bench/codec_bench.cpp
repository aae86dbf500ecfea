// Encoding and decoding of tiles on the CPU, beside memcpy and zstd on the same numbers.
//
//     codec_bench [--data DIR] [--reference NAME] [flags of Google Benchmark]
//
// Names are {encode,decode}/format/predictor/instruction set/threads. bytes_per_second counts the
// uncompressed numbers; every thread has tensors of its own, a tile each.
#include <benchmark/benchmark.h>
#include <zstd.h>
#include <skv/cpu/codec.hpp>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "workload.hpp"

namespace skv::bench {
namespace {

using cpu::codec;
using cpu::isa;

data_folder g_folder{std::string(SKV_TEST_DATA) + "/tiny"};

// Calibration takes a while: once, when the first benchmark asks for it.
const workload& workload_of(number_format target, mean_source source) {
  static std::mutex mutex;
  static std::map<std::pair<format_id, mean_source>, workload> made;
  const std::lock_guard lock(mutex);
  const std::pair key{target.id, source};
  if (!made.contains(key)) made.emplace(key, make_workload(g_folder, target, source));
  return made.at(key);
}

// The tensors of a thread, out of the first `count`.
std::vector<const tensor*> share_of(const workload& w, const benchmark::State& state,
                                    std::size_t count) {
  std::vector<const tensor*> share;
  for (std::size_t i = 0; i < count; ++i)
    if (i % static_cast<std::size_t>(state.threads()) ==
        static_cast<std::size_t>(state.thread_index()))
      share.push_back(&w.tensors[i]);
  return share;
}

std::size_t bytes_of(const std::vector<const tensor*>& share) {
  std::size_t bytes = 0;
  for (const tensor* t : share) bytes += t->numbers.size();
  return bytes;
}

// Counters of threads are averaged.
void report(benchmark::State& state, std::size_t raw_bytes, std::size_t coded_bytes,
            std::uint32_t bits) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw_bytes));
  const double scalars = static_cast<double>(raw_bytes) * 8 / bits;
  state.counters["bits_per_scalar"] = benchmark::Counter(
      8 * static_cast<double>(coded_bytes) / scalars, benchmark::Counter::kAvgThreads);
}

struct coded_tile {
  const tensor* source;
  cpu::tile_slice slice;
  row_view<const std::byte> numbers, means;
  std::vector<std::byte> bytes, decoded;
  tile_record record;
};

std::vector<coded_tile> encoded(const codec& c, const std::vector<const tensor*>& share) {
  std::vector<coded_tile> tiles;
  for (const tensor* t : share) {
    coded_tile tile{t, {t->id, t->heads, t->head_dim, 0, t->heads, t->tokens}, {}, {}, {}, {}, {}};
    tile.numbers = {t->numbers.data(), t->numbers.size() / t->tokens};
    tile.means = {t->means.empty() ? nullptr : t->means.data(), t->means.size() / t->tokens};
    tile.bytes.resize(c.max_tile_bytes(tile.slice.shape()));
    tile.decoded.resize(t->numbers.size());
    tile.record = *c.encode(tile.slice, tile.numbers, tile.means, tile.bytes);
    tiles.push_back(std::move(tile));
  }
  return tiles;
}

bool decode(const codec& c, coded_tile& t) {
  return bool(c.decode(t.slice, t.record, std::span(t.bytes).first(t.record.bytes()), t.means,
                       {t.decoded.data(), t.numbers.token_stride_bytes}));
}

std::size_t coded_bytes(const std::vector<coded_tile>& tiles) {
  std::size_t bytes = 0;
  for (const coded_tile& t : tiles) bytes += t.record.bytes() + sizeof(tile_record);
  return bytes;
}

void encode_tiles(benchmark::State& state, number_format target, mean_source source, isa set) {
  const workload& w = workload_of(target, source);
  const codec c(w.used_profile, set);
  const auto share = share_of(w, state, w.tensors.size());
  auto tiles = encoded(c, share);
  for (auto _ : state)
    for (coded_tile& t : tiles)
      benchmark::DoNotOptimize(c.encode(t.slice, t.numbers, t.means, t.bytes));
  report(state, bytes_of(share), coded_bytes(tiles), target.bits());
}

void decode_tiles(benchmark::State& state, number_format target, mean_source source, isa set) {
  const workload& w = workload_of(target, source);
  const codec c(w.used_profile, set);
  const auto share = share_of(w, state, w.tensors.size());
  auto tiles = encoded(c, share);
  for (coded_tile& t : tiles)
    if (!decode(c, t) || t.decoded != t.source->numbers)
      return state.SkipWithError("the numbers did not come back");
  for (auto _ : state)
    for (coded_tile& t : tiles) benchmark::DoNotOptimize(decode(c, t));
  report(state, bytes_of(share), coded_bytes(tiles), target.bits());
}

void copy(benchmark::State& state, number_format target) {
  const workload& w = workload_of(target, mean_source::none);
  const auto share = share_of(w, state, w.tensors.size());
  std::vector<std::vector<std::byte>> to;
  for (const tensor* t : share) to.push_back(t->numbers);
  for (auto _ : state)
    for (std::size_t i = 0; i < share.size(); ++i) {
      std::memcpy(to[i].data(), share[i]->numbers.data(), to[i].size());
      benchmark::ClobberMemory();
    }
  report(state, bytes_of(share), bytes_of(share), target.bits());
}

// All numbers of a thread, the first bytes of all before the second bytes: what suits zstd best.
std::vector<std::byte> planes(const std::vector<const tensor*>& share, std::uint32_t width) {
  std::vector<std::byte> split(bytes_of(share));
  const std::size_t numbers = split.size() / width;
  std::size_t at = 0;
  for (const tensor* t : share)
    for (std::size_t i = 0; i < t->numbers.size(); i += width, ++at)
      for (std::uint32_t byte = 0; byte < width; ++byte)
        split[byte * numbers + at] = t->numbers[i + byte];
  return split;
}

void zstd(benchmark::State& state, number_format target, int level, bool decodes) {
  const workload& w = workload_of(target, mean_source::none);
  const auto raw = planes(share_of(w, state, w.distinct), target.bytes());  // it would see repeats
  std::vector<std::byte> packed(ZSTD_compressBound(raw.size())), back(raw.size());
  ZSTD_CCtx* const compressor = ZSTD_createCCtx();
  ZSTD_DCtx* const decompressor = ZSTD_createDCtx();
  const auto compress = [&] {
    return ZSTD_compressCCtx(compressor, packed.data(), packed.size(), raw.data(), raw.size(),
                             level);
  };
  const std::size_t bytes = compress();
  for (auto _ : state)
    benchmark::DoNotOptimize(
        decodes ? ZSTD_decompressDCtx(decompressor, back.data(), back.size(), packed.data(), bytes)
                : compress());
  ZSTD_freeCCtx(compressor);
  ZSTD_freeDCtx(decompressor);
  report(state, raw.size(), bytes, target.bits());
}

void register_all() {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const auto add = [&](const std::string& name, auto run) {
    for (const int threads : {1, cores}) {
      benchmark::RegisterBenchmark(name.c_str(), run)->Threads(threads)->UseRealTime();
      if (cores == 1) break;
    }
  };
  constexpr std::pair<mean_source, const char*> sources[] = {
      {mean_source::given, "given"},
      {mean_source::previous_token, "previous_token"},
      {mean_source::none, "none"}};
  for (const number_format f : kFormats) {
    const std::string format(to_string(f.id));
    for (const auto& [source, source_name] : sources)
      for (const isa set : {isa::avx512, isa::avx2, isa::portable, isa::scalar}) {
        if (!cpu::is_available(set)) continue;
        const std::string name =
            format + "/" + source_name + "/" + std::string(cpu::to_string(set));
        add("encode/" + name, [=](auto& state) { encode_tiles(state, f, source, set); });
        add("decode/" + name, [=](auto& state) { decode_tiles(state, f, source, set); });
      }
    add("memcpy/" + format, [=](auto& state) { copy(state, f); });
    for (const int level : {1, 3}) {
      const std::string name = format + "/zstd-" + std::to_string(level);
      add("encode/" + name, [=](auto& state) { zstd(state, f, level, false); });
      add("decode/" + name, [=](auto& state) { zstd(state, f, level, true); });
    }
  }
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
