// A kernel in PTX, as nvcc leaves it in a program: its text, made ready to be run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skv::ptx {

class warp;
struct instruction;

/// Runs an instruction in these lanes of a warp.
using run_function = void (*)(warp&, const instruction&, std::uint32_t lanes);

/// What the scheduler does with an instruction.
enum class role : std::uint8_t {
  plain,
  collective,  ///< waits for all lanes of the warp
  barrier,     ///< waits for all threads of the block
  jump,
  end,
};

enum class memory_space : std::uint8_t { generic, global, shared, local, param };

struct instruction {
  static constexpr std::uint32_t kNone = ~0u;

  run_function run = nullptr;
  role does = role::plain;
  bool is_guard_negated = false;
  memory_space space = memory_space::generic;
  std::uint32_t guard = kNone;  ///< a register
  std::uint32_t to[4] = {kNone, kNone, kNone, kNone};
  std::uint8_t to_bits[4] = {};
  std::uint32_t from[10] = {};  ///< registers, too: constants have some
  std::uint64_t negated = 0;    ///< a bit for each of them: predicates
  std::int64_t offset = 0;      ///< of an address
  std::uint8_t count = 1;       ///< of a vector
  std::uint32_t target = 0;     ///< of a jump, an instruction
  std::uint32_t line = 0;       ///< of the module's text
};

/// Registers that a thread finds filled.
enum class special : std::uint8_t { tid, ntid, ctaid, nctaid, lanemask_lt };

struct kernel {
  std::string name;
  std::vector<instruction> code;
  std::uint32_t registers = 0;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> constants;  ///< by register
  std::vector<std::pair<std::uint32_t, special>> specials;
  std::size_t parameter_bytes = 0;  ///< of the only one that there may be
  std::size_t local_bytes = 0;      ///< of a thread
  std::uint32_t max_threads = ~0u;  ///< of a block
};

/// The kernels of a module by name. Their code is parsed when it is first asked for.
class program {
 public:
  explicit program(std::string text);

  /// Throws std::runtime_error for what is not there, or not understood: the line is named.
  const kernel& find(const std::string& name);
  std::string_view line(std::uint32_t number) const;

 private:
  std::string text_;
  std::vector<std::string_view> lines_;
  std::map<std::string, std::uint32_t> entries_;  ///< their first lines
  std::map<std::string, kernel> parsed_;
};

}  // namespace skv::ptx
