#include "engine/kv_cache.hpp"

#include <algorithm>

namespace engine {

page_pool::page_pool(const model_config& config, std::uint32_t pages)
    : layers_(config.layers),
      width_(config.kv_width()),
      free_(pages),
      numbers_(std::size_t{pages} * layers_ * 2 * kPageTokens * width_),
      is_used_(pages) {}

std::optional<std::uint32_t> page_pool::allocate() {
  const auto unused = std::find(is_used_.begin(), is_used_.end(), false);
  if (unused == is_used_.end()) return std::nullopt;
  *unused = true;
  --free_;
  return static_cast<std::uint32_t>(unused - is_used_.begin());
}

void page_pool::release(std::uint32_t page) {
  const std::size_t page_numbers = std::size_t{layers_} * 2 * kPageTokens * width_;
  std::fill_n(numbers_.begin() + static_cast<std::ptrdiff_t>(page * page_numbers), page_numbers,
              std::uint16_t{0x7fc0});
  is_used_[page] = false;
  ++free_;
}

std::size_t page_pool::place(std::uint32_t page, std::uint32_t layer, skv::tensor_kind kind) const {
  const std::size_t tensor =
      (std::size_t{page} * layers_ + layer) * 2 + (kind == skv::tensor_kind::v);
  return tensor * kPageTokens * width_;
}

std::span<std::uint16_t> page_pool::rows(std::uint32_t page, std::uint32_t layer,
                                         skv::tensor_kind kind) {
  return std::span(numbers_).subspan(place(page, layer, kind), std::size_t{kPageTokens} * width_);
}
std::span<const std::uint16_t> page_pool::rows(std::uint32_t page, std::uint32_t layer,
                                               skv::tensor_kind kind) const {
  return std::span(numbers_).subspan(place(page, layer, kind), std::size_t{kPageTokens} * width_);
}

bool kv_cache::resize(std::uint32_t tokens) {
  const std::size_t wanted = pages_for(tokens);
  if (wanted > pages_.size() + pool_->free_pages()) return false;
  while (pages_.size() < wanted) pages_.push_back(*pool_->allocate());
  while (pages_.size() > wanted) {
    pool_->release(pages_.back());
    pages_.pop_back();
  }
  tokens_ = tokens;
  return true;
}

namespace {

// Calls f(page, first number in the page, first number in the rows, count) for every page that rows
// of `width` numbers from token `first` on lie in.
template <class F>
void for_each_part(std::uint32_t first, std::size_t numbers, std::uint32_t width, const F& f) {
  std::size_t at = std::size_t{first} * width;
  const std::size_t page_numbers = std::size_t{kPageTokens} * width;
  for (std::size_t done = 0; done < numbers;) {
    const std::size_t in_page = at % page_numbers;
    const std::size_t count = std::min(page_numbers - in_page, numbers - done);
    f(at / page_numbers, in_page, done, count);
    at += count;
    done += count;
  }
}

}  // namespace

void kv_cache::write(std::uint32_t layer, skv::tensor_kind kind, std::uint32_t first,
                     std::span<const std::uint16_t> rows) {
  for_each_part(first, rows.size(), pool_->width(),
                [&](std::size_t page, std::size_t to, std::size_t from, std::size_t count) {
                  std::ranges::copy(rows.subspan(from, count),
                                    pool_->rows(pages_[page], layer, kind).subspan(to).begin());
                });
}

void kv_cache::read(std::uint32_t layer, skv::tensor_kind kind, std::uint32_t first,
                    std::span<std::uint16_t> rows) const {
  for_each_part(
      first, rows.size(), pool_->width(),
      [&](std::size_t page, std::size_t from, std::size_t to, std::size_t count) {
        std::ranges::copy(
            this->page(static_cast<std::uint32_t>(page), layer, kind).subspan(from, count),
            rows.subspan(to).begin());
      });
}

}  // namespace engine
