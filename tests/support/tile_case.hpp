// A tile to encode: its numbers, means, scale codes and tables.
#pragma once

#include "support/codecs.hpp"
#include "support/frequencies.hpp"
#include "support/patterns.hpp"
#include "support/push_pop.hpp"

namespace skv::test {

enum class data_kind {
  gaussian,  ///< around the mean, as wide as the scale codes say
  random_patterns,
  all_equal,
  all_zero,
  all_nan,
  as_predicted,     ///< the mean, rounded to the numbers' format
  unusual_mixture,  ///< gaussian, with infinities, NaNs, zeros and subnormals on both sides
};
inline constexpr data_kind kDataKinds[] = {
    data_kind::gaussian, data_kind::random_patterns, data_kind::all_equal,      data_kind::all_zero,
    data_kind::all_nan,  data_kind::as_predicted,    data_kind::unusual_mixture};

enum class table_kind {
  fitted,  ///< to the data: tokens that do not occur have no frequency
  equal,
  single,  ///< nearly all of it for one token, nothing for any other but the escape
};
inline constexpr table_kind kTableKinds[] = {table_kind::fitted, table_kind::equal,
                                             table_kind::single};

struct tile_case {
  coding_id id{};
  tile_shape shape;
  std::vector<std::byte> numbers, means, codes;  ///< rows without gaps
  table_pair tables;

  number_format target() const { return format_of(id.target); }
  number_format mean() const { return format_of(id.mean); }
  std::size_t row_bytes() const { return std::size_t{shape.width} * target().bytes(); }
  std::size_t mean_row_bytes() const { return std::size_t{shape.width} * mean().bytes(); }
};

/// Calls f.operator()<Coding>() with the coding that `id` names.
template <class F>
void with_coding(coding_id id, F&& f) {
  coded_pairs::any([&](auto pair) {
    using Pair = decltype(pair);
    if (Pair::kTarget.id != id.target || Pair::kMean.id != id.mean) return false;
    if (id.source == mean_source::none)
      f.template operator()<exponent_coding<Pair::kTarget>>();
    else
      f.template operator()<residual_coding<Pair::kTarget, Pair::kMean>>();
    return true;
  });
}

/// The mean of the i-th number of a case.
inline std::uint32_t mean_pattern(const tile_case& c, std::size_t i) {
  if (c.id.source == mean_source::given) return pattern_at(c.means.data(), c.mean(), i);
  if (c.id.source == mean_source::none || i < c.shape.width) return 0;
  return pattern_at(c.numbers.data(), c.target(), i - c.shape.width);
}

template <class Coding>
table_pair tables_for(const tile_case& c, table_kind kind) {
  using tokens = typename Coding::tokens;
  std::vector<std::vector<double>> counts(Coding::kContexts, std::vector<double>(tokens::kCount));
  if (kind == table_kind::fitted)
    for (std::size_t i = 0; i < c.shape.elements(); ++i) {
      const auto code = std::to_integer<std::uint32_t>(c.codes[i % c.shape.width]);
      const auto p =
          whole_plan<Coding>(code, mean_pattern(c, i), pattern_at(c.numbers.data(), c.target(), i));
      counts[p.context][p.alphabet_token()] += 1;
    }
  return make_tables<tokens>(Coding::kContexts, [&](std::uint32_t context) {
    if (kind == table_kind::single) return single_token(tokens::kCount, context % tokens::kCount);
    if (kind == table_kind::equal) return equal_frequencies(tokens::kCount);
    return from_weights(counts[context], tokens::kEscape);
  });
}

inline tile_case make_case(coding_id id, tile_shape shape, data_kind data, table_kind tables,
                           std::uint64_t seed = 1) {
  tile_case c{id, shape, {}, {}, {}, {}};
  random_source random(seed);
  const number_format target = c.target(), mean = c.mean();
  const std::uint32_t nan =
      (target.max_exponent() << target.mantissa_bits) | ((1u << target.mantissa_bits) - 1);
  std::vector<double> sigma(shape.width), size(shape.width);
  for (std::uint32_t i = 0; i < shape.width; ++i) {
    size[i] = std::exp2(4 * random.uniform() - 2);
    sigma[i] = size[i] * std::exp2(-1 - 5 * random.uniform());
    const double scale = id.source == mean_source::none ? size[i] : sigma[i];
    const double code = kScaleLevels * (std::log2(scale) + kScaleOrigin);
    c.codes.push_back(static_cast<std::byte>(std::lround(code)));
  }
  std::vector<double> previous(shape.width, 0.0);
  for (std::uint32_t t = 0; t < shape.tokens; ++t)
    for (std::uint32_t i = 0; i < shape.width; ++i) {
      double mu = size[i] * random.gaussian();
      if (id.source == mean_source::previous_token && t > 0) mu = previous[i];
      const double x = data == data_kind::as_predicted  ? mu
                       : id.source == mean_source::none ? mu
                                                        : mu + sigma[i] * random.gaussian();
      previous[i] = data == data_kind::as_predicted ? mu : 0.9 * x;
      std::uint32_t number = to_pattern(target, x), mean_pattern = to_pattern(mean, mu);
      switch (data) {
        case data_kind::gaussian:
        case data_kind::as_predicted: break;
        case data_kind::random_patterns: number = random.bits() >> (32 - target.bits()); break;
        case data_kind::all_equal: number = to_pattern(target, -1.25); break;
        case data_kind::all_zero: number = 0; break;
        case data_kind::all_nan: number = nan; break;
        case data_kind::unusual_mixture:
          if (random.chance(0.03)) number = unusual_pattern(target, random);
          if (random.chance(0.03)) mean_pattern = unusual_pattern(mean, random);
          break;
      }
      append_pattern(c.numbers, target, number);
      append_pattern(c.means, mean, mean_pattern);
    }
  with_coding(id, [&]<class Coding>() { c.tables = tables_for<Coding>(c, tables); });
  return c;
}

}  // namespace skv::test
