// What a profile knows of linear propagation: which tensors predict which, and the integers they do
// it with. docs/format.md, section "Linear propagation".
#pragma once

#include <cstdint>
#include <skv/base/tensor.hpp>
#include <skv/predict/mean.hpp>
#include <span>
#include <string>
#include <vector>

namespace skv {

/// A rotary embedding: channels of a head that turn in pairs, with the position.
struct rotary {
  bool is_interleaved = false;  ///< pairs (f + 2i, f + 2i + 1), otherwise (f + i, f + i + pairs)
  std::uint32_t first_channel = 0;  ///< f
  /// Per pair: turns per position, times 2^64.
  std::vector<std::uint64_t> frequencies;

  std::uint32_t pairs() const { return static_cast<std::uint32_t>(frequencies.size()); }
};

/// An integer matrix product: sums of inputs times weights, then scaled. `shards` matrices side by
/// side, each with its own inputs and outputs.
struct linear_product {
  std::uint32_t inputs = 0;                ///< of a shard
  std::uint32_t outputs = 0;               ///< of a shard
  std::vector<std::uint16_t> multipliers;  ///< [shards][outputs], below 2^15
  std::vector<std::uint8_t> shifts;        ///< [shards][outputs]
  /// [shards][input_groups][outputs][4]. In a profile they lie in its bytes; whoever makes one
  /// keeps them until it is made.
  std::span<const std::int8_t> weights;

  std::uint32_t input_groups() const { return (inputs + 3) / 4; }
  std::size_t shard_weights() const { return 4 * std::size_t{input_groups()} * outputs; }
};

/// A tensor that is predicted from others, or that others are predicted from.
struct linear_tensor {
  bool is_predicted = false;  ///< otherwise its means are its bases
  std::uint8_t rotary = 0;    ///< 0: none; otherwise a rotary's number, from 1
  std::uint32_t rank = 0;     ///< 0: full, one product; otherwise hidden values per shard
  /// What it is predicted from: tensors by their places in the profile, below its own, and outside
  /// rows by theirs behind all tensors. None: the correction is the centre alone.
  std::vector<std::uint32_t> sources;
  std::vector<std::uint8_t> units;    ///< per channel: exponent + 128
  std::vector<std::int16_t> centres;  ///< per channel: the usual deviation, in units
  std::vector<std::uint8_t> shifts;   ///< per channel: an innovation is 2^shift units
  linear_product to_hidden;           ///< if there is a rank
  linear_product to_output;           ///< if there are sources
};

/// What outside rows are made of. Wire ids: docs/format.md, section "Outside rows".
enum class outside_kind : std::uint8_t {
  embedding = 0,  ///< the token's row of a table, normalised
  draft = 1,      ///< a tensor in the cache of another model on the same tokens
};

/// Rows that both ends hold besides a cache and its bases, as a source: innovations as all others,
/// [tokens][heads * head_dim]. Every shard sees all of a row.
struct linear_outside {
  outside_kind kind = outside_kind::draft;
  tensor_id id;                     ///< of the draft's tensor
  std::uint8_t format = 0;          ///< wire id of its numbers; of an embedding also 0: IEEE single
  std::uint8_t rotary = 0;          ///< as a tensor's; 0 for an embedding
  std::uint32_t heads = 1;          ///< 1 for an embedding
  std::uint32_t head_dim = 0;       ///< for an embedding the width of its rows
  std::uint32_t vocabulary = 0;     ///< an embedding's rows
  std::uint64_t hash = 0;           ///< of an embedding's numbers
  std::vector<std::uint8_t> units;  ///< as a tensor's; none for an embedding
  std::vector<std::int16_t> centres;
  std::vector<std::uint8_t> shifts;

  std::uint32_t width() const { return heads * head_dim; }
};

/// Linear propagation over a profile's tensors.
struct linear_model {
  mean_source base = mean_source::none;  ///< what is corrected: nothing (zeros), or means given
  std::uint32_t shards = 1;  ///< head ranges that do not see each other; divides all head counts
  std::vector<rotary> rotaries;
  std::vector<linear_outside>
      outside;  ///< source tensors.size() + i is outside[i]; ascending (kind, id)
  std::vector<linear_tensor> tensors;  ///< as the profile's scales
};

/// Heads and channels of the tensors that a model is for, in its order.
struct linear_shape {
  std::uint32_t heads = 0, head_dim = 0;
};

/// What is wrong with a model for tensors of these shapes; empty if nothing.
std::string complaint_about(const linear_model& m, std::span<const linear_shape> shapes);

/// Appends a model that there is no complaint about.
void append(std::vector<std::byte>& out, const linear_model& m);

class byte_reader;
/// Reads what append wrote; spans point into what `in` reads. A model cut short or of impossible
/// sizes leaves `in` not ok; all else is complaint_about's to find.
linear_model read_linear_model(byte_reader& in, mean_source base,
                               std::span<const linear_shape> shapes);

/// The model of the heads [first, first + count) of every tensor: whole shards. Weights are those
/// of `m`. Fails, saying why, if they are not whole shards.
std::string slice_linear_model(const linear_model& m, std::span<const linear_shape> shapes,
                               std::uint32_t first, std::uint32_t count, linear_model& sliced);

}  // namespace skv
