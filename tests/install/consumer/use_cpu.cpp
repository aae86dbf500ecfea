// Codes a tile with the installed library, and restores it.
#include <skv/skv.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  const auto profile =
      skv::default_profile(skv::format_id::bf16, skv::mean_source::none, skv::format_id::bf16);
  if (!profile) return 1;
  const skv::cpu::codec codec(*profile);
  const skv::cpu::tile_slice tile{{0, skv::tensor_kind::k}, 2, 64, 0, 2, 100};
  std::vector<std::uint16_t> numbers(tile.shape().elements()), restored(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<std::uint16_t>(0x3f00 + i * 7 % 256);
  std::vector<std::byte> image(codec.max_tile_bytes(tile.shape()));

  const auto record =
      codec.encode(tile, {std::as_bytes(std::span(numbers)).data(), 256}, {}, image);
  if (!record || record->bytes() >= image.size()) return 1;
  const auto decoded = codec.decode(tile, *record, image, {},
                                    {std::as_writable_bytes(std::span(restored)).data(), 256});
  std::printf("skv %s, %s: %zu -> %u bytes\n", skv::kVersion,
              std::string(skv::cpu::to_string(skv::cpu::best_isa())).c_str(), image.size(),
              record->bytes());
  return decoded && restored == numbers ? 0 : 1;
}
