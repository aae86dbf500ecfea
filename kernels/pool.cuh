// The kernels of the block pool. Free sectors are a stack that each kernel only takes from, or only
// adds to: places in it are dealt out by one counter, and the height is what the pool counts.
#pragma once

#include "parameters.hpp"
#include "stored.cuh"

namespace skv::cuda {

/// Line `i` of an entry whose sectors are these.
SKV_DEVICE std::byte* line_of(const pool_ref& pool, const std::uint32_t* sectors, std::uint32_t i) {
  const std::uint32_t bits = pool.sector_bits - 4;
  return pool.sector(device::global(sectors)[i >> bits]) + 16 * (i & ((1u << bits) - 1));
}

/// Adds to the pool's counts, modulo 2^64.
SKV_DEVICE void account(const pool_ref& pool, std::uint64_t sectors, std::uint64_t blocks,
                        std::uint64_t bytes) {
  if (blocks == 0) return;
  device::atomic_add(&pool.counts_dev->free_sectors, 0 - sectors);
  device::atomic_add(&pool.counts_dev->used_sectors, sectors);
  device::atomic_add(&pool.counts_dev->blocks, blocks);
  device::atomic_add(&pool.counts_dev->bytes, bytes);
}

/// One thread for each block of a round takes an entry and sectors; then all threads copy.
struct store_kernel : store_parameters {
  /// A block of the round, in shared memory.
  struct member {
    const std::byte* from;
    const std::uint32_t* sectors;  ///< for it; null: it is not stored
    std::int64_t entry;
    std::size_t index;
    std::uint32_t bytes;
  };
  static std::size_t shared_bytes(std::uint32_t round_blocks, std::uint32_t /*tiles*/) {
    return round_blocks * sizeof(member);
  }

  SKV_DEVICE void operator()() const {
    auto* const members = reinterpret_cast<member*>(device::shared());
    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    const std::uint32_t rounds = (blocks + round_blocks - 1) / round_blocks;
    std::uint64_t sectors = 0, stored = 0, bytes = 0;
    for (std::uint32_t round = device::block(); round < rounds; round += device::blocks()) {
      const std::uint32_t first = round * round_blocks;
      const std::uint32_t count = blocks - first < round_blocks ? blocks - first : round_blocks;
      device::sync_block();
      if (device::thread() < count)
        members[device::thread()] = take({batch, items, first + device::thread()});
      device::sync_block();
      for (std::uint32_t i = 0; i < count; ++i) {
        const member m = members[i];
        if (m.sectors == nullptr) continue;
        copy(m, i);
        sectors += pool.sectors_of(m.bytes);
        stored += 1;
        bytes += m.bytes;
      }
    }
    if (device::thread() == 0) account(pool, sectors, stored, bytes);
  }

 private:
  SKV_DEVICE member take(const batch_block& b) const {
    const stored_block s = find_stored(plan, in, b);
    member m{s.bytes, nullptr, entries.at(b.layer, b.item), b.index, s.size};
    status is = status::ok;
    if (entries.exists(b.item)) is = s.is == status::ok ? take_entry(m) : s.is;
    statuses[b.index] = is;
    return m;
  }

  /// The entry first, for another block of the batch may want it; then sectors. All that ask after the
  /// first one that asks for too many get none, so the sectors taken are the uppermost of the stack.
  SKV_DEVICE status take_entry(member& m) const {
    const std::uint32_t wanted = pool.sectors_of(m.bytes);
    if (wanted > pool.max_sectors) return status::does_not_fit;
    if (m.entry < 0 || m.entry >= pool.entries) return status::invalid_argument;
    std::uint32_t* const state = pool.states_dev + m.entry;
    const std::uint32_t taken = m.bytes + pool_ref::kStored;
    if (device::atomic_compare_exchange(state, pool_ref::kEmpty, taken) != pool_ref::kEmpty)
      return status::invalid_argument;
    std::uint64_t until = 0;
    if (wanted != 0) until = device::atomic_add(&change->moved, std::uint64_t{wanted}) + wanted;
    if (until > change->free_before) {
      device::atomic_compare_exchange(state, taken, pool_ref::kEmpty);
      return status::does_not_fit;
    }
    m.sectors = pool.free_dev + (change->free_before - until);
    return status::ok;
  }

  SKV_DEVICE void copy(const member& m, std::uint32_t turn) const {
    for (std::uint32_t i = device::thread(); i < pool.sectors_of(m.bytes); i += device::threads())
      pool.sectors_at(m.entry)[i] = device::global(m.sectors)[i];
    for (std::uint32_t i = device::thread(); i < plan.tiles; i += device::threads())
      pool.records_at(m.entry)[i] = in.records[m.index * plan.tiles + i];
    each_line(m.bytes, turn, [&](std::uint32_t line) {
      copy_line(line_of(pool, m.sectors, line), m.from + 16 * std::size_t{line}, line, m.bytes);
    });
  }
};

/// One thread for each block of a round finds it; then all threads copy.
struct load_kernel : load_parameters {
  /// A block of the round, in shared memory.
  struct member {
    std::byte* to;
    std::int64_t entry;
    std::size_t index;
    std::uint32_t bytes;
    status is;
  };
  static std::size_t shared_bytes(std::uint32_t round_blocks, std::uint32_t /*tiles*/) {
    return round_blocks * sizeof(member);
  }

  SKV_DEVICE void operator()() const {
    auto* const members = reinterpret_cast<member*>(device::shared());
    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    const std::uint32_t rounds = (blocks + round_blocks - 1) / round_blocks;
    for (std::uint32_t round = device::block(); round < rounds; round += device::blocks()) {
      const std::uint32_t first = round * round_blocks;
      const std::uint32_t count = blocks - first < round_blocks ? blocks - first : round_blocks;
      device::sync_block();
      if (device::thread() < count) {
        const member m = find({batch, items, first + device::thread()});
        out.sizes[m.index] = m.bytes;
        out.statuses[m.index] = m.is;
        members[device::thread()] = m;
      }
      device::sync_block();
      for (std::uint32_t i = 0; i < count; ++i) {
        const member m = members[i];
        if (m.is == status::ok) copy(m, i);
      }
    }
  }

 private:
  SKV_DEVICE member find(const batch_block& b) const {
    member m{nullptr, entries.at(b.layer, b.item), b.index, 0, status::ok};
    if (!entries.exists(b.item)) {
      m.is = status::does_not_fit;
      return m;
    }
    const std::uint32_t bytes = pool.holds(m.entry) ? pool.bytes(m.entry) : 0;
    if (!pool.holds(m.entry) || bytes > out.slot_bytes ||
        (bytes != 0 && !out.slots.exists(b.layer, b.item))) {
      m.is = status::invalid_argument;
      return m;
    }
    m.bytes = bytes;
    if (bytes != 0) m.to = out.slots.at(b.layer, b.item);
    return m;
  }

  SKV_DEVICE void copy(const member& m, std::uint32_t turn) const {
    for (std::uint32_t i = device::thread(); i < plan.tiles; i += device::threads())
      out.records[m.index * plan.tiles + i] = pool.records_at(m.entry)[i];
    const std::uint32_t* const sectors = pool.sectors_at(m.entry);
    each_line(m.bytes, turn, [&](std::uint32_t line) {
      copy_line(m.to + 16 * std::size_t{line}, line_of(pool, sectors, line), line, m.bytes);
    });
  }
};

/// A warp for each block.
struct drop_kernel : drop_parameters {
  static std::size_t shared_bytes(std::uint32_t /*round_blocks*/, std::uint32_t /*tiles*/) {
    return 0;
  }

  SKV_DEVICE void operator()() const {
    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    const std::uint32_t warps = device::threads() / kLanes;
    std::uint64_t sectors = 0, dropped = 0, bytes = 0;
    for (std::uint32_t i = device::block() * warps + device::warp(); i < blocks;
         i += device::blocks() * warps) {
      const batch_block b(batch, items, i);
      const std::int64_t entry = entries.at(b.layer, b.item);
      std::uint32_t state = pool_ref::kEmpty, to = 0;
      if (device::lane() == 0) {
        if (entries.exists(b.item)) state = empty(entry);
        const bool is_nothing = entries.exists(b.item) && state == pool_ref::kEmpty;
        statuses[b.index] = is_nothing ? status::invalid_argument : status::ok;
      }
      state = device::shuffle(state, 0);
      if (state == pool_ref::kEmpty) continue;
      const std::uint32_t size = state - pool_ref::kStored;
      const std::uint32_t freed = pool.sectors_of(size);
      if (device::lane() == 0)
        to = static_cast<std::uint32_t>(change->free_before +
                                        device::atomic_add(&change->moved, std::uint64_t{freed}));
      to = device::shuffle(to, 0);
      for (std::uint32_t k = device::lane(); k < freed; k += kLanes)
        pool.free_dev[to + k] = pool.sectors_at(entry)[k];
      sectors += freed;
      dropped += 1;
      bytes += size;
    }
    if (device::lane() == 0) account(pool, 0 - sectors, 0 - dropped, 0 - bytes);
  }

 private:
  /// The entry's state before; of several that empty one, one gets it.
  SKV_DEVICE std::uint32_t empty(std::int64_t entry) const {
    if (!pool.holds(entry)) return pool_ref::kEmpty;
    std::uint32_t* const at = pool.states_dev + entry;
    const std::uint32_t state = *at;
    const bool is_mine = device::atomic_compare_exchange(at, state, pool_ref::kEmpty) == state;
    return is_mine ? state : pool_ref::kEmpty;
  }
};

/// Every sector is free, the first ones on top.
struct clear_kernel : clear_parameters {
  static std::size_t shared_bytes(std::uint32_t /*round_blocks*/, std::uint32_t /*tiles*/) {
    return 0;
  }

  SKV_DEVICE void operator()() const {
    const std::uint32_t first = device::block() * device::threads() + device::thread();
    const std::uint32_t step = device::blocks() * device::threads();
    for (std::uint64_t i = first; i < pool.sectors; i += step)
      pool.free_dev[i] = static_cast<std::uint32_t>(pool.sectors - 1 - i);
    for (std::uint64_t i = first; i < pool.entries; i += step)
      pool.states_dev[i] = pool_ref::kEmpty;
    if (first == 0) *pool.counts_dev = {pool.sectors, 0, 0, 0};
  }
};

}  // namespace skv::cuda
