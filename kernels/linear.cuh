// The kernels of linear propagation: grid, shared memory, places. The mathematics is in
// predict/linear.hpp.
#pragma once

#include <skv/lanes/warp.cuh>
#include <skv/number/format.hpp>
#include <skv/predict/linear.hpp>

#include "product.cuh"

namespace skv::cuda {

/// A token of a batch.
struct linear_token {
  std::uint32_t item, token;
  bool is_item;   ///< there is such an item now
  bool is_there;  ///< and its block has such a token

  SKV_DEVICE linear_token(const linear_rows& t, std::uint32_t row)
      : item(row / t.tokens), token(row % t.tokens) {
    const block_batch& b = t.batch.blocks;
    is_item = row < t.rows && item < b.item_count();
    is_there = is_item && token < b.tokens(item, t.tokens);
  }
  SKV_DEVICE std::uint32_t position(const linear_rows& t) const {
    const std::uint32_t* const first = t.batch.first_positions_dev;
    return (first == nullptr ? item * t.tokens : first[item]) + token;
  }
  /// Where the token's numbers begin; null if the cache does not have it.
  SKV_DEVICE std::byte* in(const tensor_cache& cache, std::uint32_t layer) const {
    if (!is_there || (cache.blocks.base == nullptr && cache.blocks.pointers_dev == nullptr) ||
        !cache.blocks.exists(item))
      return nullptr;
    return cache.blocks.at(layer, item) + cache.place.offset_bytes +
           token * cache.place.token_stride_bytes;
  }
};

/// Where a channel lies behind the beginning of its token.
template <number_format Format>
SKV_DEVICE std::int64_t offset_of(const linear_channel& c, const tensor_cache& cache) {
  return c.head * cache.place.head_stride_bytes + c.channel * std::int64_t{Format.bytes()};
}
template <number_format Format>
SKV_DEVICE pattern_of<Format>* number_at(std::byte* at) {
  return reinterpret_cast<pattern_of<Format>*>(at);
}

struct turn {
  std::uint32_t sine, cosine;

  SKV_DEVICE turn(const linear_channel& c, std::uint32_t position, const std::uint32_t* sines) {
    const std::uint32_t phase = phase_at<warp_lanes>(position, c.frequency_high, c.frequency_low);
    sine = skv::sine<warp_lanes>(sines, phase);
    cosine = skv::sine<warp_lanes>(sines, phase + (1u << 30));
  }
};

/// Makes all tiles of a product, the blocks of a grid one after the other. A `Finish` is made for every
/// pair of a tile's outputs, and called with each token and the two sums.
template <class Finish, class Parameters>
SKV_DEVICE void for_each_sum(const Parameters& p) {
  const linear_product_plan& product = p.product;
  const std::uint32_t across = product.tiles_of_rows();
  const std::uint32_t tiles = (p.tokens.rows + kTileTokens - 1) / kTileTokens * across;
  constexpr std::uint32_t kWarps = product_tile::kThreads / kLanes;
  for (std::uint32_t tile = device::block(); tile < tiles; tile += device::blocks()) {
    const std::uint32_t first_row = tile / across * kTileTokens;
    const std::uint32_t shard = tile % across / product.output_tiles;
    const std::uint32_t output_tile = tile % product.output_tiles;
    if (!linear_token(p.tokens, first_row).is_item) return;  // nor are there any that follow
    product_tile made;
    made.multiply(product, p.room, p.tokens.rows, first_row, shard, output_tile);
    SKV_UNROLL
    for (std::uint32_t half = 0; half < 2; ++half) {
      made.hand_over(half);
      const std::uint32_t half_row = first_row + half * product_tile::kHalf;
      for (std::uint32_t at = device::lane() * 2; at < kTileOutputs; at += 2 * kLanes) {
        const std::uint32_t output = output_tile * kTileOutputs + at;
        if (output >= Finish::outputs(p)) break;
        const Finish finish(p, shard, output);
        for (std::uint32_t i = device::warp(); i < product_tile::kHalf; i += kWarps)
          if (half_row + i < p.tokens.rows) finish(half_row + i, *product_tile::sums_at(i, at));
      }
    }
    device::sync_block();  // nobody needs the sums when the stages are filled again
  }
}

/// Two int8 at an even place of a row.
SKV_DEVICE void store_pair(std::byte* at, std::uint32_t first, std::uint32_t second) {
  *reinterpret_cast<std::uint16_t*>(at) =
      static_cast<std::uint16_t>((first & 0xff) | (second & 0xff) << 8);
}

SKV_DEVICE std::uint32_t value_of(const linear_channel& c, std::int32_t sum) {
  return scaled_sum<warp_lanes>(static_cast<std::uint32_t>(sum), std::uint32_t{c.multiplier},
                                std::uint32_t{c.sum_shift});
}

struct hide_kernel : hide_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) {
    return product_tile::shared_bytes();
  }
  SKV_DEVICE void operator()() const { for_each_sum<finish>(*this); }

 private:
  struct finish {
    const hide_parameters& p;
    const linear_channel* values;
    std::byte* to;

    SKV_DEVICE finish(const hide_parameters& of, std::uint32_t shard, std::uint32_t output)
        : p(of),
          values(p.product.outputs + shard * p.product.output_tiles * kTileOutputs + output),
          to(p.hidden + shard * p.hidden_shard_bytes + output) {}
    /// Those beyond the hidden values are zeros.
    static SKV_DEVICE std::uint32_t outputs(const hide_parameters& p) {
      return p.hidden_shard_bytes;
    }
    SKV_DEVICE void operator()(std::uint32_t row, const product_tile::pair& sums) const {
      store_pair(to + std::size_t{row} * p.hidden_row_bytes,
                 clamped<warp_lanes>(value_of(values[0], sums.first), kInnovationLimit),
                 clamped<warp_lanes>(value_of(values[1], sums.second), kInnovationLimit));
    }
  };
};

template <number_format Mean>
struct predict_kernel : predict_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) {
    return product_tile::shared_bytes();
  }
  SKV_DEVICE void operator()() const { for_each_sum<finish>(*this); }

 private:
  struct finish {
    const predict_parameters& p;
    linear_channel first, second;
    bool is_pair;  // not behind an odd number of channels

    SKV_DEVICE finish(const predict_parameters& of, std::uint32_t shard, std::uint32_t output)
        : p(of), is_pair(output + 1 < p.product.output_count) {
      const linear_channel* const at =
          p.product.outputs + shard * p.product.output_tiles * kTileOutputs + output;
      first = at[0];
      second = at[1];
    }
    static SKV_DEVICE std::uint32_t outputs(const predict_parameters& p) {
      return p.product.output_count;
    }

    static SKV_DEVICE std::uint32_t correction(const linear_channel& c, std::int32_t sum) {
      return clamped<warp_lanes>(static_cast<std::uint32_t>(c.centre) + value_of(c, sum),
                                 kDeviationLimit);
    }
    SKV_DEVICE std::uint32_t turned_forth(const linear_channel& c, std::uint32_t position,
                                          std::uint32_t own, std::uint32_t other) const {
      const turn t(c, position, p.sines_dev);
      return turned<warp_lanes>(own, other, t.cosine, 0 - t.sine);
    }
    SKV_DEVICE void write(const linear_channel& c, std::byte* means, std::byte* bases,
                          std::uint32_t corrected_by) const {
      std::uint32_t mean = 0;
      if (p.has_bases) mean = *number_at<Mean>(bases + offset_of<Mean>(c, p.bases));
      if (p.is_predicted)
        mean = corrected<Mean, warp_lanes>(mean, corrected_by, std::uint32_t{c.unit});
      *number_at<Mean>(means + offset_of<Mean>(c, p.means)) = static_cast<pattern_of<Mean>>(mean);
    }
    SKV_DEVICE void operator()(std::uint32_t row, const product_tile::pair& sums) const {
      const linear_token token(p.tokens, row);
      std::byte* const means = token.in(p.means, p.tokens.layer);
      std::byte* const bases = p.has_bases ? token.in(p.bases, p.tokens.layer) : nullptr;
      if (means == nullptr || (p.has_bases && bases == nullptr)) return;
      std::uint32_t a = correction(first, sums.first), b = correction(second, sums.second);
      if (p.turns) {
        const std::uint32_t position = token.position(p.tokens), before = a;
        a = turned_forth(first, position, a, b);
        b = turned_forth(second, position, b, before);
      }
      write(first, means, bases, a);
      if (is_pair) write(second, means, bases, b);
    }
  };
};

/// A warp takes a token at a time, a lane a pair of its channels.
template <number_format Target, number_format Mean>
struct update_kernel : update_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) { return 0; }

  SKV_DEVICE void operator()() const {
    const std::uint32_t warps = device::threads() / kLanes;
    for (std::uint32_t row = device::block() * warps + device::warp(); row < tokens.rows;
         row += device::blocks() * warps) {
      const linear_token token(tokens, row);
      if (!token.is_item) return;  // nor are there any that follow
      std::byte* const at = token.in(numbers, tokens.layer);
      std::byte* const base = has_bases ? token.in(bases, tokens.layer) : nullptr;
      const bool tells = at != nullptr && (!has_bases || base != nullptr);
      const std::uint32_t position = turns && tells ? token.position(tokens) : 0;
      for (std::uint32_t shard = 0; shard < shards; ++shard)
        for (std::uint32_t i = device::lane() * 2; i < shard_bytes; i += 2 * kLanes) {
          const linear_channel* const c = channels + shard * shard_channels + i;
          std::uint32_t a = 0, b = 0;
          if (tells) innovate(c[0], c[1], channel_count - i, at, base, position, a, b);
          store_pair(innovations + std::size_t{row} * row_bytes + shard * shard_bytes + i, a, b);
        }
    }
  }

 private:
  SKV_DEVICE std::uint32_t deviated(const linear_channel& c, std::byte* at, std::byte* base) const {
    const std::uint32_t number = *number_at<Target>(at + offset_of<Target>(c, numbers));
    const std::uint32_t expected =
        has_bases ? *number_at<Mean>(base + offset_of<Mean>(c, bases)) : 0u;
    return deviation<Target, Mean, warp_lanes>(number, expected, std::uint32_t{c.unit});
  }
  SKV_DEVICE std::uint32_t turned_back(const linear_channel& c, std::uint32_t position,
                                       std::uint32_t own, std::uint32_t other) const {
    const turn t(c, position, sines_dev);
    return turned<warp_lanes>(own, other, t.cosine, t.sine);
  }
  static SKV_DEVICE std::uint32_t told(const linear_channel& c, std::uint32_t deviation) {
    return innovation<warp_lanes>(deviation, static_cast<std::uint32_t>(c.centre),
                                  std::uint32_t{c.shift});
  }
  /// `left`: channels from the first of the two on; not above 0 behind the last.
  SKV_DEVICE void innovate(const linear_channel& first, const linear_channel& second,
                           std::uint32_t left, std::byte* at, std::byte* base,
                           std::uint32_t position, std::uint32_t& a, std::uint32_t& b) const {
    const auto count = static_cast<std::int32_t>(left);
    if (count <= 0) return;
    a = deviated(first, at, base);
    if (count > 1) b = deviated(second, at, base);
    if (turns) {
      const std::uint32_t before = a;
      a = turned_back(first, position, a, b);
      b = turned_back(second, position, b, before);
    }
    a = told(first, a);
    b = count > 1 ? told(second, b) : 0;
  }
};

/// A warp copies a token's row at a time.
struct take_kernel : take_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) { return 0; }

  SKV_DEVICE void operator()() const {
    const std::uint32_t warps = device::threads() / kLanes;
    for (std::uint32_t row = device::block() * warps + device::warp(); row < tokens.rows;
         row += device::blocks() * warps) {
      const linear_token token(tokens, row);
      if (!token.is_item) return;  // nor are there any that follow
      std::uint32_t from = row;
      bool is_there = token.is_there;
      if (is_there && table.ids_dev != nullptr) from = table.ids_dev[row];
      is_there &= table.ids_dev == nullptr || from < table.row_count;
      for (std::uint32_t i = device::lane(); i < row_bytes; i += kLanes)
        innovations[std::size_t{row} * row_bytes + i] =
            is_there && i < width
                ? static_cast<std::byte>(table.rows_dev[std::size_t{from} * width + i])
                : std::byte{0};
    }
  }
};

}  // namespace skv::cuda
