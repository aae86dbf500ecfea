// What compacting and the block pool refuse before they ask for a device, and say without one.
#include <gmock/gmock.h>

#include <cstddef>

#include "c_cuda/c_cuda_case.hpp"

namespace skv {
namespace {

using namespace test;
using testing::HasSubstr;
using testing::StartsWith;

struct pool_case : call_case {
  skv_cuda_pool_options options = sized<skv_cuda_pool_options>();
  skv_cuda_pool_entries entries = sized<skv_cuda_pool_entries>();

  pool_case() { options.sectors = options.entries = 8; }

  skv_status create() const {
    const auto p = make_profile();
    const skv_cuda_geometry g = geometry_of();
    skv_cuda_pool* pool = nullptr;
    const skv_status s = skv_cuda_pool_create(p.get(), &g, &options, &pool);
    EXPECT_EQ(pool, nullptr);
    return s;
  }
  skv_status store(const skv_cuda_batch* b, const skv_cuda_pool_entries* e,
                   const skv_cuda_stored_places* i) const {
    return skv_cuda_pool_store_async(nullptr, b, e, i, nullptr, &limits, nullptr);
  }
  skv_status store() const { return store(&batch, &entries, &in); }
  skv_status load() const {
    return skv_cuda_pool_load_async(nullptr, &batch, &entries, &out, &limits, nullptr);
  }
  skv_status restore() const {
    return skv_cuda_pool_restore_async(nullptr, nullptr, &batch, &entries, &out, &means, &numbers,
                                       0, nullptr, nullptr, 0, &limits, nullptr);
  }
  skv_status drop() const {
    return skv_cuda_pool_drop_async(nullptr, &batch, &entries, nullptr, &limits, nullptr);
  }
};

class c_cuda_pool : public c_cuda {};

TEST_F(c_cuda_pool, says_that_there_is_no_device) {
  EXPECT_EQ(pool_case().create(), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), StartsWith("there is no device: "));
}

TEST_F(c_cuda_pool, names_what_is_wrong_with_options) {
  const auto refused = [&](skv_status expected, const char* why, auto&& change) {
    pool_case c;
    change(c.options);
    EXPECT_EQ(c.create(), expected) << why;
    EXPECT_THAT(skv_last_error(), HasSubstr(why));
  };
  using options = skv_cuda_pool_options;
  const skv_status bad = SKV_INVALID_ARGUMENT;
  refused(bad, "one sector and one entry", [](options& o) { o.sectors = 0; });
  refused(bad, "one sector and one entry", [](options& o) { o.entries = 0; });
  for (const std::uint32_t bytes : {1u, 32u, 96u, 1u << 17, ~0u})
    refused(bad, "a power of two of bytes", [&](options& o) { o.sector_bytes = bytes; });
  refused(bad, "options: its struct_size is 0", [](options& o) { o.struct_size = 0; });
  refused(bad, "options: its struct_size",
          [](options& o) { o.struct_size = offsetof(options, sector_bytes) - 1; });
  // What an earlier caller does not have is zero: it comes as far as the device.
  refused(SKV_UNSUPPORTED, "there is no device", [](options& o) {
    o.struct_size = offsetof(options, sector_bytes);
    o.sector_bytes = 3;
  });
  struct {
    options known;
    std::uint64_t more;
  } longer{pool_case().options, 1};
  longer.known.struct_size = sizeof longer;
  const auto p = make_profile();
  const skv_cuda_geometry g = geometry_of();
  skv_cuda_pool* pool = nullptr;
  EXPECT_EQ(skv_cuda_pool_create(p.get(), &g, &longer.known, &pool), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), HasSubstr("a member that this version does not know"));
  longer.more = 0;
  EXPECT_EQ(skv_cuda_pool_create(p.get(), &g, &longer.known, &pool), SKV_UNSUPPORTED);
  EXPECT_THAT(skv_last_error(), StartsWith("there is no device: "));
}

TEST_F(c_cuda_pool, refuses_null_pointers) {
  const auto p = make_profile();
  const skv_cuda_geometry g = geometry_of();
  skv_cuda_pool* pool = nullptr;
  const pool_case c;
  auto counts = sized<skv_cuda_pool_counts>();
  auto ref = sized<skv_cuda_pool_ref>();
  std::size_t bytes = 0;
  for (const skv_status s : {
           skv_cuda_pool_create(nullptr, &g, &c.options, &pool),
           skv_cuda_pool_create(p.get(), nullptr, &c.options, &pool),
           skv_cuda_pool_create(p.get(), &g, nullptr, &pool),
           skv_cuda_pool_create(p.get(), &g, &c.options, nullptr),
           skv_cuda_pool_memory_bytes(nullptr, &bytes),
           skv_cuda_pool_get_ref(nullptr, &ref),
           skv_cuda_pool_read_counts(nullptr, nullptr, &counts),
           skv_cuda_pool_clear_async(nullptr, nullptr),
           c.store(nullptr, &c.entries, &c.in),
           c.store(&c.batch, nullptr, &c.in),
           c.store(),
           c.load(),
           c.restore(),
           c.drop(),
       }) {
    EXPECT_EQ(s, SKV_INVALID_ARGUMENT);
    EXPECT_THAT(skv_last_error(), HasSubstr("null pointer"));
  }
  EXPECT_EQ(skv_cuda_pool_retain(nullptr), nullptr);
  skv_cuda_pool_release(nullptr);
}

TEST_F(c_cuda_pool, names_structures_that_are_none) {
  const auto refused = [](skv_status expected, const char* why, auto&& change) {
    pool_case c;
    change(c);
    for (const skv_status s : {c.store(), c.load(), c.restore(), c.drop()}) {
      EXPECT_EQ(s, expected) << why;
      EXPECT_THAT(skv_last_error(), HasSubstr(why));
    }
  };
  const skv_status bad = SKV_INVALID_ARGUMENT;
  refused(bad, "batch: its struct_size", [](pool_case& c) { c.batch.struct_size = 8; });
  refused(bad, "entries: its struct_size", [](pool_case& c) { --c.entries.struct_size; });
  refused(bad, "entries: its struct_size", [](pool_case& c) { c.entries.struct_size = 1 << 20; });
  refused(bad, "limits: its struct_size", [](pool_case& c) { c.limits.struct_size = 8; });
  refused(SKV_UNSUPPORTED, "batch: its reserved", [](pool_case& c) { c.batch.reserved = 1; });
  refused(bad, "entries: indices_dev: misaligned pointer",
          [](pool_case& c) { c.entries.indices_dev = at<std::int32_t>(6); });
}

}  // namespace
}  // namespace skv
