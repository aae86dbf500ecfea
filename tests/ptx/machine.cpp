#include "ptx/machine.hpp"

#include <memory>

namespace skv::ptx {
namespace {

/// Lanes of a warp that are at one instruction.
struct party {
  std::uint32_t at, lanes;
  bool waits;  ///< for the others
};

struct running_warp {
  warp state;
  std::uint32_t block;
  std::uint32_t live = kAllLanes;
  std::vector<party> parties{{0, kAllLanes, false}};
  bool is_at_barrier = false;
};

struct running_block {
  std::unique_ptr<shared_memory> shared;
  std::uint32_t live, waiting = 0;  ///< warps
};

class machine {
 public:
  machine(const kernel& code, const simt::launch_shape& shape, const std::byte* parameters,
          const memory_map& memory, traffic* counted)
      : code_(code), shape_(shape), random_(shape.seed) {
    const std::uint32_t warps = shape.threads_per_block / kWarpLanes;
    warps_.reserve(std::size_t{shape.blocks} * warps);
    // Kept from launch to launch, as it is large.
    static thread_local std::vector<warp::values> registers;
    if (registers.size() < warps_.capacity() * code.registers)
      registers.resize(warps_.capacity() * code.registers);
    for (std::uint32_t b = 0; b < shape.blocks; ++b) {
      blocks_.push_back(
          {std::make_unique<shared_memory>(shape.shared_bytes, shape.seed + b), warps});
      for (std::uint32_t i = 0; i < warps; ++i) {
        warps_.push_back({warp(code, memory, *blocks_[b].shared, parameters, i,
                               registers.data() + warps_.size() * code.registers, counted),
                          b});
        fill_specials(warps_.back().state, b, i);
        runnable_.push_back(static_cast<std::uint32_t>(warps_.size() - 1));
      }
    }
  }

  /// Throws a fault; at() is then where.
  void run() {
    while (!runnable_.empty()) {
      const auto drawn = random_.below(runnable_.size());
      running_warp& w = warps_[runnable_[drawn]];
      std::uint64_t left = std::uint64_t{1} << random_.below(12);
      while (left != 0 && w.live != 0 && !w.is_at_barrier) --left, step(w);
      if (w.live == 0 || w.is_at_barrier) {
        runnable_[drawn] = runnable_.back();
        runnable_.pop_back();
        leave(w);
      }
    }
  }
  std::uint32_t at() const { return at_; }
  std::uint64_t steps() const { return steps_; }

 private:
  void fill_specials(warp& w, std::uint32_t block, std::uint32_t index) const {
    for (const auto& [r, is] : code_.specials)
      for (std::uint32_t l = 0; l < kWarpLanes; ++l) {
        switch (is) {
          case special::tid: w[r][l] = index * kWarpLanes + l; break;
          case special::ntid: w[r][l] = shape_.threads_per_block; break;
          case special::ctaid: w[r][l] = block; break;
          case special::nctaid: w[r][l] = shape_.blocks; break;
          case special::lanemask_lt: w[r][l] = (std::uint64_t{1} << l) - 1; break;
        }
      }
  }

  /// A warp that has ended, or waits at a barrier; the last one that arrives there lets all go on.
  void leave(running_warp& w) {
    running_block& b = blocks_[w.block];
    if (w.live == 0)
      --b.live;
    else
      ++b.waiting;
    if (b.live == 0 || b.waiting != b.live) return;
    b.waiting = 0;
    b.shared->next_epoch();
    for (std::size_t i = 0; i < warps_.size(); ++i) {
      if (warps_[i].block != w.block || !warps_[i].is_at_barrier) continue;
      warps_[i].is_at_barrier = false;
      runnable_.push_back(static_cast<std::uint32_t>(i));
    }
  }

  /// Of those that can go on: mostly the one that is farthest behind, so that they meet again.
  party& pick(running_warp& w) {
    if (w.parties.size() == 1 && !w.parties[0].waits) return w.parties[0];
    party* picked = nullptr;
    const bool any = random_.below(8) == 0;
    std::uint64_t seen = 0;
    for (party& p : w.parties) {
      if (p.waits) continue;
      ++seen;
      if (picked == nullptr || (any ? random_.below(seen) == 0 : p.at < picked->at)) picked = &p;
    }
    if (picked == nullptr) {
      at_ = w.parties[0].at;
      throw fault(outcome::divergence, "lanes wait for others that are elsewhere, or have ended");
    }
    return *picked;
  }

  /// Runs one instruction.
  void step(running_warp& w) {
    if (++steps_ > shape_.step_limit) throw fault(outcome::livelock, "no end");
    party& p = pick(w);
    const instruction& i = code_.code[at_ = p.at];
    std::uint32_t lanes = p.lanes;
    if (i.guard != instruction::kNone) {
      std::uint32_t is_set = 0;
      const warp::values& guard = w.state[i.guard];
      for (std::uint32_t l = 0; l < kWarpLanes; ++l)
        is_set |= static_cast<std::uint32_t>(guard[l] & 1) << l;
      lanes &= i.is_guard_negated ? ~is_set : is_set;
    }
    switch (i.does) {
      case role::plain:
        if (lanes != 0) i.run(w.state, i, lanes);
        advance(w, p, p.at + 1);
        break;
      case role::collective:
      case role::barrier:
        if (lanes == 0) {
          advance(w, p, p.at + 1);
          break;
        }
        if (lanes != p.lanes) throw fault(outcome::divergence, "a guard that parts a collective");
        if (lanes != kAllLanes) {
          p.waits = true;
          break;
        }
        if (i.does == role::collective)
          i.run(w.state, i, lanes);
        else
          w.is_at_barrier = true;
        advance(w, p, p.at + 1);
        break;
      case role::jump: jump(w, p, i.target, lanes); break;
      case role::end:
        w.live &= ~lanes;
        p.lanes &= ~lanes;
        if (p.lanes == 0)
          w.parties.erase(w.parties.begin() + (&p - w.parties.data()));
        else
          advance(w, p, p.at + 1);
        break;
    }
  }
  void jump(running_warp& w, party& p, std::uint32_t target, std::uint32_t lanes) {
    if (lanes == p.lanes) return advance(w, p, target);
    if (lanes == 0) return advance(w, p, p.at + 1);
    p.lanes &= ~lanes;
    const party other{target, lanes, false};
    advance(w, p, p.at + 1);
    w.parties.push_back(other);
    join(w, w.parties.back());
  }
  void advance(running_warp& w, party& p, std::uint32_t at) {
    p.at = at;
    if (w.parties.size() != 1) join(w, p);
  }
  /// Lanes that have come to where others are go on with them.
  void join(running_warp& w, party& p) {
    for (party& other : w.parties) {
      if (&other == &p || other.at != p.at) continue;
      other.lanes |= p.lanes;
      other.waits = false;
      w.parties.erase(w.parties.begin() + (&p - w.parties.data()));
      return;
    }
  }

  const kernel& code_;
  const simt::launch_shape& shape_;
  test::random_source random_;
  std::vector<running_block> blocks_;
  std::vector<running_warp> warps_;
  std::vector<std::uint32_t> runnable_;
  std::uint32_t at_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace

simt::report launch(const program& of, const kernel& code, const simt::launch_shape& shape,
                    const std::byte* parameters, const memory_map& memory, traffic* counted) {
  if (std::string why = refusal_of(shape); !why.empty()) return {outcome::bad_launch, why};
  if (shape.threads_per_block > code.max_threads)
    return {outcome::bad_launch, "a block of " + std::to_string(shape.threads_per_block) +
                                     " threads, compiled for " + std::to_string(code.max_threads)};
  machine m(code, shape, parameters, memory, counted);
  try {
    m.run();
    if (counted != nullptr) counted->instructions += m.steps();
    return {outcome::ok, "", m.steps()};
  } catch (const fault& f) {
    const instruction& i = code.code[m.at()];
    return {f.what_is,
            code.name + ": " + f.what() + ": line " + std::to_string(i.line + 1) + ": " +
                std::string(of.line(i.line)),
            m.steps()};
  }
}

}  // namespace skv::ptx
