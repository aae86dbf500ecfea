// The kernel that packs blocks: encoded in slots, or in place, they follow each other in one buffer.
#pragma once

#include "parameters.hpp"
#include "rounds.cuh"
#include "stored.cuh"

namespace skv::cuda {

/// One warp of a block decides where the blocks of a round go; then all of its threads copy them.
struct compact_kernel : compact_parameters {
  /// A block of the round, in shared memory.
  struct member {
    const std::byte* from;
    std::byte* to;
    std::uint32_t bytes;  ///< to be copied
  };
  static std::size_t shared_bytes(std::uint32_t round_blocks, std::uint32_t /*tiles*/) {
    return round_blocks * sizeof(member) + 16;
  }

  SKV_DEVICE void operator()() const {
    auto* const members = reinterpret_cast<member*>(device::shared());
    auto* const ticket = reinterpret_cast<std::uint32_t*>(members + round_blocks);
    const std::uint32_t items = batch.item_count();
    const std::uint32_t blocks = items * plan.layers;
    const std::uint32_t rounds = (blocks + round_blocks - 1) / round_blocks;
    if (rounds == 0 && device::block() == 0 && device::thread() == 0) *out.total_bytes = 0;
    for (;;) {
      const std::uint32_t round = next_round(counter, ticket);
      if (round >= rounds) return;
      const std::uint32_t first = round * round_blocks;
      const std::uint32_t count = blocks - first < round_blocks ? blocks - first : round_blocks;
      if (device::warp() == 0) place(round, first, count, items, rounds, members);
      device::sync_block();
      for (std::uint32_t i = 0; i < count; ++i) {
        const member m = members[i];
        each_line(m.bytes, i, [&](std::uint32_t line) {
          copy_line(m.to + 16 * std::size_t{line}, m.from + 16 * std::size_t{line}, line, m.bytes);
        });
      }
    }
  }

 private:
  /// Lane i has the i-th block of the round: a round has at most one for each warp.
  SKV_DEVICE void place(std::uint32_t round, std::uint32_t first, std::uint32_t count,
                        std::uint32_t items, std::uint32_t rounds, member* members) const {
    const bool has_block = device::lane() < count;
    const batch_block b(batch, items, first + (has_block ? device::lane() : 0));
    stored_block s = find_stored(plan, in, b);
    const std::uint32_t units =
        has_block && s.is == status::ok ? round_up(s.size, kBlockAlign) / kBlockAlign : 0;
    const std::uint32_t own = device::sum(units);
    std::uint64_t at = look_back::exclusive_sum(descriptors, round, own);
    if (device::lane() == 0 && round + 1 == rounds) *out.total_bytes = (at + own) * kBlockAlign;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t other = device::shuffle(units, i);
      if (i < device::lane()) at += other;
    }
    if (!has_block) return;
    const std::uint64_t offset = at * kBlockAlign;
    if (s.is == status::ok && s.size != 0 &&
        (offset > out.packed_bytes || s.size > out.packed_bytes - offset))
      s.is = status::does_not_fit;
    if (s.is != status::ok) s.size = 0;
    members[device::lane()] = {s.bytes, out.packed + offset, s.size};
    out.sizes[b.index] = s.size;
    out.statuses[b.index] = s.is;
    out.offsets[b.index] = offset;
  }
};

}  // namespace skv::cuda
