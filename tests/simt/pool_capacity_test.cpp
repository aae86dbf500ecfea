// What the pool is for: the cache of a real model, with its fp8 copy as reference, of at least twice
// the tokens that the same memory holds raw.
#include <gtest/gtest.h>
#include <skv/calibrate/calibrate.hpp>

#include "simt/device_pool.hpp"
#include "support/cache_file.hpp"

namespace skv::simt {
namespace {

/// A cache of tests/data/tiny and a reference of it.
struct tiny_case {
  coding_id id;
  const char *target, *reference;
  std::uint32_t block_tokens;

  cache_file load(const char* variant, const std::string& sequence) const {
    const std::size_t slash = sequence.find('/');
    return cache_file::tiny(sequence.substr(0, slash + 1) + variant + sequence.substr(slash) +
                            ".safetensors");
  }
  /// Fitted to other sequences than the one that is stored.
  profile_ptr fitted() const {
    calibrator c(id.target, id.source, id.mean);
    do
      for (const char* sequence : {"calibration/000", "calibration/001"}) {
        const cache_file x = load(target, sequence), m = load(reference, sequence);
        for (std::size_t i = 0; i < x.tensors().size(); ++i) {
          const cached_tensor &t = x.tensors()[i], &u = m.tensors()[i];
          if (t.id != u.id || !c.add(t.id, t.tokens, t.heads, t.head_dim, x.rows(t), m.rows(u)))
            throw std::runtime_error("the caches of tests/data/tiny do not match");
        }
      }
    while (c.next_pass());
    return *c.finish();
  }
};

constexpr tiny_case kCases[] = {
    {kGiven, "target", "reference_fp8", 16},
    {{format_id::e4m3, mean_source::given, format_id::bf16},
     "target_e4m3",
     "reference_fp8_for_e4m3",
     32},
};

/// Tokens [first, first + geometry.tokens) of all tensors: [layers][tensors].
std::vector<logical_tensor> page_of(const cache_file& cache, const cuda::block_geometry& g,
                                    std::uint32_t first) {
  std::vector<logical_tensor> page(std::size_t{g.layers} * g.tensor_count);
  for (const cached_tensor& t : cache.tensors()) {
    const row_view<const std::byte> rows = cache.rows(t);
    page[t.id.layer * g.tensor_count + (t.id.kind == tensor_kind::v)].assign(
        rows.at(first, 0), rows.at(first, 0) + g.tokens * rows.token_stride_bytes);
  }
  return page;
}

/// The pool with the most sectors of the default size whose memory, tables and all, is `bytes`.
cuda::pool_options options_within(const cuda::block_plan& plan, std::uint32_t entries,
                                  std::size_t bytes) {
  cuda::pool_options o{0, 512, entries};
  o.sectors = static_cast<std::uint32_t>(bytes / o.sector_bytes);
  while (cuda::pool_layout::make(plan, o)->bytes > bytes) --o.sectors;
  return o;
}

TEST(pool_capacity, a_cache_of_twice_the_tokens_in_the_same_memory) {
  for (const tiny_case& c : kCases) {
    SCOPED_TRACE(c.target);
    const cache_file numbers = c.load(c.target, "evaluation/000");
    const cache_file means = c.load(c.reference, "evaluation/000");
    cuda::block_geometry g;
    g.layers = 6;
    g.tokens = c.block_tokens;
    g.tensors[0] = {tensor_kind::k, 2, 32, 0};
    g.tensors[1] = {tensor_kind::v, 2, 32, 0};
    g.tensor_count = 2;
    const std::uint32_t tokens = 96, pages = tokens / g.tokens;
    ASSERT_EQ(numbers.tensors().front().tokens, tokens);

    // Pages in which the engine computes, one after another: one would do for all.
    const profile_ptr used_profile = c.fitted();
    std::vector<device_scene> work;
    for (std::uint32_t i = 0; i < pages; ++i)
      work.emplace_back(paged_scene{c.id,
                                    g,
                                    1,
                                    {g.tokens},
                                    used_profile,
                                    page_of(numbers, g, i * g.tokens),
                                    page_of(means, g, i * g.tokens)},
                        page_layout::token_major, page_layout::token_major, 1);
    const std::size_t room = work[0].ample_room(output::in_place);
    const std::size_t raw_bytes_per_token = room * g.layers / g.tokens;
    ASSERT_EQ(raw_bytes_per_token, 6u * 2 * 2 * 32 * work[0].scene.target().bytes());

    // Memory of half of the tokens.
    const std::size_t memory = tokens / 2 * raw_bytes_per_token;
    device_pool p(work[0].plan, options_within(work[0].plan, pages * g.layers, memory));
    ASSERT_LE(p.layout.bytes, memory);
    const auto entries_of = [&](std::uint32_t page) {
      return cuda::pool_entries{page, pages, nullptr};
    };
    for (std::uint32_t i = 0; i < pages; ++i) {
      device_scene& d = work[i];
      const cuda::stored_places in = d.stored(output::in_place, room);
      ASSERT_TRUE(d.encode(output::in_place, room, {i}));
      ASSERT_TRUE(p.store(d, entries_of(i), in, d.decoded.data(), {i, 6, 2}));
      p.expect_stored(d, entries_of(i), in, d.decoded.data());
      for (const status s : d.decoded.span()) ASSERT_EQ(s, status::ok);
      d.spoil();
      std::fill(d.records.begin(), d.records.end(), tile_record{});
    }
    ASSERT_EQ(p.counts[0].blocks, std::uint64_t{pages} * g.layers);

    for (std::uint32_t i = pages; i-- > 0;) {
      device_scene& d = work[i];
      ASSERT_TRUE(p.load(d, entries_of(i), d.places(output::in_place, room), {i, 6, 2}));
      ASSERT_TRUE(d.decode(output::in_place, room, {i}));
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
        ASSERT_EQ(d.decoded[index], status::ok);
        ASSERT_TRUE(d.scene.equal(d.scene.numbers, d.numbers_at.cache, layer, item,
                                  d.block(layer, item), d.scene.target()));
      });
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace skv::simt
