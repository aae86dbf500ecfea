// Tiles of an int8 matrix product on tensor cores: sums of innovations times weights.
#pragma once

#include <skv/lanes/device.cuh>
#include <skv/lanes/lanes.hpp>

#include "linear_parameters.hpp"

namespace skv::cuda {

/// What a block of threads makes of a product at once: kTileTokens x kTileOutputs sums. Its eight warps
/// stand in two rows and four columns, each with 64 tokens x 32 outputs in registers.
class product_tile {
 public:
  static constexpr std::uint32_t kThreads = 256;
  /// Sums that are handed over at once: half of the tokens.
  static constexpr std::uint32_t kHalf = kTileTokens / 2;

 private:
  static constexpr std::uint32_t kStages = 3;
  static constexpr std::uint32_t kTokenSteps = 4, kOutputSteps = 4;  // of 16 and of 8
  // Rows of inputs in shared memory are so long that eight of them lie in different banks, and so are
  // those of sums.
  static constexpr std::uint32_t kRowBytes = kChunkInputs + 16;
  static constexpr std::uint32_t kSumStride = kTileOutputs + 8;
  static constexpr std::uint32_t kWeightsAt = kTileTokens * kRowBytes;
  static constexpr std::uint32_t kStageBytes = kWeightsAt + kChunkWeights;
  static_assert(kHalf * kSumStride * 4 <= kStages * kStageBytes);

 public:
  /// Of shared memory, from its beginning.
  static constexpr std::size_t kSharedBytes = std::size_t{kStages} * kStageBytes;

  /// All threads of the block take part.
  SKV_DEVICE void multiply(const linear_product_plan& p, const std::byte* room, std::uint32_t rows,
                           std::uint32_t first_row, std::uint32_t shard,
                           std::uint32_t output_tile) {
    SKV_UNROLL
    for (auto& of_tokens : sums_) SKV_UNROLL
    for (auto& of_outputs : of_tokens) SKV_UNROLL
    for (std::int32_t& sum : of_outputs) sum = 0;

    inputs from{p, room, rows, first_row, shard, output_tile};
    std::uint32_t begun = 0;
    for (; begun < kStages - 1; ++begun) {
      if (begun < p.chunks) from.fetch(stage(begun));
      device::commit_copies();
    }
    for (std::uint32_t chunk = 0; chunk < p.chunks; ++chunk, ++begun) {
      device::wait_copies<kStages - 2>();
      device::sync_block();  // and all are done with the stage that is filled now
      if (begun < p.chunks) from.fetch(stage(begun));
      device::commit_copies();
      add_chunk(stage(chunk));
    }
  }

  /// Writes the sums of half of the tokens to shared memory, [kHalf][kSumStride], for all threads.
  SKV_DEVICE void hand_over(std::uint32_t half) const {
    device::sync_block();  // nobody needs what is there
    if (device::warp() / 4 == half) SKV_UNROLL
    for (std::uint32_t i = 0; i < kTokenSteps; ++i) SKV_UNROLL
    for (std::uint32_t j = 0; j < kOutputSteps; ++j) SKV_UNROLL
    for (std::uint32_t k = 0; k < 2; ++k) {
      const std::uint32_t row = i * 16 + k * 8 + device::lane() / 4;
      const std::uint32_t column = device::warp() % 4 * 32 + j * 8 + device::lane() % 4 * 2;
      *sums_at(row, column) = {sums_[i][j][2 * k], sums_[i][j][2 * k + 1]};
    }
    device::sync_block();
  }

  struct alignas(8) pair {
    std::int32_t first, second;
  };
  /// Sums of a token of the half that was handed over, for an output at an even place and the next.
  static SKV_DEVICE pair* sums_at(std::uint32_t row, std::uint32_t output) {
    return reinterpret_cast<pair*>(device::shared() + (row * kSumStride + output) * 4);
  }

 private:
  static SKV_DEVICE std::byte* stage(std::uint32_t chunk) {
    return device::shared() + chunk % kStages * kStageBytes;
  }

  // The next chunk of a tile's inputs and weights, where this thread copies from.
  struct inputs {
    static constexpr std::uint32_t kPieces = kTileTokens * kChunkInputs / 16 / kThreads;
    static_assert(kPieces * kThreads * 16 == kChunkWeights);

    const linear_product_plan& product;
    const std::byte* room;
    std::uint32_t rows, first_row, shard;
    const std::byte* weights;
    const linear_source* source;  // the next one
    std::uint32_t chunks_left = 0;
    const std::byte* pieces[kPieces];

    SKV_DEVICE inputs(const linear_product_plan& p, const std::byte* r, std::uint32_t row_count,
                      std::uint32_t first, std::uint32_t s, std::uint32_t output_tile)
        : product(p), room(r), rows(row_count), first_row(first), shard(s), source(p.sources) {
      weights = p.weights +
                (std::size_t{s} * p.output_tiles + output_tile) * p.chunks * kChunkWeights +
                device::thread() * 16;
    }

    SKV_DEVICE void fetch(std::byte* to) {
      if (chunks_left == 0) {
        const linear_source from = *source++;
        chunks_left = from.chunks;
        SKV_UNROLL
        for (std::uint32_t i = 0; i < kPieces; ++i) {
          // Behind the last token there is nothing: its row stands in, and no sum of it is used.
          const std::uint32_t row = first_row + piece_row(i);
          pieces[i] = room + from.first_byte * rows +
                      std::size_t{row < rows ? row : rows - 1} * from.row_bytes +
                      shard * from.shard_bytes + device::thread() % 4 * 16;
        }
      }
      SKV_UNROLL
      for (std::uint32_t i = 0; i < kPieces; ++i) {
        device::copy_async(to + piece_row(i) * kRowBytes + device::thread() % 4 * 16, pieces[i]);
        device::copy_async(to + kWeightsAt + (i * kThreads + device::thread()) * 16,
                           weights + i * kThreads * 16);
        pieces[i] += kChunkInputs;
      }
      weights += kChunkWeights;
      --chunks_left;
    }

    static SKV_DEVICE std::uint32_t piece_row(std::uint32_t i) {
      return (i * kThreads + device::thread()) / 4;
    }
  };

  SKV_DEVICE void add_chunk(const std::byte* at) {
    struct alignas(16) four {
      std::uint32_t words[4];
    };
    const std::uint32_t lane = device::lane(), warp = device::warp();
    const auto* const numbers = reinterpret_cast<const std::uint32_t*>(
        at + (warp / 4 * 64 + lane / 4) * kRowBytes + lane % 4 * 4);
    const auto* const weights =
        reinterpret_cast<const four*>(at + kWeightsAt) + warp % 4 * 2 * kLanes + lane;
    SKV_UNROLL
    for (std::uint32_t step = 0; step < kChunkInputs / 32; ++step) {
      const four low = weights[step * 8 * kLanes], high = weights[(step * 8 + 1) * kLanes];
      const std::uint32_t b[kOutputSteps][2] = {{low.words[0], low.words[1]},
                                                {low.words[2], low.words[3]},
                                                {high.words[0], high.words[1]},
                                                {high.words[2], high.words[3]}};
      SKV_UNROLL
      for (std::uint32_t i = 0; i < kTokenSteps; ++i) {
        const std::uint32_t* const row = numbers + i * 16 * (kRowBytes / 4) + step * 8;
        const std::uint32_t a[4] = {row[0], row[8 * (kRowBytes / 4)], row[4],
                                    row[8 * (kRowBytes / 4) + 4]};
        SKV_UNROLL
        for (std::uint32_t j = 0; j < kOutputSteps; ++j) device::multiply_add(sums_[i][j], a, b[j]);
      }
    }
  }

  std::int32_t sums_[kTokenSteps][kOutputSteps][4];
};

}  // namespace skv::cuda
