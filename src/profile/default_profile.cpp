// Tables without calibration: residuals as a normal distribution with heavy tails.
#include <cmath>
#include <numbers>
#include <skv/entropy/table.hpp>
#include <skv/predict/list.hpp>
#include <skv/profile/profile.hpp>
#include <skv/tile/exponent.hpp>
#include <skv/tile/residual.hpp>

namespace skv {
namespace {

// P(X < x) of the mixture, sigma = 1: most of it narrow, some three times as wide.
double below(double x) {
  const auto normal = [](double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); };
  return 0.9 * normal(x / 0.8) + 0.1 * normal(x / 2.4);
}
double between(double a, double b) {
  return a > 0 ? below(-a) - below(-b) : below(b) - below(a);  // accurate in both tails
}

constexpr double kEscapeShare = 0.0005;

// Residuals of context c: sigma is 2^((c - kContextsBelow + 0.5) / 4) steps. With positions, the
// mean lies up to half a step above the step it is rounded to.
void residual_shares(double steps_per_sigma, double above, double* shares) {
  for (std::uint32_t token = 0; token < residual_tokens::kEscape; ++token) {
    const double d = residual_tokens::value(token);
    shares[token] =
        between((d - 0.5 - above) / steps_per_sigma, (d + 0.5 - above) / steps_per_sigma);
  }
}

// Exponents of context c: sigma is 2^(c / 4) in units of the scale's binade.
void exponent_shares(double sigma, double* shares) {
  for (std::uint32_t token = 0; token < exponent_tokens::kEscape; ++token) {
    const double low = std::ldexp(1.0, exponent_tokens::value(token));
    shares[token] += 2 * between(low / sigma, 2 * low / sigma);
  }
}

}  // namespace

std::vector<double> default_token_shares(format_id target, mean_source source, format_id mean) {
  const table_shape shape = coding_table_shape(target, source, mean);
  std::vector<double> shares(std::size_t{shape.contexts} * kMaxTokens);
  const bool residual = source != mean_source::none;
  const bool positions = residual && shape.contexts != kScaleContexts;
  for (std::uint32_t c = 0; c < shape.contexts; ++c) {
    double* row = shares.data() + std::size_t{c} * kMaxTokens;
    if (!residual)
      exponent_shares(std::exp2(c / 4.0), row);
    else if (!positions)
      residual_shares(std::exp2((c + 0.5 - kContextsBelow) / 4.0), 0, row);
    else
      residual_shares(std::exp2((2 * (c / 4) + 1.0 - kContextsBelow) / 4.0), (c % 4 + 0.5) / 8.0,
                      row);
    row[shape.escape] += kEscapeShare;
    double sum = 0;
    for (std::uint32_t t = 0; t < shape.tokens; ++t) sum += row[t];
    for (std::uint32_t t = 0; t < shape.tokens; ++t) row[t] /= sum;
  }
  return shares;
}

result<profile_ptr> default_profile(format_id target, mean_source source, format_id mean) {
  if (!is_coded(target, source, mean))
    return fail(status::invalid_argument, "no coding of " + std::string(to_string(target)) +
                                              " numbers with " + std::string(to_string(mean)) +
                                              " means from this predictor");
  const table_shape shape = coding_table_shape(target, source, mean);
  profile_content c{target, source, mean, to_scale_code(source == mean_source::given ? 0.03 : 1.0),
                    {},     {}};
  const std::vector<double> shares = default_token_shares(target, source, mean);
  for (std::uint32_t context = 0; context < shape.contexts; ++context) {
    const auto row = std::span(shares).subspan(std::size_t{context} * kMaxTokens, shape.tokens);
    const auto frequencies = normalise_counts(row, shape.escape);
    c.frequencies.insert(c.frequencies.end(), frequencies.begin(), frequencies.end());
  }
  return profile::make(std::move(c));
}

}  // namespace skv
