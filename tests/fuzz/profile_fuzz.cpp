// A .skvp file of any bytes. One that is accepted has these bytes and no other, and its tables are
// fit to code with.
#include <skv/cpu/codec.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace {

using namespace skv;

void check(bool holds) {
  if (!holds) std::abort();
}

void read(std::span<const std::byte> file) {
  const auto p = profile::parse(file);
  if (!p) {
    check(p.code() != status::ok && !p.failure().message.empty());
    return;
  }
  check(std::ranges::equal((*p)->bytes(), file));
  const auto again = profile::make((*p)->content());
  check(again && (*again)->id() == (*p)->id());
  (void)(*p)->slice_heads(0, 1);

  // The file itself serves as numbers and means.
  const cpu::codec coder(*p);
  cpu::tile_slice tile{{0, tensor_kind::k}, 2, 16, 0, 2, 10};
  if (!(*p)->content().scales.empty()) {
    const tensor_scales& s = (*p)->content().scales.front();
    tile = {s.id, s.heads, s.head_dim, 0, s.heads, 2};
  }
  const std::size_t need = tile.shape().elements() * 2;
  std::vector<std::byte> numbers(need), image(need), out(need);
  for (std::size_t i = 0; i < need; ++i) numbers[i] = file[i % file.size()];
  const std::vector<std::byte> means(numbers.rbegin(), numbers.rend());
  const std::size_t row = tile.shape().width * coder.target().bytes();
  const row_view<const std::byte> mean_rows{means.data(),
                                            tile.shape().width * coder.mean().bytes()};
  const auto record = coder.encode(tile, {numbers.data(), row}, mean_rows, image);
  if (!record) return;  // a tensor larger than a tile
  check(static_cast<bool>(coder.decode(tile, *record, image, mean_rows, {out.data(), row})));
  check(std::equal(out.begin(),
                   out.begin() + static_cast<std::ptrdiff_t>(coder.max_tile_bytes(tile.shape())),
                   numbers.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  read(file);
  if (size < 40) return 0;
  // Again with its length and checksum made right.
  std::vector<std::byte> copy(file.begin(), file.end());
  for (std::size_t i = 0; i < 8; ++i) copy[24 + i] = static_cast<std::byte>(size >> (8 * i) & 0xff);
  const std::uint64_t sum = XXH3_64bits(copy.data(), size - 8);
  for (std::size_t i = 0; i < 8; ++i)
    copy[size - 8 + i] = static_cast<std::byte>(sum >> (8 * i) & 0xff);
  read(copy);
  return 0;
}
