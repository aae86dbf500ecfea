// Causal attention over a paged cache, of 16 tokens' queries at a time.
#include <algorithm>
#include <cmath>

#include "engine/bf16.hpp"
#include "engine/forward.hpp"
#include "engine/kernels.hpp"

namespace engine {
namespace {

// One KV head with the query heads that share it, for some consecutive tokens. Rows are (token,
// query head); scores [rows][positions, padded to whole pages].
struct head_block {
  const model_config& config;
  const kernels& loops;
  const kv_cache& cache;
  std::uint32_t layer, kv_head;
  std::uint32_t first, tokens;  // positions

  std::uint32_t rows() const { return tokens * config.group(); }
  std::uint32_t positions() const { return first + tokens; }
  std::uint32_t pages() const { return pages_for(positions()); }
  // Positions that a row sees.
  std::uint32_t seen_by(std::uint32_t row) const { return first + row / config.group() + 1; }
  std::uint16_t number(std::span<const std::uint16_t> page, std::uint32_t token,
                       std::uint32_t channel) const {
    return page[token * config.kv_width() + kv_head * config.head_dim + channel];
  }

  void score(const std::vector<float>& queries, std::vector<float>& scores) const {
    const std::uint32_t dim = config.head_dim, stride = pages() * kPageTokens;
    const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
    const bool rounds = config.rounding.score;
    std::vector<float> keys(std::size_t{dim} * kPageTokens), sums(rows() * kPageTokens);
    for (std::uint32_t p = 0; p < pages(); ++p) {
      const auto page = cache.page(p, layer, skv::tensor_kind::k);
      for (std::uint32_t t = 0; t < kPageTokens; ++t)
        for (std::uint32_t i = 0; i < dim; ++i)
          keys[i * kPageTokens + t] = from_bf16(number(page, t, i));
      std::ranges::fill(sums, 0.0f);
      loops.add_products(queries.data(), dim, rows(), keys.data(), dim, sums.data());
      for (std::uint32_t r = 0; r < rows(); ++r)
        for (std::uint32_t t = 0; t < kPageTokens; ++t) {
          const float s = sums[r * kPageTokens + t];
          scores[std::size_t{r} * stride + p * kPageTokens + t] =
              rounds ? rounded(rounded(s) * scale) : s * scale;
        }
    }
  }

  void weigh(std::vector<float>& scores) const {
    const std::size_t stride = pages() * kPageTokens;
    for (std::uint32_t r = 0; r < rows(); ++r) {
      float* const row = &scores[r * stride];
      loops.softmax(row, seen_by(r));
      if (config.rounding.probability)
        for (std::uint32_t i = 0; i < seen_by(r); ++i) row[i] = rounded(row[i]);
    }
  }

  // Sums of V, [channels in panels of 16][rows][16].
  std::vector<float> mix(const std::vector<float>& scores) const {
    const std::uint32_t dim = config.head_dim, stride = pages() * kPageTokens;
    const std::uint32_t panels = (dim + kLanes - 1) / kLanes;
    std::vector<float> sums(std::size_t{panels} * rows() * kLanes);
    float values[kPageTokens * kLanes];
    for (std::uint32_t p = 0; p < pages(); ++p) {
      const auto page = cache.page(p, layer, skv::tensor_kind::v);
      const std::uint32_t begin = p * kPageTokens;
      // Tokens that are not in the cache yet hold anything.
      const std::uint32_t valid = std::min(kPageTokens, positions() - begin);
      for (std::uint32_t panel = 0; panel < panels; ++panel) {
        for (std::uint32_t t = 0; t < valid; ++t)
          for (std::uint32_t i = 0; i < kLanes; ++i) {
            const std::uint32_t channel = panel * kLanes + i;
            values[t * kLanes + i] = channel < dim ? from_bf16(number(page, t, channel)) : 0;
          }
        float* const to = &sums[std::size_t{panel} * rows() * kLanes];
        const float* const weights = &scores[begin];
        if (seen_by(0) >= begin + kPageTokens) {
          loops.add_products(weights, stride, rows(), values, kPageTokens, to);
          continue;
        }
        // A token adds nothing of those behind it, not even 0 times an infinity.
        const std::uint32_t group = config.group();
        for (std::uint32_t r = 0; r < rows(); r += group)
          if (seen_by(r) > begin)
            loops.add_products(weights + std::size_t{r} * stride, stride, group, values,
                               std::min(kPageTokens, seen_by(r) - begin), to + r * kLanes);
      }
    }
    return sums;
  }
};

}  // namespace

void forward_pass::attention(std::uint32_t layer, const kv_cache& cache) {
  const model_config& c = model_->config;
  const std::uint32_t blocks = pages_for(tokens_);
  team_->for_each(std::size_t{blocks} * c.kv_heads, [&](std::size_t i) {
    const auto kv_head = static_cast<std::uint32_t>(i % c.kv_heads);
    const auto begin = static_cast<std::uint32_t>(i / c.kv_heads) * kPageTokens;
    const head_block block{c,
                           team_->kernels(),
                           cache,
                           layer,
                           kv_head,
                           first_ + begin,
                           std::min(kPageTokens, tokens_ - begin)};
    const std::size_t dim = c.head_dim;
    const auto row_in = [&](std::vector<float>& x, std::uint32_t row) {
      const std::uint32_t token = begin + row / c.group();
      const std::uint32_t head = kv_head * c.group() + row % c.group();
      return &x[token * std::size_t{c.q_width()} + head * dim];
    };
    std::vector<float> queries(block.rows() * dim);
    for (std::uint32_t r = 0; r < block.rows(); ++r)
      std::copy_n(row_in(q_, r), dim, &queries[r * dim]);
    std::vector<float> scores(std::size_t{block.rows()} * block.pages() * kPageTokens);
    block.score(queries, scores);
    block.weigh(scores);
    const std::vector<float> sums = block.mix(scores);
    for (std::uint32_t r = 0; r < block.rows(); ++r)
      for (std::size_t channel = 0; channel < dim; ++channel)
        row_in(mixed_, r)[channel] =
            rounded(sums[(channel / kLanes * block.rows() + r) * kLanes + channel % kLanes]);
  });
}

}  // namespace engine
