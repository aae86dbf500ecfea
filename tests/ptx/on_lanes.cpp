// Instructions of a whole warp: all its lanes are there. Semantics as in NVIDIA's "PTX ISA", version 9.0.
#include <functional>

#include "ptx/instructions.hpp"
#include "ptx/operands.hpp"

namespace skv::ptx {
namespace {

/// Those that take part. All, in every kernel of this project.
void expect_all(warp& w, std::uint32_t source, std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) {
    if (static_cast<std::uint32_t>(w[source][l]) != kAllLanes)
      throw fault(outcome::divergence, "a collective of some lanes");
  });
}

template <class F>
void vote(warp& w, const instruction& i, std::uint32_t lanes) {
  expect_all(w, i.from[1], lanes);
  std::uint32_t votes = 0;
  each(lanes,
       [&](std::uint32_t l) { votes |= static_cast<std::uint32_t>(is_true(w, i, 0, l)) << l; });
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = F{}(votes); });
}
struct any_vote {
  std::uint64_t operator()(std::uint32_t votes) const { return votes != 0; }
};
struct all_votes {
  std::uint64_t operator()(std::uint32_t votes) const { return votes; }
};
template <class F>
void reduce(warp& w, const instruction& i, std::uint32_t lanes) {
  expect_all(w, i.from[1], lanes);
  std::uint32_t made = 0;
  each(lanes, [&](std::uint32_t l) {
    made = static_cast<std::uint32_t>(F{}(made, static_cast<std::uint32_t>(w[i.from[0]][l])));
  });
  auto& d = w[i.to[0]];
  each(lanes, [&](std::uint32_t l) { d[l] = made; });
}
/// shfl.sync.idx: from the lane that b names, within the segment that c makes.
void shuffle(warp& w, const instruction& i, std::uint32_t lanes) {
  expect_all(w, i.from[3], lanes);
  const warp::values before = w[i.from[0]];
  each(lanes, [&](std::uint32_t l) {
    const auto b = static_cast<std::uint32_t>(w[i.from[1]][l]);
    const auto c = static_cast<std::uint32_t>(w[i.from[2]][l]);
    const std::uint32_t segment = c >> 8 & 31, first = l & segment;
    const std::uint32_t last = first | (c & 31 & ~segment), source = first | (b & 31 & ~segment);
    const bool is_inside = source <= last;
    w[i.to[0]][l] = truncated(before[is_inside ? source : l], 32);
    if (i.to[1] != instruction::kNone) w[i.to[1]][l] = is_inside;
  });
}
void sync_warp(warp& w, const instruction& i, std::uint32_t lanes) {
  expect_all(w, i.from[0], lanes);
}

/// mma.m16n8k32.s8: lane 4g + t has in register r of A, from byte b = 0, row g + 8 (r % 2), column 4t + b +
/// 16 (r / 2); of B row 4t + b + 16r, column g; of C and D row g + 8 (r / 2), column 2t + r % 2.
void multiply_matrices(warp& w, const instruction& i, std::uint32_t /*lanes*/) {
  std::int16_t a[16][32], b[8][32];  // rows of A, columns of B
  const auto byte_of = [&](std::uint32_t source, std::uint32_t lane, int byte) {
    return static_cast<std::int8_t>(w[i.from[source]][lane] >> (8 * byte));
  };
  for (std::uint32_t l = 0; l < kWarpLanes; ++l) {
    const std::uint32_t g = l / 4, t = l % 4;
    for (int byte = 0; byte < 4; ++byte) {
      const auto at = 4 * t + static_cast<std::uint32_t>(byte);
      for (std::uint32_t r = 0; r < 4; ++r)
        a[g + 8 * (r % 2)][at + 16 * (r / 2)] = byte_of(r, l, byte);
      for (std::uint32_t r = 0; r < 2; ++r) b[g][at + 16 * r] = byte_of(4 + r, l, byte);
    }
  }
  warp::values made[4];
  for (std::uint32_t l = 0; l < kWarpLanes; ++l) {
    const std::uint32_t g = l / 4, t = l % 4;
    for (std::uint32_t r = 0; r < 4; ++r) {
      const std::uint32_t row = g + 8 * (r / 2), column = 2 * t + r % 2;
      std::int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += a[row][k] * b[column][k];
      made[r][l] = truncated(w[i.from[6 + r]][l] + bits(sum), 32);
    }
  }
  for (std::uint32_t r = 0; r < 4; ++r) w[i.to[r]] = made[r];
}

}  // namespace

run_function on_lanes(const std::string& name) {
  if (name == "vote.sync.any.pred") return &vote<any_vote>;
  if (name == "vote.sync.ballot.b32") return &vote<all_votes>;
  if (name == "redux.sync.add.u32") return &reduce<std::plus<>>;
  if (name == "redux.sync.or.b32") return &reduce<std::bit_or<>>;
  if (name == "shfl.sync.idx.b32") return &shuffle;
  if (name == "bar.warp.sync") return &sync_warp;
  if (name == "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32") return &multiply_matrices;
  return nullptr;
}

}  // namespace skv::ptx
