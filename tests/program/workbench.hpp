// A scratch folder with the program in it: commands, expectations, caches made up.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "io/safetensors.hpp"
#include "io/scratch_folder.hpp"
#include "support/cache_file.hpp"
#include "support/run_program.hpp"

namespace skv::test {

namespace fs = std::filesystem;

inline std::string tiny(const std::string& name) {
  return std::string(SKV_TEST_DATA "/tiny/") + name;
}
inline std::string evaluation(const std::string& variant) {
  return tiny("evaluation/" + variant + "/000.safetensors");
}

struct made_up_tensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  byte_string data;
};

class workbench : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  byte_string bytes(const std::string& name) const { return read_bytes(folder_ / name); }
  bool exists(const std::string& name) const { return fs::exists(folder_ / name); }

  outcome succeed(const std::vector<std::string>& arguments) const {
    outcome o = run_program(arguments);
    EXPECT_EQ(o.status, 0) << testing::PrintToString(arguments) << "\n" << o.err;
    EXPECT_EQ(o.err, "") << testing::PrintToString(arguments);
    return o;
  }

  /// Status 1, one line that says why, and the folder as it was before.
  void expect_failure(const std::vector<std::string>& arguments, const std::string& why) const {
    SCOPED_TRACE(testing::PrintToString(arguments));
    const auto before = contents();
    const outcome o = run_program(arguments);
    EXPECT_EQ(o.status, 1);
    EXPECT_THAT(o.err, testing::StartsWith("skv: "));
    EXPECT_THAT(o.err, testing::HasSubstr(why));
    EXPECT_EQ(std::ranges::count(o.err, '\n'), 1) << o.err;
    EXPECT_TRUE(o.err.ends_with('\n'));
    EXPECT_EQ(o.out, "");
    EXPECT_TRUE(contents() == before) << "it left something behind, or changed something";
  }

  /// Compresses and restores `cache` with these arguments for both; gives the size of the .skv.
  std::uintmax_t round_trip(const std::string& cache, const std::vector<std::string>& compressing,
                            const std::vector<std::string>& restoring) const {
    std::vector<std::string> c = {"compress", cache, "-o", path("x.skv")},
                             v = {"verify", path("x.skv")};
    c.insert(c.end(), compressing.begin(), compressing.end());
    v.insert(v.end(), restoring.begin(), restoring.end());
    std::vector<std::string> d = v;
    d[0] = "decompress";
    d.insert(d.end(), {"--output", path("y.safetensors")});
    succeed(c);
    EXPECT_THAT(succeed(v).out, testing::HasSubstr("ok"));
    succeed(d);
    EXPECT_TRUE(exists("y.safetensors") && bytes("y.safetensors") == read_bytes(cache))
        << testing::PrintToString(compressing);
    fs::remove(folder_ / "y.safetensors");
    return fs::file_size(folder_ / "x.skv");
  }

  /// A safetensors file; `gap` bytes that belong to no tensor follow the first one.
  std::string make_cache(const std::string& name, const std::vector<made_up_tensor>& tensors,
                         std::size_t gap = 0,
                         const std::map<std::string, std::string>& metadata = {}) const {
    std::vector<io::tensor_entry> entries;
    byte_string data;
    for (const auto& t : tensors) {
      entries.push_back({t.name, t.dtype, t.shape, data.size(), data.size() + t.data.size()});
      data.insert(data.end(), t.data.begin(), t.data.end());
      if (entries.size() == 1) data.resize(data.size() + gap, std::byte{0x5a});
    }
    const std::string header = io::make_header(entries, metadata);
    byte_string file(header.size());
    std::memcpy(file.data(), header.data(), header.size());
    file.insert(file.end(), data.begin(), data.end());
    write_bytes(folder_ / name, file);
    return path(name);
  }

  std::map<std::string, byte_string> contents() const {
    std::map<std::string, byte_string> found;
    for (const auto& e : fs::recursive_directory_iterator(folder_.path()))
      found[e.path().string()] = e.is_regular_file() ? read_bytes(e.path()) : byte_string();
    return found;
  }

  /// A profile for bf16 with the reference that the fixture calls reference_fp8.
  std::string profile() const {
    if (!exists("p.skvp"))
      succeed({"calibrate", "--target", tiny("calibration/target"), "--reference",
               tiny("calibration/reference_fp8"), "-o", path("p.skvp")});
    return path("p.skvp");
  }

  io::scratch_folder folder_;
};

}  // namespace skv::test
