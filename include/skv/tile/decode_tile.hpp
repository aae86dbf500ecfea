// Decoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/predict/mean.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/hash.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// What decode_tile found out while it wrote the numbers.
struct decoded_tile {
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
  bool well_formed = false;  ///< no code that an encoder does not write, no word too many or few
};

/// Decodes a block image of `image_bytes` bytes. The caller compares the hashes with the record.
/// Any bytes whatever are safe to decode: all of `numbers` is written, nothing else is, and nothing
/// is read beyond the image.
/// `codes`: one scale_code per number of a row. `table`: the decoding tables of all contexts.
template <class Lanes, class Coding, class Mean>
SKV_INLINE decoded_tile decode_tile(tile_shape shape, const std::byte* image,
                                    std::size_t image_bytes, std::uint32_t tail_steps,
                                    const Mean& mean, const std::byte* codes,
                                    const std::uint32_t* table,
                                    row_view<pattern_of<Coding::kTarget>> numbers) {
  using u32 = typename Lanes::u32;
  using mask = typename Lanes::mask;
  using number_type = pattern_of<Coding::kTarget>;

  const std::size_t words_at = kStateBytes + plane_bytes(Coding::kPlane, shape);
  if (image_bytes < words_at || (image_bytes - words_at) % 2 != 0) return {};
  const std::byte* plane = image + kStateBytes;

  rans_decoder<Lanes> coder{Lanes::template load<std::uint32_t>(image, kLanes),
                            word_reader{image + words_at, image + image_bytes, false}, table,
                            kStateFloor};
  mask corrupt = coder.state < u32(kStateFloor);
  tile_hash<Lanes> data_hash, prediction_hash;
  const std::uint32_t steps = steps_per_token(shape.width);
  std::uint64_t until_tail = std::uint64_t{shape.tokens} * steps;
  if (tail_steps > until_tail) return {};
  until_tail -= tail_steps;

  for (std::uint32_t token = 0; token < shape.tokens; ++token) {
    for (std::uint32_t step = 0; step < steps; ++step) {
      if (until_tail-- == 0) {
        coder.state = coder.state - kStateFloor;
        coder.floor = 0;
      }
      const std::uint32_t first = step * kLanes;
      const std::uint32_t count = shape.width - first < kLanes ? shape.width - first : kLanes;
      const mask active = Lanes::index() < u32(count);

      const u32 mu = mean.template load<Lanes>(token, first, count);
      const u32 code = Lanes::template load<scale_code>(codes + first, count);
      u32 plane_byte(0);
      if constexpr (Coding::kPlane)
        plane_byte = Lanes::template load<std::uint8_t>(
            plane + std::size_t{token} * shape.width + first, count);

      const u32 before = coder.state;
      u32 number = Coding::template pop<Lanes>(coder, code, mu, plane_byte, active, corrupt);
      if (count < kLanes) {
        coder.state = Lanes::select(active, coder.state, before);
        number = Lanes::select(active, number, u32(0));
      }
      data_hash.append(number);
      if constexpr (Mean::kOutside) prediction_hash.append(mu);
      Lanes::template store<number_type>(numbers.at(token, first), count, number);
    }
  }
  if (tail_steps == 0) coder.state = coder.state - kStateFloor;

  decoded_tile d;
  d.data_hash = data_hash.finish(shape.tokens, shape.width);
  d.prediction_hash =
      Mean::kOutside ? prediction_hash.finish(shape.tokens, shape.width) : 0;
  d.well_formed = !coder.words.overrun && coder.words.next == coder.words.end &&
                  !Lanes::any(corrupt | (coder.state != u32(kStartState)));
  return d;
}

}  // namespace skv
