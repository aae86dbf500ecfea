// The commands of the program. Each prints its result and returns what went wrong, if anything.
#pragma once

#include <optional>
#include <string>

#include "io/output_file.hpp"
#include "program/outside.hpp"

namespace skv::program {

struct calibrate_options {
  fs::path target, reference, output;
  std::string predictor;
  unsigned threads = 0;
  bool linear = false;
  std::string rope, draft_rope;               ///< half:THETA[:CHANNELS[:FIRST]], or interleaved:...
  fs::path model_config, draft_model_config;  ///< of Hugging Face
  std::string embedding;                      ///< FILE or FILE:TENSOR
  fs::path draft;
  std::uint32_t rank = 0, shards = 1, restart_every = 0;
  bool json = false;
};
result<done> calibrate(const calibrate_options& o);

struct compress_options {
  fs::path input, output, reference, profile, draft;
  std::string embedding;
  std::string predictor;
  bool embed_profile = false;
  bool default_profile = false;
  std::uint32_t tile_elements = 65536;
  std::uint32_t first_position = 0;
  unsigned threads = 0;
};
result<done> compress(const compress_options& o);

struct decompress_options {
  fs::path input, output, reference, profile, draft;
  std::string embedding;
  unsigned threads = 0;
};
result<done> decompress(const decompress_options& o);
/// Decodes everything and writes nothing; `output` is not used.
result<done> verify(const decompress_options& o);

struct evaluate_options {
  fs::path target, reference, profile, draft;
  std::string embedding;
  std::string predictor;
  bool json = false;
  std::uint32_t tile_elements = 65536;
  unsigned threads = 0;
};
result<done> evaluate(const evaluate_options& o);

struct inspect_options {
  fs::path input;
  bool json = false;
};
result<done> inspect(const inspect_options& o);

// What they share.

/// io::output_file::create, unless the output is one of the inputs under whatever name: these stay
/// as they are. Empty paths are no inputs.
result<io::output_file> create_output(const fs::path& output, const std::vector<fs::path>& inputs);

/// Reads a .skvp file.
result<profile_ptr> read_profile(const fs::path& path);

/// How a cache is to be compressed: the profile, and whether the file must bring it along.
struct coding_choice {
  profile_ptr profile;
  bool embed = false;
};
/// The profile that is given, or the default one if that is asked for, or else whichever makes the
/// smaller file: one fitted to the cache itself, or the default one; without reference, predictor
/// or profile, for the better of `none` and `previous_token`.
result<coding_choice> choose_coding(const cache& c, const cache* reference,
                                    const compress_options& o);

/// The container of a cache before its tiles are written. Positions matter to linear propagation.
result<container> container_of(const cache& c, const coding_choice& coding,
                               std::uint32_t tile_elements, std::uint32_t first_position = 0);

/// The outside rows that a container's profile wants, and their hash in the container. Borrows what
/// is open, the token ids excepted. Nothing if it wants none.
result<std::optional<cpu::outside_rows>> set_outside(container& box, const profile_ptr& p,
                                                     const std::optional<embedding_file>& embedding,
                                                     const open_pair& opened);

std::string_view name_of(mean_source source);
/// The same with "+linear" behind it where that propagates.
std::string name_of(const container& box);
/// `none` or `previous_token`; nothing for any other name.
std::optional<mean_source> find_predictor(std::string_view name);

}  // namespace skv::program
