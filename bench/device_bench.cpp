// Encoding and decoding of pages in a device's memory, beside a copy within that memory.
//
//     device_bench [--data DIR] [--reference NAME] [--mib N] [flags of Google Benchmark]
//
// With a small N, for a try, everything is repeated less often.
//
// Names are {encode,decode}/{slots,in_place,packed,to_host}/format/predictor/what, where what is
//     all           N MiB (4,096) in all layers, in one launch; to_host, which is packed, and in pinned
//                   memory of the host, an eighth of that, bf16
//     tile:n        the same, in tiles of n numbers
//     pages:n       n pages of one layer, a launch each
//     request       a request of 4,096 tokens (or of N MiB, if that is less) in one layer; the time is that of a
//                   single launch
//     request:graph the same as a captured graph
// and linear/{encode,decode}/format/given/{all,request}/{with,without}: all layers, tensor by tensor, with and
// without linear propagation (N / 2 MiB; a request of 4,096 tokens); linear/pass/...: its steps alone. `int8`
// are the multiply-adds a second.
// Before a configuration is timed, all of its pages are encoded, restored and compared. Times are between
// CUDA events. bytes_per_second counts uncompressed numbers; copy_percent sets that against a copy of as
// many bytes in the same run, within the device's memory, or of to_host into pinned memory; moved counts what
// must be read and written; submit is the host's time for a launch. Launches go through several times the
// device's cache, over pages in random order. Ends with 1 if numbers did not come back, with 77 where there is
// no device, with 78 if its driver is too old.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>

#include "device_found.hpp"
#include "device_linear_runs.hpp"
#include "device_subject.hpp"

namespace skv::bench {
namespace {

constexpr std::uint32_t kMostPages = 100'000;

data_folder g_folder{std::string(SKV_TEST_DATA) + "/tiny"};
std::size_t g_mib = 4096;

std::unique_ptr<bench_device> g_device;

// Calibration takes a while: once, when the first benchmark asks for it.
const page_set& pages_of(const configuration& c) {
  static std::map<std::pair<format_id, mean_source>, page_set> made;
  const std::pair key{c.target.id, c.source};
  if (!made.contains(key)) made.emplace(key, make_pages(g_folder, c.target, c.source));
  return made.at(key);
}

struct timing {
  bool single = false;  ///< launches are timed one by one
  bool graph = false;
};

// A subject, verified, for all repetitions of its benchmark; `wrong` says why it cannot be timed.
struct made_subject {
  std::string name;
  std::unique_ptr<subject> it;
  std::string wrong;
};

made_subject g_subject;

// Of what goes to the host, over a link that is much slower than the device's memory.
std::size_t to_host_bytes() { return std::min((g_mib << 20) / 8, g_device->arena.bytes()); }

made_subject& made_for(const std::string& name, configuration c) {
  made_subject& last = g_subject;
  if (last.name != name || g_device->arena.user() != last.it.get()) {
    const page_set& pages = pages_of(c);
    if (c.items == 0)
      c.items = static_cast<std::uint32_t>(
          std::max<std::size_t>(1, (c.where == place::to_host ? to_host_bytes() : g_mib << 20) /
                                       (pages.page_bytes * pages.geometry.layers)));
    last = {};
    last.it = std::make_unique<subject>(c, pages, g_device->arena, g_device->cache_bytes);
    if (!last.it->fits()) {
      last.wrong = "the device has too little memory";
    } else {
      last.wrong = last.it->verify();
      g_device->all_came_back &= last.wrong.empty();
    }
    last.name = name;
  }
  return last;
}

class captured_graph {
 public:
  captured_graph(subject& s, std::uint32_t window) {
    cudaGraph_t graph{};
    check(cudaStreamBeginCapture(s.stream(), cudaStreamCaptureModeGlobal));
    s.code(window);
    check(cudaStreamEndCapture(s.stream(), &graph));
    check(cudaGraphInstantiate(&executable_, graph, 0));
    check(cudaGraphDestroy(graph));
  }
  captured_graph(captured_graph&& g) noexcept : executable_(std::exchange(g.executable_, {})) {}
  captured_graph& operator=(captured_graph&&) = delete;
  ~captured_graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  }
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(executable_, stream)); }

 private:
  cudaGraphExec_t executable_{};
};

void run(benchmark::State& state, const std::string& name, const configuration& c, timing how) {
  made_subject& made = made_for(name, c);
  if (!made.wrong.empty()) return state.SkipWithError(made.wrong.c_str());
  subject& s = *made.it;
  std::vector<captured_graph> graphs;
  if (how.graph)
    for (std::uint32_t w = 0; w < s.windows(); ++w) graphs.emplace_back(s, w);
  const std::uint32_t launches = how.single ? 1 : std::min(s.windows(), 32u);
  std::uint32_t next = 0;
  double seconds = 0;
  std::chrono::duration<double, std::micro> submitting{};
  for (auto _ : state) {
    s.prepare();
    const float milliseconds = milliseconds_of(s.stream(), [&] {
      const auto started = std::chrono::steady_clock::now();
      for (std::uint32_t i = 0; i < launches; ++i) {
        how.graph ? graphs[next].launch(s.stream()) : s.code(next);
        next = (next + 1) % s.windows();
      }
      submitting += std::chrono::steady_clock::now() - started;
    });
    state.SetIterationTime(milliseconds * 1e-3 / launches);
    seconds += milliseconds * 1e-3 / launches;
  }

  using benchmark::Counter;
  const auto raw = static_cast<double>(s.raw_bytes());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(s.raw_bytes()));
  state.counters["copy_percent"] =
      100 * raw * static_cast<double>(state.iterations()) /
      ((c.where == place::to_host ? g_device->copy_to_host_rate : g_device->copy_rate) * seconds);
  state.counters["moved"] =
      Counter(s.moved_bytes(), Counter::kIsIterationInvariantRate, Counter::kIs1000);
  state.counters["ratio"] = s.ratio();
  state.counters["blocks"] = static_cast<double>(s.blocks());
  if (s.stayed_raw() != 0) state.counters["stayed_raw"] = static_cast<double>(s.stayed_raw());
  state.counters["submit_us"] = Counter(submitting.count() / launches, Counter::kAvgIterations);
}

// Of the copy that all is set against: twice as many fit into the arena.
std::size_t copy_bytes() { return std::min(g_mib << 20, g_device->arena.bytes() / 2 / 256 * 256); }

void copy(benchmark::State& state, double (*rate)(device_arena&, std::size_t), std::size_t bytes) {
  for (auto _ : state)
    state.SetIterationTime(static_cast<double>(bytes) / rate(g_device->arena, bytes));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}
void register_copy(const char* name, double (*rate)(device_arena&, std::size_t),
                   std::size_t bytes) {
  benchmark::RegisterBenchmark(name, [=](auto& state) { copy(state, rate, bytes); })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(1)
      ->Repetitions(repetitions(g_mib))
      ->ReportAggregatesOnly();
}

void register_all() {
  constexpr std::pair<mean_source, const char*> kSources[] = {
      {mean_source::given, "given"},
      {mean_source::previous_token, "previous_token"},
      {mean_source::none, "none"}};
  constexpr std::pair<place, const char*> kPlaces[] = {{place::slots, "slots"},
                                                       {place::in_place, "in_place"},
                                                       {place::packed, "packed"},
                                                       {place::to_host, "to_host"}};

  const auto add = [&](configuration c, const std::string& what, int most, timing how = {}) {
    for (const bool encodes : {true, false}) {
      c.encodes = encodes;
      std::string name = encodes ? "encode/" : "decode/";
      name += kPlaces[static_cast<int>(c.where)].second;
      name += "/" + std::string(to_string(c.target.id));
      for (const auto& [source, text] : kSources)
        if (source == c.source) name += std::string("/") + text;
      name += "/" + what;
      benchmark::RegisterBenchmark(name.c_str(), [=](auto& state) { run(state, name, c, how); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond)
          ->Iterations(iterations(g_mib, most))
          ->Repetitions(repetitions(g_mib))
          ->ReportAggregatesOnly();
    }
  };
  register_copy("copy", copy_rate, copy_bytes());
  register_copy("copy/to_host", copy_to_host_rate, to_host_bytes());

  for (const number_format f : kFormats)
    for (const auto& [source, source_name] : kSources) {
      configuration c;
      c.target = f;
      c.source = source;
      c.items = 0;
      for (const auto& [where, where_name] : kPlaces) {
        if (where == place::to_host && f != bf16) continue;
        c.where = where;
        add(c, "all", 3);
      }
      if (f != bf16) continue;
      c.where = place::packed;
      for (const std::uint32_t numbers : {1024u, 2048u, 4096u, 8192u, 16384u}) {
        c.tile_numbers = numbers;
        add(c, "tile:" + std::to_string(numbers), 3);
      }
      c.tile_numbers = 0;
      c.layers = 1;
      for (std::uint32_t pages = 1; pages <= kMostPages; pages *= 10) {
        c.items = pages;
        add(c, "pages:" + std::to_string(pages), pages < 10'000 ? 10 : 3);
      }
      c.items = request_pages(g_mib);
      c.most_windows = 16;  // each is a graph of its own
      add(c, "request", 50, {.single = true});
      add(c, "request:graph", 50, {.single = true, .graph = true});
    }
}

// Room for the largest benchmark, or for what the device has.
std::size_t arena_bytes() {
  std::size_t unused = 0, all = 0;
  check(cudaMemGetInfo(&unused, &all));
  const std::size_t page_bytes = 2 * 2 * kPageTokens * kPageChannels;
  const std::size_t most = std::max(g_mib << 20, kMostPages * page_bytes);
  return std::min(unused / 10 * 9, most * 5);  // original, cache, means, slots, the rest
}

}  // namespace
}  // namespace skv::bench

int main(int argc, char** argv) {
  using namespace skv::bench;
  take_options(g_folder, argc, argv);
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--mib" && i + 1 < argc)
      g_mib = std::max(1, std::atoi(argv[++i]));
    else
      argv[kept++] = argv[i];
  }
  argv[kept] = nullptr;
  benchmark::Initialize(&kept, argv);
  if (benchmark::ReportUnrecognizedArguments(kept, argv)) return 1;
  if (const lack_of_device lack = find_lack_of_device(); lack.exit_status != 0) {
    std::printf("%s\n", lack.why.c_str());
    return lack.exit_status;
  }
  g_device = std::make_unique<bench_device>(arena_bytes());
  g_device->cache_bytes = static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize));
  g_device->copy_rate = copy_rate(g_device->arena, copy_bytes());
  g_device->copy_to_host_rate = copy_to_host_rate(g_device->arena, to_host_bytes());
  describe_device(*g_device);
  benchmark::AddCustomContext("data", g_folder.root.filename().string() + "/" + g_folder.reference);
  register_all();
  linear_runs of_linear(*g_device, g_mib, [] { return &pages_of({}); });
  of_linear.register_all();
  benchmark::RunSpecifiedBenchmarks();
  g_subject = {};  // before the runtime goes
  of_linear.forget();
  const bool all_came_back = g_device->all_came_back;
  g_device.reset();
  return all_came_back ? 0 : 1;
}
