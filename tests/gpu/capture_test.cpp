// Calls while a stream is captured. Those of the library all can be; and what none of them may do, to
// allocate or to wait, ends a capture: on a device, and on the stand-in for one, so that it shows there too.
#include <gtest/gtest.h>

#include <functional>

#include "gpu/gpu_pool.hpp"
#include "gpu/linear_pass.hpp"

namespace skv::gpu {
namespace {

using capture = on_device<>;

/// A stream that is captured, until end() says whether there is a graph.
class captured_stream {
 public:
  captured_stream() {
    check(cudaStreamCreate(&stream_));
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
  }
  captured_stream(const captured_stream&) = delete;
  captured_stream& operator=(const captured_stream&) = delete;
  ~captured_stream() {
    if (!is_ended_) end();
    cudaStreamDestroy(stream_);
    cudaGetLastError();  // a violation is not the next test's
  }

  cudaStream_t get() const { return stream_; }
  cudaError_t end() {
    is_ended_ = true;
    cudaGraph_t graph{};
    const cudaError_t e = cudaStreamEndCapture(stream_, &graph);
    EXPECT_EQ(graph == nullptr, e != cudaSuccess);
    if (graph != nullptr) check(cudaGraphDestroy(graph));
    return e;
  }

 private:
  cudaStream_t stream_{};
  bool is_ended_ = false;
};

TEST_F(capture, every_call_on_a_stream_can_be_captured) {
  linear_kind kind;
  kind.has_outside = true;
  const linear_pass p(linear_scene(kind, 5), page_layout::token_major, page_layout::head_major);
  const gpu_scene& g = p.g;
  const auto entries_of = static_cast<std::uint32_t>(g.count());
  const cuda::pool blocks = pool_of(g, {entries_of * 40, 512, entries_of});
  const cuda::pool_entries entries{0, g.scene.items, nullptr};
  const device_array<std::byte> packed(g.slots.size());
  const device_array<std::uint32_t> sizes(g.count());
  const device_array<status> statuses(g.count());
  const cuda::encoded_places slots = g.places(output::slots);
  cuda::encoded_places together = g.places(output::packed);
  together.packed = packed.data();
  together.sizes = sizes.data();
  together.statuses = statuses.data();

  using call = std::function<result<done>(cudaStream_t)>;
  const auto& outside = g.scene.used_profile->content().linear->outside;
  const std::pair<const char*, call> calls[] = {
      {"linear::take_async",
       [&](cudaStream_t s) {
         return p.steps.take_async(
             0, p.batch(), {p.embedded.data(), p.ids.data(), outside[0].vocabulary}, p.room(), s);
       }},
      {"linear::take_draft_async",
       [&](cudaStream_t s) {
         return p.steps.take_draft_async(1, p.batch(), p.draft_at(), p.room(), s);
       }},
      {"linear::predict_async",
       [&](cudaStream_t s) {
         return p.steps.predict_async(0, 0, p.batch(), p.bases_at(), g.means_at.cache, p.room(), s);
       }},
      {"linear::update_async",
       [&](cudaStream_t s) {
         return p.steps.update_async(0, 0, p.batch(), p.numbers_at(0, 0), p.bases_at(), p.room(),
                                     s);
       }},
      {"encode_async, slots", [&](cudaStream_t s) { return g.encode(output::slots, s); }},
      {"encode_async, packed", [&](cudaStream_t s) { return g.encode(output::packed, s); }},
      {"encode_async, in place", [&](cudaStream_t s) { return g.encode(output::in_place, s); }},
      {"compact_async",
       [&](cudaStream_t s) {
         return g.coder.compact_async(g.batch(), as_stored(slots), together, g.room(), s);
       }},
      {"pool::store_async",
       [&](cudaStream_t s) {
         return blocks.store_async(g.batch(), entries, as_stored(slots), statuses.data(), s);
       }},
      {"pool::load_async",
       [&](cudaStream_t s) { return blocks.load_async(g.batch(), entries, slots, s); }},
      {"pool::restore_async",
       [&](cudaStream_t s) {
         return blocks.restore_async(g.coder, g.batch(), entries, slots, g.means_at.cache,
                                     g.numbers_at.cache, false, g.decoded.data(), g.room(), s);
       }},
      {"pool::drop_async",
       [&](cudaStream_t s) { return blocks.drop_async(g.batch(), entries, statuses.data(), s); }},
      {"decode_async, slots", [&](cudaStream_t s) { return g.decode(output::slots, s); }},
      {"decode_async, packed", [&](cudaStream_t s) { return g.decode(output::packed, s); }},
      {"decode_async, in place", [&](cudaStream_t s) { return g.decode(output::in_place, s); }},
  };
  for (const auto& [name, enqueue] : calls) {
    SCOPED_TRACE(name);
    captured_stream s;
    const auto done = enqueue(s.get());
    EXPECT_TRUE(done) << done.failure().message;
    EXPECT_EQ(s.end(), cudaSuccess);
  }
}

TEST_F(capture, is_ended_by_what_a_graph_cannot_have) {
  const device_array<std::byte> memory(64);
  std::byte host[64];
  void* allocated = nullptr;
  const std::pair<const char*, std::function<cudaError_t(cudaStream_t)>> violations[] = {
      {"cudaMalloc", [&](cudaStream_t) { return cudaMalloc(&allocated, 64); }},
      {"cudaMallocHost", [&](cudaStream_t) { return cudaMallocHost(&allocated, 64); }},
      {"cudaMemcpy",
       [&](cudaStream_t) { return cudaMemcpy(host, memory.data(), 64, cudaMemcpyDeviceToHost); }},
      {"cudaMemset", [&](cudaStream_t) { return cudaMemset(memory.data(), 0, 64); }},
      {"the legacy stream",
       [&](cudaStream_t) { return cudaMemsetAsync(memory.data(), 0, 64, nullptr); }},
      {"cudaStreamSynchronize", [](cudaStream_t s) { return cudaStreamSynchronize(s); }},
      {"cudaDeviceSynchronize", [](cudaStream_t) { return cudaDeviceSynchronize(); }},
  };
  for (const auto& [name, violate] : violations) {
    SCOPED_TRACE(name);
    captured_stream s;
    EXPECT_EQ(cudaMemsetAsync(memory.data(), 1, 64, s.get()), cudaSuccess);
    EXPECT_NE(violate(s.get()), cudaSuccess);
    EXPECT_EQ(allocated, nullptr);
    EXPECT_EQ(cudaMemsetAsync(memory.data(), 1, 64, s.get()), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(s.end(), cudaErrorStreamCaptureInvalidated);
  }
  check(cudaDeviceSynchronize());
  EXPECT_TRUE(memory.is_intact());
}

// What makes objects allocates and waits, and says so: not at all while something is captured.
TEST_F(capture, is_no_time_to_make_a_codec) {
  const gpu_scene g(random_scene(kAlone, 3), page_layout::token_major, page_layout::token_major);
  captured_stream s;
  const auto made = cuda::codec::make(g.scene.used_profile, g.scene.geometry);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.code(), status::unsupported);
  EXPECT_EQ(s.end(), cudaErrorStreamCaptureInvalidated);
}

}  // namespace
}  // namespace skv::gpu
