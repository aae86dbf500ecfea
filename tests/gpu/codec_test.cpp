// The codec on a device: the CPU codec's bytes, and every bit back; in graphs, on several streams.
#include <gtest/gtest.h>
#include <skv/cuda/codec.hpp>

#include <numeric>

#include "gpu/device.hpp"
#include "support/paged_scene.hpp"

namespace skv::gpu {
namespace {

using namespace test;

enum class output { slots, in_place, packed };

struct gpu_scene {
  paged_scene scene;
  cuda::block_plan plan;
  cuda::codec coder;
  std::uint32_t blocks;
  laid_out numbers_at, means_at;
  device_array<std::byte> cache, means;
  device_array<std::int32_t> indices;
  device_array<std::uint32_t> token_counts;
  device_array<tile_record> records;
  device_array<std::uint32_t> sizes;
  device_array<status> statuses, decoded;
  device_array<std::uint64_t> offsets, total;
  device_array<std::byte> slots, work;
  std::vector<std::int32_t> order;

  static cuda::block_plan planned(const paged_scene& s) {
    cuda::plan_arrays arrays;
    auto p = cuda::make_plan(*s.used_profile, s.geometry, arrays);
    if (!p) throw std::runtime_error(p.failure().message);
    return *p;
  }
  static cuda::codec made(const paged_scene& s) {
    auto c = cuda::codec::make(s.used_profile, s.geometry);
    if (!c) throw std::runtime_error(c.failure().message);
    return *std::move(c);
  }
  std::size_t count() const { return std::size_t{scene.items} * plan.layers; }

  gpu_scene(paged_scene s, page_layout layout, page_layout mean_layout)
      : scene(std::move(s)),
        plan(planned(scene)),
        coder(made(scene)),
        blocks(scene.items + 2),
        numbers_at(scene.geometry, layout, blocks, scene.target().bytes()),
        means_at(scene.geometry, mean_layout, blocks, scene.mean().bytes()),
        cache(numbers_at.bytes),
        means(means_at.bytes),
        indices(scene.items),
        token_counts(std::span<const std::uint32_t>(scene.token_counts)),
        records(count() * plan.tiles),
        sizes(count()),
        statuses(count()),
        decoded(count()),
        offsets(count()),
        total(1),
        slots(coder.max_compressed_bytes(scene.items)),
        work(coder.workspace_bytes(scene.items)) {
    for (std::uint32_t i = 0; i < scene.items; ++i)
      order.push_back(static_cast<std::int32_t>(blocks - 1 - i));
    check(cudaMemcpy(indices.data(), order.data(), order.size() * 4, cudaMemcpyHostToDevice));
    upload(numbers_at, cache, scene.numbers, scene.target());
    upload(means_at, means, scene.means, scene.mean());
    numbers_at.cache.blocks.base = cache.data();
    means_at.cache.blocks.base = means.data();
    numbers_at.cache.blocks.indices_dev = means_at.cache.blocks.indices_dev = indices.data();
  }

  template <class F>
  void each_block(F&& f) const {
    for (std::uint32_t layer = 0; layer < plan.layers; ++layer)
      for (std::uint32_t item = 0; item < scene.items; ++item)
        f(layer, item, std::size_t{layer} * scene.items + item);
  }
  static std::byte* host_block(const laid_out& at, std::vector<std::byte>& host,
                               std::uint32_t layer, std::int32_t index) {
    return host.data() + layer * at.cache.blocks.layer_stride_bytes +
           index * at.cache.blocks.block_stride_bytes;
  }
  void upload(const laid_out& at, const device_array<std::byte>& to,
              const std::vector<logical_tensor>& from, number_format f) const {
    std::vector<std::byte> host(at.bytes);
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      scene.scatter(from, at.cache, layer, item, host_block(at, host, layer, order[item]), f);
    });
    check(cudaMemcpy(to.data(), host.data(), host.size(), cudaMemcpyHostToDevice));
  }

  cuda::block_batch batch() const { return {scene.items, nullptr, token_counts.data()}; }
  cuda::workspace room() const { return {work.data(), work.size()}; }
  cuda::encoded_places places(output how) const {
    cuda::encoded_places out;
    out.records = records.data();
    out.sizes = sizes.data();
    out.statuses = statuses.data();
    if (how == output::packed) {
      out.packed = slots.data();
      out.packed_bytes = slots.size();
      out.offsets = offsets.data();
      out.total_bytes = total.data();
    } else if (how == output::in_place) {
      out.slots = numbers_at.cache.blocks;
      out.slot_bytes = static_cast<std::uint32_t>(numbers_at.block_bytes);
    } else {
      out.slot_bytes = coder.max_block_bytes();
      out.slots.base = slots.data();
      out.slots.block_stride_bytes = out.slot_bytes;
      out.slots.layer_stride_bytes = std::int64_t{out.slot_bytes} * scene.items;
    }
    return out;
  }
  result<done> encode(output how, cudaStream_t stream) const {
    return coder.encode_async(batch(), numbers_at.cache, means_at.cache, places(how), room(),
                              stream);
  }
  result<done> decode(output how, cudaStream_t stream) const {
    const cuda::encoded_places o = places(how);
    return coder.decode_async(batch(),
                              {o.slots, o.slot_bytes, o.packed, o.packed_bytes, o.offsets,
                               o.records, o.sizes, o.statuses},
                              means_at.cache, numbers_at.cache, how == output::in_place, {},
                              decoded.data(), room(), stream);
  }

  void expect_cpu_bytes(output how) const {
    const auto r = records.to_host();
    const auto bytes = sizes.to_host();
    const auto where = offsets.to_host();
    const auto stored = how == output::in_place ? cache.to_host() : slots.to_host();
    const auto encoded_statuses = statuses.to_host();
    std::vector<std::byte> tile, expected;
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
      expected.clear();
      for (std::uint32_t i = 0; i < plan.tiles; ++i) {
        ASSERT_EQ(r[index * plan.tiles + i], scene.encoded(plan, layer, item, i, tile));
        expected.insert(expected.end(), tile.begin(), tile.end());
        expected.resize(cuda::round_up<std::size_t>(expected.size(), cuda::kTileAlign));
      }
      if (encoded_statuses[index] != status::ok) {
        ASSERT_EQ(how, output::in_place);
        ASSERT_GT(expected.size(), numbers_at.block_bytes);
        return;
      }
      ASSERT_EQ(bytes[index], expected.size());
      std::size_t at = where[index];
      if (how == output::slots) at = index * coder.max_block_bytes();
      if (how == output::in_place)
        at = static_cast<std::size_t>(layer * numbers_at.cache.blocks.layer_stride_bytes +
                                      order[item] * numbers_at.cache.blocks.block_stride_bytes);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), stored.begin() + at));
    });
  }
  void expect_restored() const {
    auto host = cache.to_host();
    for (const status s : decoded.to_host()) ASSERT_EQ(s, status::ok);
    each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
      ASSERT_TRUE(scene.equal(scene.numbers, numbers_at.cache, layer, item,
                              host_block(numbers_at, host, layer, order[item]), scene.target()));
    });
    for (const auto* a : {&cache, &means, &slots, &work}) ASSERT_TRUE(a->is_intact());
    ASSERT_TRUE(records.is_intact() && sizes.is_intact() && statuses.is_intact());
  }
};

paged_scene random_scene(coding_id id, std::uint64_t seed) {
  random_source random(seed);
  cuda::block_geometry g;
  g.layers = 1 + random.below(3);
  g.tokens = 16u << random.below(3);
  const std::uint32_t dims[] = {64, 72, 80, 96, 128};
  const std::uint32_t heads = 1 + random.below(6), dim = dims[random.below(5)];
  g.tensors[0] = {tensor_kind::k, heads, dim, 0};
  g.tensors[1] = {tensor_kind::v, heads, dim, 0};
  g.tensor_count = 2;
  paged_scene s{id, g, 1 + random.below(20), {}, default_profile_of(id), {}, {}};
  for (std::uint32_t i = 0; i < s.items; ++i)
    s.token_counts.push_back(random.chance(0.7) ? g.tokens : random.below(g.tokens + 1));
  s.fill(seed);
  return s;
}

class gpu : public testing::TestWithParam<coding_id> {
 protected:
  void SetUp() override {
    if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  }
};
INSTANTIATE_TEST_SUITE_P(codings, gpu, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(gpu, writes_the_cpu_codecs_bytes_and_restores_every_bit) {
  std::uint64_t seed = 1;
  for (const page_layout layout : kPageLayouts)
    for (const output how : {output::slots, output::in_place, output::packed}) {
      if (how == output::in_place && layout == page_layout::two_planes) continue;
      ++seed;
      const gpu_scene g(random_scene(GetParam(), seed), layout, kPageLayouts[seed % 4]);
      ASSERT_TRUE(g.encode(how, nullptr));
      check(cudaDeviceSynchronize());
      g.expect_cpu_bytes(how);
      if (HasFatalFailure()) return;
      if (how != output::in_place) g.cache.fill(0x5a);
      ASSERT_TRUE(g.decode(how, nullptr));
      check(cudaDeviceSynchronize());
      g.expect_restored();
      if (HasFatalFailure()) return;
    }
}

TEST_P(gpu, a_captured_graph_does_the_same_each_time) {
  const gpu_scene g(random_scene(GetParam(), 7), page_layout::token_major,
                    page_layout::token_major);
  cudaStream_t stream{};
  check(cudaStreamCreate(&stream));
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ASSERT_TRUE(g.encode(output::packed, stream));
  ASSERT_TRUE(g.decode(output::packed, stream));
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  for (int replay = 0; replay < 3; ++replay) {
    check(cudaGraphLaunch(executable, stream));
    check(cudaStreamSynchronize(stream));
    g.expect_cpu_bytes(output::packed);
    g.expect_restored();
  }
  check(cudaGraphExecDestroy(executable));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
}

TEST_P(gpu, streams_do_not_disturb_each_other) {
  constexpr int kStreams = 4;
  std::vector<std::unique_ptr<gpu_scene>> scenes;
  std::vector<cudaStream_t> streams(kStreams);
  for (int i = 0; i < kStreams; ++i) {
    check(cudaStreamCreate(&streams[i]));
    scenes.push_back(
        std::make_unique<gpu_scene>(random_scene(GetParam(), 20 + static_cast<std::uint64_t>(i)),
                                    page_layout::token_major, page_layout::head_major));
  }
  for (int round = 0; round < 5; ++round)
    for (int i = 0; i < kStreams; ++i) {
      ASSERT_TRUE(scenes[i]->encode(output::slots, streams[i]));
      ASSERT_TRUE(scenes[i]->decode(output::slots, streams[i]));
    }
  check(cudaDeviceSynchronize());
  for (const auto& s : scenes) {
    s->expect_cpu_bytes(output::slots);
    s->expect_restored();
  }
  for (cudaStream_t s : streams) check(cudaStreamDestroy(s));
}

TEST(gpu_random, batches_of_every_kind) {
  if (const std::string why = missing_device(); !why.empty()) GTEST_SKIP() << why;
  const auto codings = all_codings();
  const char* const effort = std::getenv("SKV_GPU_BATCHES");
  const std::uint64_t batches = effort == nullptr ? 500 : std::stoull(effort);
  random_source random(1);
  for (std::uint64_t i = 0; i < batches; ++i) {
    SCOPED_TRACE("batch " + std::to_string(i));
    const auto id = codings[random.below(static_cast<std::uint32_t>(codings.size()))];
    const output how = static_cast<output>(random.below(3));
    const gpu_scene g(random_scene(id, random.next()), kPageLayouts[random.below(3)],
                      kPageLayouts[random.below(4)]);
    ASSERT_TRUE(g.encode(how, nullptr));
    if (how != output::in_place) g.cache.fill(0x5a);
    check(cudaDeviceSynchronize());
    ASSERT_TRUE(g.decode(how, nullptr));
    check(cudaDeviceSynchronize());
    g.expect_restored();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::gpu
