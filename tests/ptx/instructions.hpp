// The instructions that the kernels are made of.
#pragma once

#include <string>
#include <vector>

#include "ptx/kernel.hpp"

namespace skv::ptx {

/// How an instruction is run.
struct known_instruction {
  run_function run = nullptr;
  role does = role::plain;
  memory_space space = memory_space::generic;
  std::uint8_t count = 1;  ///< of a vector
};
/// That of a name, which is cut at its dots; one that runs nothing and is plain is not known.
known_instruction find_instruction(const std::vector<std::string>& name);

// Those of a kind; null if they have no such name. `all`: the name with its last word, which is the type.
run_function on_registers(const std::string& name, const std::string& type);
run_function on_bits(const std::string& name, const std::string& type);
run_function on_lanes(const std::string& all);
known_instruction on_memory(const std::string& all, const std::vector<std::string>& name);

/// `mov` between one register and several.
run_function move_of_vector(bool from_one);

}  // namespace skv::ptx
