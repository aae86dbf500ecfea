// A pass of linear propagation of the C ABI, and all that it is made of.
#pragma once

#include <numeric>

#include "c_api/c_case.hpp"
#include "cpu/linear_cases.hpp"

namespace skv::test {

struct release_linear {
  void operator()(skv_embedding* e) const { skv_embedding_release(e); }
  void operator()(skv_linear_pass* p) const { skv_linear_pass_release(p); }
};
using c_embedding = std::unique_ptr<skv_embedding, release_linear>;
using c_pass = std::unique_ptr<skv_linear_pass, release_linear>;

inline c_embedding c_embedding_of(skv_format format, std::uint32_t rows, std::uint32_t width,
                                  const std::vector<std::byte>& numbers) {
  skv_embedding* made = nullptr;
  EXPECT_EQ(skv_embedding_create(format, rows, width, numbers.data(), &made), SKV_OK)
      << skv_last_error();
  return c_embedding(made);
}

/// A random profile, tokens, and a random cache of every tensor of it.
struct linear_pass_case {
  static constexpr std::uint32_t kTokens = 23;

  random_outside outside{kTokens, 5};
  profile_ptr used_profile;
  c_profile profile;
  std::vector<std::uint32_t> positions;
  c_embedding embedding = c_embedding_of(SKV_FORMAT_BF16, 50, 10, outside.table_numbers);
  skv_slice draft_slice = slice_of(kTokens, 3, 6);  // layer 1, K
  skv_draft_tensor draft{};
  skv_linear_tokens tokens{};
  random_cache cache;

  explicit linear_pass_case(const linear_case& c, std::uint64_t seed = 1)
      : used_profile(c.outside ? with_hash(random_linear_profile(c), outside.table.hash())
                               : random_linear_profile(c)),
        profile(c_profile_of(*used_profile)),
        cache(*used_profile, kTokens, 3) {
    random_source random(seed);
    for (std::uint32_t i = 0; i < kTokens; ++i) positions.push_back(random.below(1u << 24));
    draft.slice = &draft_slice;
    draft.numbers = outside.draft_numbers.data();
    draft.format = SKV_FORMAT_FP16;
    tokens.struct_size = sizeof tokens;
    tokens.positions = positions.data();
    tokens.count = kTokens;
    if (!c.outside) return;
    tokens.embedding = embedding.get();
    tokens.ids = outside.ids.data();
    tokens.draft = &draft;
    tokens.draft_count = 1;
  }

  c_pass start() const {
    skv_linear_pass* made = nullptr;
    EXPECT_EQ(skv_linear_pass_create(profile.get(), &tokens, &made), SKV_OK) << skv_last_error();
    return c_pass(made);
  }
  const tensor_scales& scales(std::size_t tensor) const {
    return used_profile->content().scales[tensor];
  }
  std::size_t tensors() const { return used_profile->content().scales.size(); }
  skv_slice slice(std::size_t tensor, std::uint32_t count) const {
    const tensor_scales& t = scales(tensor);
    skv_slice s = slice_of(count, t.heads, t.head_dim);
    s.layer = t.id.layer;
    s.kind = static_cast<skv_kind>(t.id.kind);
    return s;
  }
  std::size_t mean_row_bytes(std::size_t tensor) const { return cache.base_row_bytes[tensor]; }

  /// Means in rows `stride` apart; 0: without gaps.
  skv_status predict(const c_pass& pass, const skv_slice& s, std::size_t tensor, void* means,
                     std::size_t capacity, std::size_t stride = 0) const {
    return skv_linear_predict(pass.get(), &s, cache.bases[tensor].data(), 0, means, stride,
                              capacity);
  }
  skv_status update(const c_pass& pass, const skv_slice& s, std::size_t tensor) const {
    return skv_linear_update(pass.get(), &s, cache.numbers[tensor].data(), 0);
  }
};

}  // namespace skv::test
