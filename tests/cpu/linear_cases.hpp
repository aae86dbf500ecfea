// Models of linear propagation of every kind, and random caches for them.
#pragma once

#include <skv/cpu/codec.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/archives.hpp"
#include "support/linear_models.hpp"

namespace skv::test {

inline constexpr cpu::isa kSets[] = {cpu::isa::scalar, cpu::isa::portable, cpu::isa::avx2,
                                     cpu::isa::avx512};

/// A tensor of random numbers and bases for every tensor of a profile.
struct random_cache {
  std::vector<byte_string> numbers, bases;
  std::vector<std::size_t> row_bytes, base_row_bytes;

  random_cache(const profile& p, std::uint32_t tokens, std::uint64_t seed, double unusual = 0.02) {
    random_source random(seed);
    const number_format target = format_of(p.content().target);
    const number_format mean = format_of(p.content().mean);
    for (const tensor_scales& s : p.content().scales) {
      const std::size_t width = std::size_t{s.heads} * s.head_dim;
      numbers.push_back(random_numbers(target, tokens * width, random, unusual));
      bases.push_back(random_numbers(mean, tokens * width, random, unusual));
      row_bytes.push_back(width * target.bytes());
      base_row_bytes.push_back(width * mean.bytes());
    }
  }
  row_view<const std::byte> rows(std::size_t i) const { return {numbers[i].data(), row_bytes[i]}; }
  row_view<const std::byte> base_rows(std::size_t i) const {
    return {bases[i].data(), base_row_bytes[i]};
  }
};

/// Shapes, pairings, ranks, shards, formats, bases.
inline std::vector<linear_case> linear_cases() {
  using enum format_id;
  std::vector<linear_case> all;
  for (const pairing turns :
       {pairing::none, pairing::half, pairing::interleaved, pairing::partial}) {
    linear_case c;
    c.turns = turns;
    all.push_back(c);
    c.seed = 2;
    c.base = mean_source::none;
    c.rank = 5;
    all.push_back(c);
    c.shards = 2;
    all.push_back(c);
    c.rank = 0;
    c.outside = true;
    c.heads = 4;
    c.head_dim = 20;
    all.push_back(c);
    c.latent = true;
    c.heads = c.shards = 1;
    c.head_dim = 52;
    all.push_back(c);
  }
  for (const auto& [target, mean] : {std::pair{fp16, fp16},
                                     {e4m3, e4m3},
                                     {e4m3, bf16},
                                     {e4m3, fp16},
                                     {e5m2, bf16},
                                     {e5m2, e5m2}}) {
    linear_case c;
    c.id = {target, mean_source::given, mean};
    c.outside = true;
    all.push_back(c);
  }
  return all;
}

inline std::string text_of(const linear_case& c) {
  return name_of(c.id) + ", pairing " + std::to_string(static_cast<int>(c.turns)) + ", rank " +
         std::to_string(c.rank) + ", shards " + std::to_string(c.shards) +
         (c.base == mean_source::none ? ", no base" : "") + (c.latent ? ", latent" : "") +
         (c.outside ? ", outside rows" : "");
}

}  // namespace skv::test
