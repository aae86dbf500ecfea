// What the CUDA part of the C ABI refuses before it asks for a device, and says without one.
#include <gmock/gmock.h>

#include <cstddef>

#include "c_cuda/c_cuda_case.hpp"
#include "support/guarded.hpp"

namespace skv {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(c_cuda, says_that_there_is_no_device) {
  const auto p = make_profile();
  const skv_cuda_geometry g = geometry_of();
  skv_cuda_codec* codec = nullptr;
  EXPECT_EQ(skv_cuda_codec_create(p.get(), &g, &codec), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), StartsWith("there is no device: "));
  EXPECT_EQ(codec, nullptr);
}

TEST_F(c_cuda, names_what_is_wrong_with_a_geometry) {
  const auto p = make_profile();
  const auto refused = [&](skv_status expected, const char* why, auto&& change) {
    skv_cuda_geometry g = geometry_of();
    change(g);
    skv_cuda_codec* codec = nullptr;
    EXPECT_EQ(skv_cuda_codec_create(p.get(), &g, &codec), expected) << why;
    EXPECT_THAT(skv_last_error(), HasSubstr(why));
    EXPECT_EQ(codec, nullptr);
  };
  using geometry = skv_cuda_geometry;
  const skv_status bad = SKV_INVALID_ARGUMENT;
  refused(bad, "65536 layers", [](geometry& g) { g.layers = 0; });
  refused(bad, "65536 layers", [](geometry& g) { g.layers = ~0u; });
  refused(bad, "65536 tokens", [](geometry& g) { g.tokens = 0; });
  refused(bad, "65536 tokens", [](geometry& g) { g.tokens = 65537; });
  refused(bad, "1 to 4 tensors", [](geometry& g) { g.tensor_count = 0; });
  refused(bad, "1 to 4 tensors", [](geometry& g) { g.tensor_count = ~0u; });
  refused(bad, "unknown kind 3", [](geometry& g) { g.tensors[1].kind = 3; });
  refused(bad, "unknown kind 256", [](geometry& g) { g.tensors[0].kind = 256; });
  refused(bad, "heads x head_dim", [](geometry& g) { g.tensors[0].heads = 0; });
  refused(bad, "heads x head_dim", [](geometry& g) { g.tensors[1].head_dim = ~0u; });
  refused(bad, "a tile has at most", [](geometry& g) {
    g.tensors[0].heads = 1024;
    g.tile_heads = 1024;
    g.tile_tokens = g.tokens = 4096;
  });
  refused(bad, "a tile has at most", [](geometry& g) {  // of 2^32 numbers
    g.tensors[0].heads = 1;
    g.tensors[0].head_dim = 65536;
    g.tile_heads = 0;
    g.tile_tokens = g.tokens = 65536;
  });
  refused(bad, "at most 4096 tiles", [](geometry& g) { g.tensors[0].opaque_bytes = ~0u; });
  refused(bad, "struct_size is 0", [](geometry& g) { g.struct_size = 0; });
  refused(bad, "struct_size", [](geometry& g) { g.struct_size = SIZE_MAX; });
  refused(bad, "struct_size",
          [](geometry& g) { g.struct_size = offsetof(skv_cuda_geometry, tile_tokens) - 1; });
}

TEST_F(c_cuda, takes_structures_of_other_versions) {
  const auto p = make_profile();
  skv_cuda_codec* codec = nullptr;
  // Zeros stand for what an earlier one does not have: it comes as far as the device.
  skv_cuda_geometry g = geometry_of();
  g.struct_size = offsetof(skv_cuda_geometry, tile_tokens);
  const guarded_bytes part(std::as_bytes(std::span(&g, 1)).first(g.struct_size));
  const auto* earlier = reinterpret_cast<const skv_cuda_geometry*>(part.data());
  EXPECT_EQ(skv_cuda_codec_create(p.get(), earlier, &codec), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), StartsWith("there is no device: "));

  struct {
    skv_cuda_geometry known = geometry_of();
    std::uint64_t more = 0;
  } later;
  later.known.struct_size = sizeof later;
  EXPECT_EQ(skv_cuda_codec_create(p.get(), &later.known, &codec), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), StartsWith("there is no device: "));
  later.more = 1;
  EXPECT_EQ(skv_cuda_codec_create(p.get(), &later.known, &codec), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), HasSubstr("a member that this version does not know"));
}

TEST_F(c_cuda, refuses_null_handles) {
  const auto p = make_profile();
  const skv_cuda_geometry g = geometry_of();
  skv_cuda_codec* codec = nullptr;
  std::uint32_t n = 0;
  std::uint64_t bytes = 0;
  std::size_t size = 0;
  const call_case c;
  for (const skv_status s : {
           skv_cuda_codec_create(nullptr, &g, &codec),
           skv_cuda_codec_create(p.get(), nullptr, &codec),
           skv_cuda_codec_create(p.get(), &g, nullptr),
           skv_cuda_tiles_per_block(nullptr, &n),
           skv_cuda_max_block_bytes(nullptr, &n),
           skv_cuda_max_compressed_bytes(nullptr, 1, &bytes),
           skv_cuda_workspace_bytes(nullptr, 1, nullptr, &size),
           c.encode(nullptr, &c.numbers, &c.out),
           c.encode(&c.batch, nullptr, &c.out),
           c.encode(&c.batch, &c.numbers, nullptr),
           c.encode(),
           c.compact(),
           c.decode(),
       }) {
    EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
    EXPECT_THAT(skv_last_error(), HasSubstr("null pointer"));
  }
  EXPECT_EQ(skv_cuda_codec_retain(nullptr), nullptr);
  skv_cuda_codec_release(nullptr);
}

TEST_F(c_cuda, names_structures_that_are_none) {
  const auto refused = [](skv_status expected, const char* why, auto&& change) {
    call_case c;
    change(c);
    const skv_status encoded = c.encode();
    const std::string said = skv_last_error();
    const bool seen = said.find(why) != std::string::npos;
    // Not all structures are for both.
    if (!seen) {
      EXPECT_EQ(c.decode(), expected) << why;
      EXPECT_THAT(skv_last_error(), HasSubstr(why));
    } else {
      EXPECT_EQ(encoded, expected) << why;
    }
  };
  const skv_status bad = SKV_INVALID_ARGUMENT;
  refused(bad, "batch: its struct_size", [](call_case& c) { c.batch.struct_size = 8; });
  refused(bad, "numbers: its struct_size", [](call_case& c) { --c.numbers.struct_size; });
  refused(bad, "means: its struct_size", [](call_case& c) { c.means.struct_size = 0; });
  refused(bad, "out: its struct_size", [](call_case& c) { c.out.struct_size = 1 << 20; });
  refused(bad, "in: its struct_size", [](call_case& c) { c.in.struct_size = 0; });
  refused(bad, "wanted: its struct_size", [](call_case& c) { c.wanted.struct_size = 8; });
  refused(bad, "limits: its struct_size", [](call_case& c) { c.limits.struct_size = 8; });
  const skv_status later = SKV_UNSUPPORTED;
  refused(later, "batch: its reserved", [](call_case& c) { c.batch.reserved = 1; });
  refused(later, "out: its reserved", [](call_case& c) { c.out.reserved = 1; });
  refused(later, "in: its reserved", [](call_case& c) { c.in.reserved = 1; });
  refused(later, "limits: its reserved", [](call_case& c) { c.limits.reserved = 1; });
}

TEST_F(c_cuda, takes_batches_of_callers_that_know_less) {
  for (const std::size_t size :
       {offsetof(skv_cuda_batch, item_count_dev), offsetof(skv_cuda_batch, first_layer)}) {
    call_case c;
    c.batch.struct_size = size;
    for (const skv_status s : {c.encode(), c.compact(), c.decode()})
      EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
    EXPECT_THAT(skv_last_error(), HasSubstr("codec: null pointer"));
  }
}

TEST_F(c_cuda, names_device_arrays_that_are_misaligned) {
  const auto refused = [](const char* why, auto&& change) {
    call_case c;
    change(c);
    for (const skv_status s : {c.encode(), c.decode()}) EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
    const std::string decoding = skv_last_error();
    EXPECT_EQ(c.encode(), SKV_INVALID_ARGUMENT);
    EXPECT_THAT(decoding + skv_last_error(), HasSubstr(std::string(why) + ": misaligned pointer"));
  };
  refused("batch: item_count_dev",
          [](call_case& c) { c.batch.item_count_dev = at<std::uint32_t>(2); });
  refused("batch: token_counts_dev",
          [](call_case& c) { c.batch.token_counts_dev = at<std::uint32_t>(5); });
  refused("numbers: indices_dev",
          [](call_case& c) { c.numbers.blocks.indices_dev = at<std::int32_t>(6); });
  refused("means: pointers_dev", [](call_case& c) { c.means.blocks.pointers_dev = at<void*>(12); });
  refused("out: records", [](call_case& c) { c.out.records = at<skv_tile_record>(2); });
  refused("out: sizes", [](call_case& c) { c.out.sizes = at<std::uint32_t>(3); });
  refused("out: offsets", [](call_case& c) { c.out.offsets = at<std::uint64_t>(4); });
  refused("out: total_bytes", [](call_case& c) { c.out.total_bytes = at<std::uint64_t>(4); });
  refused("out: indices_dev", [](call_case& c) { c.out.slots.indices_dev = at<std::int32_t>(1); });
  refused("in: records", [](call_case& c) { c.in.records = at<skv_tile_record>(2); });
  refused("in: sizes", [](call_case& c) { c.in.sizes = at<std::uint32_t>(2); });
  refused("in: offsets", [](call_case& c) { c.in.offsets = at<std::uint64_t>(4); });

  alignas(16) unsigned char room[sizeof(skv_cuda_batch) + 1] = {};
  call_case c;
  EXPECT_EQ(c.encode(reinterpret_cast<const skv_cuda_batch*>(room + 1), &c.numbers, &c.out),
            SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("batch: misaligned pointer"));
}

TEST_F(c_cuda, linear_propagation_refuses_what_it_cannot_read) {
  const auto p = make_profile();
  const skv_cuda_geometry g = geometry_of();
  skv_cuda_linear* linear = nullptr;
  EXPECT_EQ(skv_cuda_linear_create(p.get(), &g, nullptr), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_linear_create(nullptr, &g, &linear), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_linear_create(p.get(), nullptr, &linear), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_linear_create(p.get(), &g, &linear), SKV_INVALID_ARGUMENT);
  EXPECT_THAT(skv_last_error(), HasSubstr("no linear propagation"));
  EXPECT_EQ(linear, nullptr);
  EXPECT_EQ(skv_cuda_linear_retain(nullptr), nullptr);
  skv_cuda_linear_release(nullptr);
  std::size_t bytes = 0;
  int starts = 0;
  EXPECT_EQ(skv_cuda_linear_workspace_bytes(nullptr, 1, &bytes), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_linear_device_bytes(nullptr, &bytes), SKV_INVALID_ARGUMENT);
  EXPECT_EQ(skv_cuda_linear_starts_chain(nullptr, 0, &starts), SKV_INVALID_ARGUMENT);

  const call_case c;
  const auto expect = [&](skv_status s, const char* why) {
    EXPECT_EQ(s, SKV_INVALID_ARGUMENT) << why;
    EXPECT_THAT(skv_last_error(), HasSubstr(why));
  };
  const auto predict = [&](const skv_cuda_batch* batch, const std::uint32_t* positions) {
    return skv_cuda_linear_predict_async(nullptr, 0, 0, batch, positions, nullptr, &c.means,
                                         nullptr, 0, &c.limits, nullptr);
  };
  expect(predict(nullptr, nullptr), "batch: null pointer");
  expect(predict(&c.batch, at<std::uint32_t>(6)), "first_positions_dev: misaligned pointer");
  expect(predict(&c.batch, nullptr), "linear: null pointer");
  expect(skv_cuda_linear_update_async(nullptr, 0, 0, &c.batch, nullptr, nullptr, nullptr, nullptr,
                                      0, nullptr, nullptr),
         "linear: null pointer");
  expect(skv_cuda_linear_take_async(nullptr, 0, &c.batch, nullptr, nullptr, 0, nullptr, 0, nullptr,
                                    nullptr),
         "linear: null pointer");
  expect(skv_cuda_linear_take_draft_async(nullptr, 0, nullptr, nullptr, nullptr, nullptr, 0,
                                          nullptr, nullptr),
         "batch: null pointer");
}

}  // namespace
}  // namespace skv
