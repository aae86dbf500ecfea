// Whatever allocation fails, a status says so and no exception leaves.
#include <atomic>
#include <cstdlib>
#include <new>

#include "c_api/linear_pass.hpp"

namespace {

// How many allocations still succeed; negative: all of them.
std::atomic<long> left = -1;

}  // namespace

// Not inlined: the compiler would see free() for what came from new.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (left >= 0 && left-- <= 0) {
    left = 0;
    throw std::bad_alloc();
  }
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}
// A sanitizer's own would not ask the one above.
void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { operator delete(p); }
void operator delete[](void* p, std::size_t) noexcept { operator delete(p); }

namespace skv {
namespace {

// Calls f with memory for 0, 1, 2 ... allocations until it succeeds; returns for how many.
template <class F>
long allocations_of(const F& f) {
  for (long n = 0;; ++n) {
    left = n;
    const skv_status s = f();
    left = -1;
    if (s == SKV_OK) return n;
    EXPECT_EQ(s, SKV_OUT_OF_MEMORY) << "after " << n << " allocations: " << skv_last_error();
    EXPECT_STREQ(skv_last_error() + std::string_view(skv_last_error()).find("out of"),
                 "out of memory");
    if (s != SKV_OUT_OF_MEMORY) return -1;
  }
}

TEST(out_of_memory, is_a_status_of_handles) {
  const auto bytes = test::default_profile_of(test::kGiven);
  skv_profile *read = nullptr, *made = nullptr, *sliced = nullptr;
  skv_codec* codec = nullptr;
  EXPECT_GT(allocations_of([&] {
              return skv_profile_from_bytes(bytes->bytes().data(), bytes->bytes().size(), &read);
            }),
            0);
  EXPECT_GT(allocations_of([&] {
              return skv_profile_default(SKV_FORMAT_BF16, SKV_SOURCE_GIVEN, SKV_FORMAT_BF16, &made);
            }),
            0);
  EXPECT_GT(allocations_of([&] { return skv_profile_slice_heads(made, 0, 1, &sliced); }), 0);
  EXPECT_GT(allocations_of([&] { return skv_codec_create(made, &codec); }), 0);
  for (skv_profile* p : {read, made, sliced}) skv_profile_release(p);
  skv_codec_release(codec);
}

TEST(out_of_memory, is_a_status_of_items) {
  const auto codec = test::c_codec_of(test::kGiven);
  test::c_case c(test::kGiven, test::slice_of(1000));
  skv_encode_item whole = c.to_encode();
  ASSERT_EQ(skv_encode(codec.get(), &whole, 1, 1), SKV_OK);
  for (const std::uint32_t threads : {1u, 3u}) {
    // Without room for any outcome: needs a buffer of its own.
    test::guarded_bytes exact(whole.compressed_bytes);
    skv_encode_item e = c.to_encode();
    e.compressed = exact.data();
    e.capacity_bytes = exact.size();
    EXPECT_GT(allocations_of([&] { return skv_encode(codec.get(), &e, 1, threads); }), 2);
    EXPECT_EQ(e.status, SKV_OK);
    skv_decode_item d = c.to_decode(e);
    EXPECT_GT(allocations_of([&] { return skv_decode(codec.get(), &d, 1, threads); }), 2);
    EXPECT_TRUE(c.is_restored());
  }
}

TEST(out_of_memory, is_a_status_of_passes) {
  test::linear_case kind;
  kind.outside = true;
  const test::linear_pass_case c(kind);
  skv_linear_pass* made = nullptr;
  skv_embedding* embedding = nullptr;
  EXPECT_GT(allocations_of([&] {
              return skv_embedding_create(SKV_FORMAT_BF16, 50, 10, c.outside.table_numbers.data(),
                                          &embedding);
            }),
            0);
  skv_embedding_release(embedding);
  EXPECT_GT(
      allocations_of([&] { return skv_linear_pass_create(c.profile.get(), &c.tokens, &made); }), 2);
  const test::c_pass pass(made);
  const skv_slice s = c.slice(0, c.kTokens);
  std::vector<std::byte> means(c.mean_row_bytes(0) * c.kTokens);
  EXPECT_GT(allocations_of([&] { return c.predict(pass, s, 0, means.data(), means.size()); }), 2);
  left = 1;
  const skv_status first = c.update(pass, s, 0);
  left = -1;
  EXPECT_EQ(first, SKV_OUT_OF_MEMORY);
  EXPECT_EQ(c.update(pass, s, 0), SKV_INVALID_ARGUMENT) << "what it knows of layers is incomplete";
  EXPECT_STREQ(skv_last_error(), "the pass has failed before, for lack of memory");
}

}  // namespace
}  // namespace skv
