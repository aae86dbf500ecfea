#include "ptx/instructions.hpp"

namespace skv::ptx {

known_instruction find_instruction(const std::vector<std::string>& name) {
  std::string all = name[0];
  for (std::size_t i = 1; i < name.size(); ++i) all += "." + name[i];
  if (all == "bra" || all == "bra.uni") return {nullptr, role::jump};
  if (all == "ret") return {nullptr, role::end};
  if (all == "bar.sync") return {nullptr, role::barrier};
  if (const run_function run = on_lanes(all)) return {run, role::collective};
  if (const known_instruction k = on_memory(all, name); k.run != nullptr) return k;
  if (name.size() < 2) return {};
  const std::string without_type = all.substr(0, all.rfind('.'));
  if (const run_function run = on_bits(without_type, name.back())) return {run};
  return {on_registers(without_type, name.back())};
}

}  // namespace skv::ptx
