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
  SKV_DEVICE std::byte* in(const tensor_place& cache, std::uint32_t layer) const {
    if (!is_there || !cache.blocks.are_given() || !cache.blocks.exists(layer, item)) return nullptr;
    return cache.blocks.at(layer, item) + cache.offset_bytes + token * cache.token_stride_bytes;
  }
};

/// Where a token's numbers, or means, and bases begin.
struct token_place {
  std::byte* numbers;  ///< null: there is nothing to be done
  std::byte* bases;
  std::uint32_t position;
  bool is_item;

  SKV_DEVICE token_place(const linear_rows& t, std::uint32_t row, const tensor_place& of,
                         const tensor_place& based, bool has_bases) {
    const linear_token token(t, row);
    is_item = token.is_item;
    numbers = token.in(of, t.layer);
    bases = has_bases ? token.in(based, t.layer) : nullptr;
    if (has_bases && bases == nullptr) numbers = nullptr;
    position = numbers == nullptr ? 0 : token.position(t);
  }
};

/// Where a channel lies behind the beginning of its token.
template <number_format Format>
SKV_DEVICE std::int64_t offset_of(const linear_channel& c, const tensor_place& cache) {
  return c.head * cache.head_stride_bytes + c.channel * std::int64_t{Format.bytes()};
}
template <number_format Format>
SKV_DEVICE pattern_of<Format>* number_at(std::byte* at) {
  return reinterpret_cast<pattern_of<Format>*>(device::global(at));
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
/// pair of a tile's outputs, and called with the place of each token (Finish::place) and the two sums.
template <class Finish>
struct product_kernel {
  using place = typename Finish::place;
  using parameters = typename Finish::parameters;

  static constexpr std::size_t kSharedBytes =
      product_tile::kSharedBytes + kTileTokens * sizeof(place);

  static SKV_DEVICE void run(const parameters& p) {
    const linear_product_plan& product = p.product;
    const std::uint32_t across = product.tiles_of_rows();
    const std::uint32_t tiles = (p.tokens.rows + kTileTokens - 1) / kTileTokens * across;
    auto* const places = reinterpret_cast<place*>(device::shared() + product_tile::kSharedBytes);
    for (std::uint32_t tile = device::block(); tile < tiles; tile += device::blocks()) {
      const std::uint32_t first_row = tile / across * kTileTokens;
      const std::uint32_t shard = tile % across / product.output_tiles;
      const std::uint32_t output_tile = tile % product.output_tiles;
      if (!linear_token(p.tokens, first_row).is_item) return;  // nor are there any that follow
      if (device::thread() < kTileTokens)
        places[device::thread()] = Finish::place_of(p, first_row + device::thread());
      product_tile made;
      made.multiply(product, p.room, p.tokens.rows, first_row, shard, output_tile);
      SKV_UNROLL
      for (std::uint32_t half = 0; half < 2; ++half) {
        made.hand_over(half);
        finish(p, shard, output_tile, places + half * product_tile::kHalf);
      }
      device::sync_block();  // nobody needs the sums when the stages are filled again
    }
  }

 private:
  static SKV_DEVICE void finish(const parameters& p, std::uint32_t shard, std::uint32_t output_tile,
                                const place* places) {
    // A collective: not below, where lanes may have no output.
    const std::uint32_t warp = device::warp();
    for (std::uint32_t at = device::lane() * 2; at < kTileOutputs; at += 2 * kLanes) {
      const std::uint32_t output = output_tile * kTileOutputs + at;
      if (output >= Finish::outputs(p)) break;
      const Finish finish(p, shard, output);
      for (std::uint32_t i = warp; i < product_tile::kHalf; i += product_tile::kThreads / kLanes)
        finish(places[i], *product_tile::sums_at(i, at));
    }
  }
};

/// Two int8 at an even place of a row.
SKV_DEVICE void store_pair(std::byte* at, std::uint32_t first, std::uint32_t second) {
  *reinterpret_cast<std::uint16_t*>(device::global(at)) =
      static_cast<std::uint16_t>((first & 0xff) | (second & 0xff) << 8);
}

SKV_DEVICE std::uint32_t value_of(const linear_channel& c, std::int32_t sum) {
  return scaled_sum<warp_lanes>(static_cast<std::uint32_t>(sum), std::uint32_t{c.multiplier},
                                std::uint32_t{c.sum_shift});
}

/// Hidden values of a shard, at an even place and the next. Those beyond the last are zeros.
struct hide_finish {
  using parameters = hide_parameters;
  struct place {
    std::byte* row;
  };

  const linear_channel* values;
  std::uint32_t offset;

  SKV_DEVICE hide_finish(const hide_parameters& p, std::uint32_t shard, std::uint32_t output)
      : values(p.product.outputs + shard * p.product.output_tiles * kTileOutputs + output),
        offset(shard * p.hidden_shard_bytes + output) {}
  static SKV_DEVICE std::uint32_t outputs(const hide_parameters& p) { return p.hidden_shard_bytes; }
  static SKV_DEVICE place place_of(const hide_parameters& p, std::uint32_t row) {
    return {row < p.tokens.rows ? p.hidden + std::size_t{row} * p.hidden_row_bytes : nullptr};
  }
  SKV_DEVICE void operator()(const place& to, const product_tile::pair& sums) const {
    if (to.row == nullptr) return;
    store_pair(to.row + offset,
               clamped<warp_lanes>(value_of(values[0], sums.first), kInnovationLimit),
               clamped<warp_lanes>(value_of(values[1], sums.second), kInnovationLimit));
  }
};

struct hide_kernel : hide_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) {
    return product_kernel<hide_finish>::kSharedBytes;
  }
  SKV_DEVICE void operator()() const { product_kernel<hide_finish>::run(*this); }
};

/// Means of two channels.
template <number_format Mean>
struct predict_finish {
  using parameters = predict_parameters;
  using place = token_place;

  const predict_parameters& p;
  linear_channel first, second;
  std::int64_t means_at[2], bases_at[2];
  bool is_pair;  ///< not behind an odd number of channels

  SKV_DEVICE predict_finish(const predict_parameters& of, std::uint32_t shard, std::uint32_t output)
      : p(of), is_pair(output + 1 < p.product.output_count) {
    const linear_channel* const at =
        p.product.outputs + shard * p.product.output_tiles * kTileOutputs + output;
    first = at[0];
    second = at[1];
    means_at[0] = offset_of<Mean>(first, p.means);
    means_at[1] = offset_of<Mean>(second, p.means);
    bases_at[0] = offset_of<Mean>(first, p.bases);
    bases_at[1] = offset_of<Mean>(second, p.bases);
  }
  static SKV_DEVICE std::uint32_t outputs(const predict_parameters& p) {
    return p.product.output_count;
  }
  static SKV_DEVICE place place_of(const predict_parameters& p, std::uint32_t row) {
    return {p.tokens, row, p.means, p.bases, p.has_bases};
  }

  SKV_DEVICE void operator()(const place& token, const product_tile::pair& sums) const {
    if (token.numbers == nullptr) return;
    std::uint32_t a = correction(first, sums.first), b = correction(second, sums.second);
    if (p.turns) {
      const std::uint32_t before = a;
      a = turned_forth(first, token.position, a, b);
      b = turned_forth(second, token.position, b, before);
    }
    write(first, token, 0, a);
    if (is_pair) write(second, token, 1, b);
  }

 private:
  static SKV_DEVICE std::uint32_t correction(const linear_channel& c, std::int32_t sum) {
    return clamped<warp_lanes>(static_cast<std::uint32_t>(c.centre) + value_of(c, sum),
                               kDeviationLimit);
  }
  SKV_DEVICE std::uint32_t turned_forth(const linear_channel& c, std::uint32_t position,
                                        std::uint32_t own, std::uint32_t other) const {
    const turn t(c, position, p.sines_dev);
    return turned<warp_lanes>(own, other, t.cosine, 0 - t.sine);
  }
  SKV_DEVICE void write(const linear_channel& c, const place& token, int which,
                        std::uint32_t corrected_by) const {
    std::uint32_t mean = 0;
    if (p.has_bases) mean = *number_at<Mean>(token.bases + bases_at[which]);
    if (p.is_predicted)
      mean = corrected<Mean, warp_lanes>(mean, corrected_by, std::uint32_t{c.unit});
    *number_at<Mean>(token.numbers + means_at[which]) = static_cast<pattern_of<Mean>>(mean);
  }
};

template <number_format Mean>
struct predict_kernel : predict_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) {
    return product_kernel<predict_finish<Mean>>::kSharedBytes;
  }
  SKV_DEVICE void operator()() const { product_kernel<predict_finish<Mean>>::run(*this); }
};

/// A block takes a run of tokens at a time, each of its warps pairs of their channels.
template <number_format Target, number_format Mean>
struct update_kernel : update_parameters {
  static std::size_t shared_bytes(std::uint32_t, std::uint32_t) {
    return kRunTokens * sizeof(token_place);
  }

  SKV_DEVICE void operator()() const {
    auto* const places = reinterpret_cast<token_place*>(device::shared());
    const std::uint32_t warps = device::threads() / kLanes;
    const std::uint32_t shard_steps = shard_bytes / (2 * kLanes), steps = shards * shard_steps;
    const std::uint32_t runs = (tokens.rows + kRunTokens - 1) / kRunTokens;
    for (std::uint32_t run = device::block(); run < runs; run += device::blocks()) {
      const std::uint32_t first_row = run * kRunTokens;
      device::sync_block();  // nobody needs the places before
      if (device::thread() < kRunTokens)
        places[device::thread()] =
            token_place(tokens, first_row + device::thread(), numbers, bases, has_bases);
      device::sync_block();
      for (std::uint32_t step = device::warp(); step < steps; step += warps)
        tell(places, first_row, step / shard_steps,
             step % shard_steps * 2 * kLanes + device::lane() * 2);
    }
  }

 private:
  struct source {
    linear_channel channel;
    std::int64_t number_at, base_at;

    SKV_DEVICE source(const update_parameters& p, const linear_channel& c)
        : channel(c),
          number_at(offset_of<Target>(c, p.numbers)),
          base_at(offset_of<Mean>(c, p.bases)) {}
  };

  /// Innovations of two channels of a run's tokens.
  SKV_DEVICE void tell(const token_place* places, std::uint32_t first_row, std::uint32_t shard,
                       std::uint32_t at) const {
    const linear_channel* const of = channels + shard * shard_channels + at;
    const source first(*this, of[0]), second(*this, of[1]);
    const bool is_one = at < channel_count, is_pair = at + 1 < channel_count;
    std::byte* to = innovations + std::size_t{first_row} * row_bytes + shard * shard_bytes + at;
    for (std::uint32_t i = 0; i < kRunTokens && places[i].is_item; ++i, to += row_bytes) {
      const token_place& token = places[i];
      std::uint32_t a = 0, b = 0;
      if (token.numbers != nullptr && is_one) {
        a = deviated(first, token);
        if (is_pair) b = deviated(second, token);
        if (turns) {
          const std::uint32_t before = a;
          a = turned_back(first, token.position, a, b);
          b = turned_back(second, token.position, b, before);
        }
        a = told(first, a);
        b = is_pair ? told(second, b) : 0;
      }
      store_pair(to, a, b);
    }
  }

  SKV_DEVICE std::uint32_t deviated(const source& s, const token_place& token) const {
    const std::uint32_t number = *number_at<Target>(token.numbers + s.number_at);
    const std::uint32_t expected = has_bases ? *number_at<Mean>(token.bases + s.base_at) : 0u;
    return deviation<Target, Mean, warp_lanes>(number, expected, std::uint32_t{s.channel.unit});
  }
  SKV_DEVICE std::uint32_t turned_back(const source& s, std::uint32_t position, std::uint32_t own,
                                       std::uint32_t other) const {
    const turn t(s.channel, position, sines_dev);
    return turned<warp_lanes>(own, other, t.cosine, t.sine);
  }
  static SKV_DEVICE std::uint32_t told(const source& s, std::uint32_t deviation) {
    return innovation<warp_lanes>(deviation, static_cast<std::uint32_t>(s.channel.centre),
                                  std::uint32_t{s.channel.shift});
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
