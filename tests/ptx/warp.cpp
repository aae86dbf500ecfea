#include "ptx/warp.hpp"

#include <algorithm>

namespace skv::ptx {

// --- shared memory ------------------------------------------------------------------------------

shared_memory::shared_memory(std::size_t bytes, std::uint64_t seed)
    : bytes_("shared memory", bytes, 16, seed), writes_(bytes), reads_(bytes) {}

void shared_memory::note_read(std::size_t at, std::size_t bytes, std::uint32_t warp) {
  for (std::size_t i = at; i < at + bytes; ++i) {
    if (writes_[i].epoch == epoch_ && writes_[i].warp != warp)
      throw fault(outcome::race,
                  "a read of what another warp has written, with no barrier between");
    const bool is_second = reads_[i].epoch == epoch_ && reads_[i].warp != warp;
    reads_[i] = {epoch_, is_second ? kMany : warp};
  }
}
void shared_memory::note_write(std::size_t at, std::size_t bytes, std::uint32_t warp) {
  for (std::size_t i = at; i < at + bytes; ++i) {
    const bool was_read = reads_[i].epoch == epoch_ && reads_[i].warp != warp;
    if (was_read || (writes_[i].epoch == epoch_ && writes_[i].warp != warp))
      throw fault(outcome::race, std::string("a write of what another warp has ") +
                                     (was_read ? "read" : "written") + ", with no barrier between");
    writes_[i] = {epoch_, warp};
  }
}

// --- warps --------------------------------------------------------------------------------------

warp::warp(const kernel& code, const memory_map& memory, shared_memory& shared,
           const std::byte* parameters, std::uint32_t index, values* registers, traffic* counted)
    : code_(&code),
      memory_(&memory),
      shared_(&shared),
      parameters_(parameters),
      index_(index),
      registers_(registers),
      traffic_(counted),
      random_(index) {
  for (const auto& [r, number] : code.constants) registers_[r].fill(number);
}

const std::byte* warp::parameter(std::uint64_t at, std::size_t bytes) const {
  if (!is_within(at, bytes, code_->parameter_bytes))
    throw fault(outcome::overrun, "a read beyond the parameters");
  return parameters_ + at;
}
void warp::count_traffic(const instruction& i, std::uint32_t lanes, std::size_t bytes,
                         bool stores) {
  std::vector<std::uint64_t> addresses;
  each(lanes, [&](std::uint32_t l) { addresses.push_back(address(i, l)); });
  if (is_shared(i.space, addresses[0]))
    traffic_->note_shared(stores, addresses, bytes);
  else if (i.space != memory_space::param)
    traffic_->note_device(stores, addresses, bytes);
}
std::byte* warp::in_shared(std::uint64_t address, std::size_t bytes, bool writes) {
  if (!is_within(address, bytes, shared_->size()))
    throw fault(outcome::overrun, "an access outside of shared memory: " + std::to_string(bytes) +
                                      " bytes at " + std::to_string(address) + " of " +
                                      std::to_string(shared_->size()));
  if (writes)
    shared_->note_write(address, bytes, index_);
  else
    shared_->note_read(address, bytes, index_);
  return shared_->data() + address;
}
void warp::find_range(std::uint64_t address, std::size_t bytes) {
  const auto behind =
      std::upper_bound(memory_->begin(), memory_->end(), address,
                       [](std::uint64_t a, const memory_range& r) { return a < r.begin; });
  const memory_range found = behind == memory_->begin() ? memory_range{0, 0} : *std::prev(behind);
  if (!is_within(address - found.begin, bytes, found.end - found.begin))
    throw fault(outcome::overrun, "an access outside of device memory: " + std::to_string(bytes) +
                                      " bytes at " + std::to_string(address));
  range_ = found;
}

/// A device copies at any time from now on until it is waited for.
void warp::begin_copy(std::uint32_t lane, std::uint64_t to, std::uint64_t from) {
  std::byte* const place = reach(memory_space::shared, to, pending_copy::kBytes, true);
  const std::byte* const bytes = reach(memory_space::global, from, pending_copy::kBytes, false);
  if (random_.below(2) == 0)
    std::memcpy(place, bytes, pending_copy::kBytes);
  else
    copies_.push_back({lane, to, from, copy_groups_[lane]});
}
void warp::commit_copies(std::uint32_t lanes) {
  each(lanes, [&](std::uint32_t l) { ++copy_groups_[l]; });
}
void warp::wait_copies(std::uint32_t lanes, std::uint64_t groups_left) {
  std::erase_if(copies_, [&](const pending_copy& c) {
    if (!(lanes >> c.lane & 1) || c.group + groups_left >= copy_groups_[c.lane]) return false;
    std::memcpy(reach(memory_space::shared, c.to, pending_copy::kBytes, true),
                reach(memory_space::global, c.from, pending_copy::kBytes, false),
                pending_copy::kBytes);
    return true;
  });
}

}  // namespace skv::ptx
