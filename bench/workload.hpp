// What the benchmarks run on: the evaluation caches of a folder, with a profile calibrated on its
// calibration caches.
#pragma once

#include <skv/number/format.hpp>
#include <skv/predict/mean.hpp>
#include <skv/profile/profile.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace skv::bench {

/// A folder with calibration/ and evaluation/, each with a folder of safetensors files for
/// `target` and for the reference, and for both in e4m3: `target_e4m3`, `<reference>_for_e4m3`.
struct data_folder {
  std::filesystem::path root;
  std::string reference = "reference_fp8";
};

/// Takes `--data DIR` and `--reference NAME` out of a command line.
void take_options(data_folder& folder, int& argc, char** argv);

/// A tensor of one cache, and its means in the profile's mean format (if they are given).
struct tensor {
  tensor_id id;
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;
  std::vector<std::byte> numbers, means;
};

struct workload {
  profile_ptr used_profile;
  std::vector<tensor> tensors;
  std::size_t distinct = 0;  ///< tensors; the others repeat them
};

/// The tensors of all caches of a split, `calibration` or `evaluation`: those of one name follow
/// each other, in the order of the files. Ends the program if they cannot be read.
std::vector<tensor> read_tensors(const data_folder& folder, const char* split, number_format target,
                                 mean_source source);

/// Reads and calibrates. e4m3 is as in the folder; fp16 and e5m2 are bf16 rounded to nearest. The
/// tensors are repeated until they hold `min_elements`. Ends the program if that fails.
workload make_workload(const data_folder& folder, number_format target, mean_source source,
                       std::size_t min_elements = std::size_t{1} << 20);

}  // namespace skv::bench
