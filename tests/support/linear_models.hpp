// Profiles with a linear model of random weights, and caches for them.
#pragma once

#include <skv/cpu/outside.hpp>
#include <skv/number/value.hpp>

#include <stdexcept>

#include "support/patterns.hpp"
#include "support/profiles.hpp"

namespace skv::test {

enum class pairing { none, half, interleaved, partial };

struct linear_case {
  coding_id id = kGiven;
  mean_source base = mean_source::given;
  std::uint32_t layers = 3, heads = 2, head_dim = 12, shards = 1, rank = 0;
  pairing turns = pairing::half;
  bool latent = false, outside = false;
  std::uint64_t seed = 1;
};

inline rotary random_rotary(pairing p, std::uint32_t head_dim, random_source& random) {
  rotary r;
  r.is_interleaved = p == pairing::interleaved;
  std::uint32_t pairs = head_dim / 2;
  if (p == pairing::partial) {
    pairs = head_dim / 4;
    r.first_channel = head_dim - 2 * pairs;
  }
  for (std::uint32_t i = 0; i < pairs; ++i)
    r.frequencies.push_back(random.next() >> random.below(30));
  return r;
}

/// Channels of tensors and outside rows alike.
template <class Innovating>
void fill_channels(Innovating& t, std::uint32_t width, bool units, random_source& random) {
  for (std::uint32_t i = 0; i < width; ++i) {
    if (units)
      t.units.push_back(
          static_cast<std::uint8_t>(random.chance(0.03) ? random.bits() : 136 + random.below(4)));
    t.shifts.push_back(
        static_cast<std::uint8_t>(random.chance(0.03) ? random.bits() : 2 + random.below(5)));
    t.centres.push_back(
        static_cast<std::int16_t>(random.chance(0.03) ? random.bits() : random.below(200)));
  }
}

/// Weights live in `store` until the profile is made.
inline linear_product random_product(
    std::uint32_t inputs, std::uint32_t outputs, std::uint32_t shards, random_source& random,
    std::vector<std::unique_ptr<std::vector<std::int8_t>>>& store) {
  linear_product p;
  p.inputs = inputs;
  p.outputs = outputs;
  for (std::uint32_t i = 0; i < outputs * shards; ++i) {
    p.multipliers.push_back(static_cast<std::uint16_t>(
        random.chance(0.1) ? random.below(32768) : 2048 + random.below(4096)));
    p.shifts.push_back(
        static_cast<std::uint8_t>(random.chance(0.05) ? random.bits() : 6 + random.below(4)));
  }
  auto weights = std::make_unique<std::vector<std::int8_t>>(p.shard_weights() * shards);
  for (std::int8_t& w : *weights) w = static_cast<std::int8_t>(random.bits());
  p.weights = *weights;
  store.push_back(std::move(weights));
  return p;
}

inline profile_ptr random_linear_profile(const linear_case& c) {
  random_source random(c.seed);
  std::vector<std::unique_ptr<std::vector<std::int8_t>>> store;
  profile_content content = default_profile_of(c.id)->content();
  content.default_code = 0;
  linear_model m;
  m.base = c.base;
  m.shards = c.shards;
  if (c.turns != pairing::none) m.rotaries.push_back(random_rotary(c.turns, c.head_dim, random));
  if (c.outside) {
    m.rotaries.push_back(random_rotary(pairing::interleaved, 6, random));
    linear_outside e;
    e.kind = outside_kind::embedding;
    e.format = static_cast<std::uint8_t>(format_id::bf16);
    e.head_dim = 10;
    e.vocabulary = 50;
    fill_channels(e, 10, false, random);
    m.outside.push_back(e);
    linear_outside d;
    d.id = {1, tensor_kind::k};
    d.format = static_cast<std::uint8_t>(format_id::fp16);
    d.rotary = static_cast<std::uint8_t>(m.rotaries.size());
    d.heads = 3;
    d.head_dim = 6;
    fill_channels(d, 18, true, random);
    m.outside.push_back(d);
  }
  std::vector<tensor_id> ids;
  for (std::uint32_t l = 0; l < c.layers; ++l)
    if (c.latent)
      ids.push_back({l, tensor_kind::latent});
    else
      ids.insert(ids.end(), {{l, tensor_kind::k}, {l, tensor_kind::v}});
  const auto tensors = static_cast<std::uint32_t>(ids.size());
  for (std::uint32_t i = 0; i < tensors; ++i) {
    const std::uint32_t width = c.heads * c.head_dim;
    content.scales.push_back(random_scales(c.id.source, ids[i], c.heads, c.head_dim));
    linear_tensor t;
    t.is_predicted = i != 1 || c.latent;
    t.rotary = ids[i].kind != tensor_kind::v && c.turns != pairing::none ? 1 : 0;
    std::uint32_t inputs = 0;
    for (std::uint32_t s = i < 3 ? 0 : i - 3; s < i && t.is_predicted; ++s) {
      t.sources.push_back(s);
      inputs += width / c.shards;
    }
    for (std::uint32_t o = 0; o < m.outside.size() && t.is_predicted; ++o) {
      t.sources.push_back(tensors + o);
      inputs += m.outside[o].width();
    }
    fill_channels(t, width, true, random);
    if (!t.sources.empty()) {
      t.rank = c.rank;
      if (t.rank != 0) t.to_hidden = random_product(inputs, t.rank, c.shards, random, store);
      t.to_output =
          random_product(t.rank != 0 ? t.rank : inputs, width / c.shards, c.shards, random, store);
    }
    m.tensors.push_back(std::move(t));
  }
  content.linear = std::move(m);
  return content.linear ? *profile::make(std::move(content)) : nullptr;
}

/// Numbers like a cache's, and, of one in `unusual`, any patterns.
inline std::vector<std::byte> random_numbers(number_format f, std::size_t count,
                                             random_source& random, double unusual = 0.02) {
  std::vector<std::byte> numbers;
  for (std::size_t i = 0; i < count; ++i)
    append_pattern(
        numbers, f,
        random.chance(unusual) ? unusual_pattern(f, random) : to_pattern(f, random.gaussian()));
  return numbers;
}

/// What the outside rows of random_linear_profile are made of. The profile's hash must be the
/// table's.
struct random_outside {
  std::vector<std::byte> table_numbers, draft_numbers;
  cpu::embedding_table table;
  std::vector<std::uint32_t> ids;
  std::vector<cpu::draft_tensor> draft;

  random_outside(std::uint32_t tokens, std::uint64_t seed) {
    random_source random(seed);
    table_numbers = random_numbers(bf16, 50 * 10, random);
    table = cpu::embedding_table(bf16, 50, 10, table_numbers.data());
    for (std::uint32_t i = 0; i < tokens; ++i)
      ids.push_back(random.below(52));  // two of no embedding
    draft_numbers = random_numbers(fp16, tokens * std::size_t{18}, random);
    draft.push_back(
        {{1, tensor_kind::k}, format_id::fp16, tokens, 3, 6, {draft_numbers.data(), 36}});
  }
  random_outside(const random_outside&) = delete;
  cpu::outside_inputs inputs() const {
    cpu::outside_inputs in;
    in.embedding = &table;
    in.ids = ids;
    in.draft = draft;
    return in;
  }
};

/// The profile with the embedding's hash in it.
inline profile_ptr with_hash(const profile_ptr& p, std::uint64_t hash) {
  profile_content c = p->content();
  c.linear->outside.front().hash = hash;
  return *profile::make(std::move(c));
}

/// Bases, and numbers near their means, of every tensor of a profile: its last `tokens[i]`
/// positions of `all`. `rows` may have none.
struct predictable_numbers {
  std::vector<std::vector<std::byte>> bases, numbers;

  predictable_numbers(const cpu::outside_rows& rows, cpu::position_range all,
                      const std::vector<std::uint32_t>& tokens, const profile_content& c,
                      std::uint64_t seed) {
    random_source random(seed);
    const number_format target = format_of(c.target), mean = format_of(c.mean);
    cpu::linear_chain chain(rows.steps(), &rows);
    for (std::size_t i = 0; i < c.scales.size(); ++i) {
      const cpu::position_range range{all.first + all.count - tokens[i], tokens[i]};
      const std::size_t width = std::size_t{c.scales[i].heads} * c.scales[i].head_dim;
      bases.push_back(random_numbers(mean, range.count * width, random));
      const row_view<const std::byte> base_rows{bases[i].data(), width * mean.bytes()};
      std::vector<std::byte> room, near;
      const auto means = chain.means(i, range, base_rows, room);
      for (std::size_t n = 0; n < range.count * width; ++n) {
        const double value =
            to_double(mean, pattern_at(means.data, mean, n)) * (1 + 0.01 * random.gaussian());
        append_pattern(near, target,
                       random.chance(0.02) || std::isnan(value) ? unusual_pattern(target, random)
                                                                : to_pattern(target, value));
      }
      numbers.push_back(near);
      chain.add(i, range, {numbers[i].data(), width * target.bytes()}, base_rows);
    }
  }
};

}  // namespace skv::test
