// A paged KV cache: bf16, blocks of 16 tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <skv/base/tensor.hpp>
#include <span>
#include <utility>
#include <vector>

#include "engine/config.hpp"

namespace engine {

inline constexpr std::uint32_t kPageTokens = 16;

/// Pages that a sequence of so many tokens takes.
constexpr std::uint32_t pages_for(std::size_t tokens) {
  return static_cast<std::uint32_t>((tokens + kPageTokens - 1) / kPageTokens);
}

/// The memory of all sequences: pages, each with room for K and V of 16 tokens in all layers. One
/// thread at a time.
class page_pool {
 public:
  page_pool(const model_config& config, std::uint32_t pages);

  std::uint32_t pages() const { return static_cast<std::uint32_t>(is_used_.size()); }
  std::uint32_t free_pages() const { return free_; }
  /// Numbers of a token in one tensor.
  std::uint32_t width() const { return width_; }

  /// A page's number; none if all are in use.
  std::optional<std::uint32_t> allocate();
  /// The page may be given to another sequence. Its numbers are overwritten with NaN.
  void release(std::uint32_t page);

  /// bf16 patterns [kPageTokens][kv_heads * head_dim].
  std::span<std::uint16_t> rows(std::uint32_t page, std::uint32_t layer, skv::tensor_kind kind);
  std::span<const std::uint16_t> rows(std::uint32_t page, std::uint32_t layer,
                                      skv::tensor_kind kind) const;

 private:
  std::size_t place(std::uint32_t page, std::uint32_t layer, skv::tensor_kind kind) const;

  std::uint32_t layers_, width_, free_;
  std::vector<std::uint16_t> numbers_;  // [pages][layers][k, v][kPageTokens][width]
  std::vector<bool> is_used_;
};

/// The cache of one sequence: a list of pages, which it gives back when it dies. Borrows the pool.
class kv_cache {
 public:
  explicit kv_cache(page_pool& pool) : pool_(&pool) {}
  kv_cache(const kv_cache&) = delete;
  kv_cache& operator=(const kv_cache&) = delete;
  ~kv_cache() { resize(0); }

  std::uint32_t tokens() const { return tokens_; }

  /// Makes room for `tokens` tokens in all layers, or gives pages back. False, and nothing changes,
  /// if the pool has too few.
  bool resize(std::uint32_t tokens);

  /// Copies patterns [count][kv_heads * head_dim] in, or out; first + count <= tokens().
  void write(std::uint32_t layer, skv::tensor_kind kind, std::uint32_t first,
             std::span<const std::uint16_t> rows);
  void read(std::uint32_t layer, skv::tensor_kind kind, std::uint32_t first,
            std::span<std::uint16_t> rows) const;

  /// Of tokens [kPageTokens * i, kPageTokens * (i + 1)), the last of which may not be in use yet.
  std::span<const std::uint16_t> page(std::uint32_t i, std::uint32_t layer,
                                      skv::tensor_kind kind) const {
    return std::as_const(*pool_).rows(pages_[i], layer, kind);
  }

 private:
  page_pool* pool_;
  std::vector<std::uint32_t> pages_;
  std::uint32_t tokens_ = 0;
};

}  // namespace engine
