#include "ptx/warp.hpp"

namespace skv::ptx {

warp::warp(const kernel& code, const memory_map& memory, shared_memory& shared,
           const std::byte* parameters, std::uint32_t index, values* registers, traffic* counted)
    : code_(&code),
      memory_(&memory),
      shared_(&shared),
      parameters_(parameters),
      index_(index),
      registers_(registers),
      traffic_(counted),
      local_(kWarpLanes * code.local_bytes),
      local_written_(local_.size()),
      random_(index) {
  for (const auto& [r, number] : code.constants) registers_[r].fill(number);
}

const std::byte* warp::parameter(std::uint64_t at, std::size_t bytes) const {
  if (!is_within(at, bytes, code_->parameter_bytes))
    throw fault(outcome::overrun, "a read beyond the parameters");
  return parameters_ + at;
}
std::byte* warp::local(std::uint32_t lane, std::uint64_t at, std::size_t bytes, access is) {
  if (at % bytes != 0 || !is_within(at, bytes, code_->local_bytes))
    throw fault(outcome::overrun, "an access outside of local memory, or misaligned");
  std::byte* const place = local_.data() + lane * code_->local_bytes + at;
  const auto begin = reinterpret_cast<std::uintptr_t>(local_.data());
  const memory_range all{begin, begin + local_.size(), local_written_.data()};
  all.note(reinterpret_cast<std::uintptr_t>(place), bytes, is);
  return place;
}
void warp::count_traffic(const instruction& i, std::uint32_t lanes, std::size_t bytes,
                         bool stores) {
  std::vector<std::uint64_t> addresses;
  each(lanes, [&](std::uint32_t l) { addresses.push_back(address(i, l)); });
  if (is_shared(i.space, addresses[0]))
    traffic_->note_shared(stores, addresses, bytes);
  else if (i.space == memory_space::generic || i.space == memory_space::global)
    traffic_->note_device(stores, addresses, bytes);
}
std::byte* warp::in_shared(std::uint64_t address, std::size_t bytes, access is) {
  if (!is_within(address, bytes, shared_->size()))
    throw fault(outcome::overrun, "an access outside of shared memory: " + std::to_string(bytes) +
                                      " bytes at " + std::to_string(address) + " of " +
                                      std::to_string(shared_->size()));
  shared_->note(address, bytes, index_, is);
  return shared_->data() + address;
}
void warp::find_range(std::uint64_t address, std::size_t bytes) {
  const memory_range* const found = find(*memory_, address);
  if (found == nullptr || !found->holds(address, bytes))
    throw fault(outcome::overrun, "an access outside of device memory: " + std::to_string(bytes) +
                                      " bytes at " + std::to_string(address));
  range_ = *found;
}

/// A device copies at any time from now on until it is waited for.
void warp::begin_copy(std::uint32_t lane, std::uint64_t to, std::uint64_t from) {
  const bool at_once = random_.below(2) == 0;
  std::byte* const place = reach(memory_space::shared, to, pending_copy::kBytes,
                                 at_once ? access::store : access::begin_store);
  const std::byte* const bytes =
      reach(memory_space::global, from, pending_copy::kBytes, access::load);
  if (at_once)
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
    std::memcpy(reach(memory_space::shared, c.to, pending_copy::kBytes, access::store),
                reach(memory_space::global, c.from, pending_copy::kBytes, access::load),
                pending_copy::kBytes);
    return true;
  });
}

}  // namespace skv::ptx
