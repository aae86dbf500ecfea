// The text of kernels is found however nvcc has compressed it, and what is not understood is nothing.
#include "stand_in/fat_binary.hpp"

#include <gtest/gtest.h>
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <string>
#include <vector>

namespace skv::stand_in {
namespace {

const std::string kText = ".version 8.4\n.target sm_90\n" + std::string(500, '\n');

struct module {
  module_header header{};
  std::string bytes;
};
module module_of(const std::string& bytes, std::uint64_t flags = 0x11) {
  module m{{}, bytes};
  m.header = {
      module_header::kPtx, 0x101, sizeof m.header, bytes.size(), 0, {}, 90, {}, flags, 0, 0};
  return m;
}
module compressed(const std::string& bytes, std::uint64_t flags) {
  module m = module_of(bytes + "padding", flags | 0x11);
  m.header.compressed_bytes = static_cast<std::uint32_t>(bytes.size());
  m.header.text_bytes = kText.size();
  return m;
}
std::string lz4() {
  std::string bytes(kText.size(), '\0');
  const int made = LZ4_compress_default(kText.data(), bytes.data(), static_cast<int>(kText.size()),
                                        static_cast<int>(bytes.size()));
  return bytes.substr(0, static_cast<std::size_t>(made));
}
std::string zstd() {
  std::string bytes(ZSTD_compressBound(kText.size()), '\0');
  return bytes.substr(0, ZSTD_compress(bytes.data(), bytes.size(), kText.data(), kText.size(), 3));
}

std::vector<std::byte> binary_of(const std::vector<module>& modules) {
  fat_header header{fat_header::kMagic, 1, sizeof header, 0};
  for (const module& m : modules) header.bytes += sizeof m.header + m.bytes.size();
  std::vector<std::byte> all(sizeof header + header.bytes);
  std::byte* at = all.data();
  const auto put = [&](const void* from, std::size_t bytes) {
    std::memcpy(at, from, bytes);
    at += bytes;
  };
  put(&header, sizeof header);
  for (const module& m : modules) {
    put(&m.header, sizeof m.header);
    put(m.bytes.data(), m.bytes.size());
  }
  return all;
}
std::string ptx_of_module(const module& m) { return ptx_of(binary_of({m})); }

TEST(fat_binary, text_is_found_however_it_is_compressed) {
  EXPECT_EQ(ptx_of_module(module_of(kText)), kText);
  EXPECT_EQ(ptx_of_module(module_of(kText + std::string(3, '\0'))), kText);
  EXPECT_EQ(ptx_of_module(compressed(lz4(), module_header::kIsLz4)), kText);
  EXPECT_EQ(ptx_of_module(compressed(zstd(), module_header::kIsZstd)), kText);
}

TEST(fat_binary, the_first_text_behind_code_for_devices_is_taken) {
  module code = module_of("code of an architecture, .version too");
  code.header.kind = 2;
  EXPECT_EQ(ptx_of(binary_of({code, module_of(kText), module_of(".version other")})), kText);
  EXPECT_EQ(ptx_of(binary_of({code})), "");
  EXPECT_EQ(ptx_of(binary_of({})), "");
}

TEST(fat_binary, what_is_not_understood_is_nothing) {
  EXPECT_EQ(ptx_of_module(module_of("no text of kernels")), "");
  EXPECT_EQ(ptx_of_module(module_of(kText, 0x4011)), "");  // another way to compress
  EXPECT_EQ(ptx_of_module(compressed(lz4(), module_header::kIsZstd)), "");
  EXPECT_EQ(ptx_of_module(compressed(zstd(), module_header::kIsLz4)), "");
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, kText.size() - 1, kText.size() + 1, ~std::uint64_t{0}}) {
    for (module m :
         {compressed(lz4(), module_header::kIsLz4), compressed(zstd(), module_header::kIsZstd)}) {
      m.header.text_bytes = bytes;
      EXPECT_EQ(ptx_of_module(m), "") << bytes;
    }
  }
  module m = compressed(lz4(), module_header::kIsLz4);
  m.header.compressed_bytes = ~0u;
  EXPECT_EQ(ptx_of_module(m), "");
}

TEST(fat_binary, sizes_that_do_not_fit_are_nothing) {
  for (const std::uint64_t bytes : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    module m = module_of(kText);
    m.header.bytes = bytes;
    EXPECT_EQ(ptx_of_module(m), "") << bytes;
  }
  for (const std::uint32_t bytes : {0u, 63u, ~0u}) {
    module m = module_of(kText);
    m.header.header_bytes = bytes;
    EXPECT_EQ(ptx_of_module(m), "") << bytes;
  }
  const std::vector<std::byte> whole = binary_of({module_of(kText)});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const std::vector<std::byte> cut(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_EQ(ptx_of(cut), "");
  }
  std::vector<std::byte> other = whole;
  other[0] ^= std::byte{1};
  EXPECT_EQ(ptx_of(other), "");
}

}  // namespace
}  // namespace skv::stand_in
