// Decoding a tile: one text for CPU and GPU.
#pragma once

#include <skv/entropy/rans.hpp>
#include <skv/predict/mean.hpp>
#include <skv/scale/per_channel.hpp>
#include <skv/tile/block_image.hpp>
#include <skv/tile/hash.hpp>
#include <skv/tile/residual.hpp>

namespace skv {

/// What decode_tile found out while it wrote the numbers.
struct decoded_tile {
  std::uint32_t data_hash = 0;
  std::uint32_t prediction_hash = 0;
  bool is_image = false;     ///< if not, its size is impossible: nothing is decoded, not even hashed
  bool well_formed = false;  ///< states began and ended as they should, no word too many or few
};

/// Decodes a block image of `image_bytes` bytes. The caller compares the hashes with the record.
/// Any bytes whatever are safe to decode: nothing but `numbers` is written, and nothing is read
/// beyond the image.
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
  constexpr std::uint32_t kParts = Lanes::kParts;

  const std::size_t words_at = kStateBytes + plane_bytes(Coding::kPlane, shape);
  const std::uint32_t steps = steps_per_token(shape.width);
  std::uint64_t until_tail = std::uint64_t{shape.tokens} * steps;
  if (image_bytes < words_at || (image_bytes - words_at) % 2 != 0 || tail_steps > until_tail)
    return {};
  until_tail -= tail_steps;
  const std::byte* plane = image + kStateBytes;

  rans_decoder<Lanes> coder{word_reader{image + words_at, image + image_bytes, false}, table};
  u32 states[kParts];
  bool well_formed = true;
SKV_UNROLL
  for (std::uint32_t part = 0; part < kParts; ++part) {
    states[part] = Lanes::template load<std::uint32_t>(image, part, kLanes);
    well_formed &= !Lanes::any((states[part] >> 16) == u32(0));
  }
  tile_hash<Lanes> data_hash, prediction_hash;
  mask full[kParts], partial[kParts];  // the lanes of a full step, and of a row's last one
SKV_UNROLL
  for (std::uint32_t part = 0; part < kParts; ++part) {
    full[part] = Lanes::index(part) < u32(kLanes);
    partial[part] = Lanes::index(part) < u32(shape.width % kLanes);
  }

  for (std::uint32_t token = 0; token < shape.tokens; ++token) {
    for (std::uint32_t step = 0; step < steps; ++step) {
      if (until_tail-- == 0) {
        coder.in_tail = true;
        for (u32& s : states) s = s - kStateFloor;
      }
      const std::uint32_t first = step * kLanes;
      const bool is_full = shape.width - first >= kLanes;
      const std::uint32_t count = is_full ? kLanes : shape.width - first;

      // What does not depend on the states comes first, so that the chains of all parts overlap.
      typename Coding::template grid<Lanes> grids[kParts];
SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        const u32 mu = mean.template load<Lanes>(token, first, part, count);
        const u32 code = Lanes::template load<scale_code>(codes + first, part, count);
        u32 plane_byte(0);
        if constexpr (Coding::kPlane)
          plane_byte = Lanes::template load<std::uint8_t>(
              plane + std::size_t{token} * shape.width + first, part, count);
        if constexpr (Mean::kOutside) prediction_hash.append(part, mu);
        grids[part] = Coding::template make_grid<Lanes>(code, mu, plane_byte);
      }
      u32 number[kParts];
      typename Coding::template pending<Lanes> pending[kParts];
      bool any_second = false;
SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        const mask active = is_full ? full[part] : partial[part];
        u32 state = states[part];
        number[part] =
            Coding::template pop<Lanes>(coder, state, grids[part], active, pending[part]);
        states[part] = Lanes::select(active, state, states[part]);
        number[part] = Lanes::zero_unless(active, number[part]);
        any_second |= Lanes::any(pending[part].second);
      }
      if (any_second)
SKV_UNROLL
        for (std::uint32_t part = 0; part < kParts; ++part)
          number[part] = Coding::template pop_second<Lanes>(coder, states[part], pending[part],
                                                            number[part]);
SKV_UNROLL
      for (std::uint32_t part = 0; part < kParts; ++part) {
        data_hash.append(part, number[part]);
        Lanes::template store<number_type>(numbers.at(token, first), part, count, number[part]);
      }
    }
  }

  decoded_tile d;
  d.is_image = true;
  const std::uint32_t last = tail_steps == 0 ? kStateFloor + kStartState : kStartState;
  for (const u32& s : states) well_formed &= !Lanes::any(s != u32(last));
  d.well_formed = well_formed && !coder.words.overrun && coder.words.next == coder.words.end;
  d.data_hash = data_hash.finish(shape);
  d.prediction_hash = Mean::kOutside ? prediction_hash.finish(shape) : 0;
  return d;
}

}  // namespace skv
