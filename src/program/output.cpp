#include "program/commands.hpp"

namespace skv::program {

result<io::output_file> create_output(const fs::path& output, const std::vector<fs::path>& inputs) {
  for (const fs::path& input : inputs) {
    std::error_code missing;
    if (!input.empty() && fs::equivalent(output, input, missing))
      return fail(status::invalid_argument,
                  output.string() + ": is an input; give the output another name");
  }
  return io::output_file::create(output);
}

}  // namespace skv::program
