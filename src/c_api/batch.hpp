// A batch of items, cut into tiles that any thread may take.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "call.hpp"
#include "cpu/parallel.hpp"
#include "sized.hpp"
#include "slice.hpp"

namespace skv::c_api {

/// More threads than this are not started, whatever a caller asks for.
inline constexpr std::uint32_t kMaxThreads = 1024;

/// The worst of what happened to an item, the first of its kind; tiles report from any thread.
class item_outcome {
 public:
  void add(std::size_t tile, error e) {
    const std::lock_guard lock(mutex_);
    if (e.code < worst_.code || (e.code == worst_.code && tile >= tile_)) return;
    worst_ = std::move(e);
    tile_ = tile;
  }
  /// When all tiles are done.
  const error& worst() const { return worst_; }
  bool ok() const { return worst_.code == status::ok; }

 private:
  std::mutex mutex_;
  error worst_;
  std::size_t tile_ = 0;
};

/// The items of a caller: an array whose elements are as large as the first one says.
template <class Item>
class item_array {
 public:
  /// Fails with invalid_argument if there is no such array. `required` are the bytes that an item
  /// must have.
  static result<item_array> open(Item* items, std::size_t count, std::size_t required) {
    if (count == 0) return item_array{};
    if (const auto ok = check_sized(items, required, "items"); !ok) return ok.failure();
    const std::size_t stride = items->struct_size;
    if (stride % alignof(Item) != 0 || count > PTRDIFF_MAX / stride)
      return fail(status::invalid_argument, "items: no array of " + std::to_string(count) +
                                                " items of " + std::to_string(stride) + " bytes");
    const item_array all{items, stride, count};
    for (std::size_t i = 0; i < count; ++i)
      if (all[i]->struct_size != stride)
        return fail(status::invalid_argument,
                    "item " + std::to_string(i) + ": its struct_size is not that of item 0");
    return all;
  }
  std::size_t size() const { return count_; }
  Item* operator[](std::size_t i) const {
    return reinterpret_cast<Item*>(reinterpret_cast<std::byte*>(first_) + i * stride_);
  }

 private:
  item_array() = default;
  item_array(Item* first, std::size_t stride, std::size_t count)
      : first_(first), stride_(stride), count_(count) {}

  Item* first_ = nullptr;
  std::size_t stride_ = sizeof(Item), count_ = 0;
};

/// Does every item. A Job has
/// - `prepare(const cpu::codec&, const Item&)`, which checks and returns how many tiles there are;
/// - `work(tile)`, from any thread;
/// - `finish(ok)`, once after the last tile: did all succeed?
/// - `report(Item&, ok)`, which writes what the caller is to know, whatever happened; never throws.
template <class Job, class Item>
result<done> run_batch(const cpu::codec& coder, const item_array<Item>& items,
                       std::uint32_t threads) {
  struct entry {
    Job job;
    item_outcome outcome;
    std::atomic<std::size_t> left = 0;
  };
  std::vector<entry> entries(items.size());
  std::vector<std::size_t> first_tile(items.size() + 1);
  const auto guarded = [](entry& e, std::size_t tile, const auto& f) {
    if (const auto ok = attempt(f); !ok) e.outcome.add(tile, ok.failure());
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    entry& e = entries[i];
    std::size_t tiles = 0;
    guarded(e, 0, [&]() -> result<done> {
      const auto read = read_sized(items[i], "item");
      if (!read) return read.failure();
      const auto prepared = e.job.prepare(coder, *read);
      if (!prepared) return prepared.failure();
      tiles = *prepared;
      return done{};
    });
    e.left = tiles;
    first_tile[i + 1] = first_tile[i] + tiles;
  }
  const auto do_tile = [&](std::size_t index) {
    const auto after = std::ranges::upper_bound(first_tile, index);
    const auto i = static_cast<std::size_t>(after - first_tile.begin()) - 1;
    entry& e = entries[i];
    const std::size_t tile = index - first_tile[i];
    guarded(e, tile, [&] { return e.job.work(tile); });
    if (e.left.fetch_sub(1, std::memory_order_acq_rel) == 1)
      guarded(e, tile, [&] { return e.job.finish(e.outcome.ok()); });
  };
  const auto all = attempt([&]() -> result<done> {
    cpu::parallel_for(first_tile.back(), std::min(cpu::thread_count(threads), kMaxThreads),
                      do_tile);
    return done{};
  });

  std::size_t worst = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    entry& e = entries[i];
    if (!all && e.left != 0) e.outcome.add(0, all.failure());
    e.job.report(*items[i], e.outcome.ok());
    items[i]->status = static_cast<skv_status>(e.outcome.worst().code);
    if (e.outcome.worst().code > entries[worst].outcome.worst().code) worst = i;
  }
  if (items.size() == 0 || entries[worst].outcome.ok()) return done{};
  const error& e = entries[worst].outcome.worst();
  return fail(e.code, "item " + std::to_string(worst) + ": " + e.message);
}

}  // namespace skv::c_api
