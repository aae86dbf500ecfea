#include <skv/calibrate/linear.hpp>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <skv/calibrate/calibrate.hpp>
#include <skv/entropy/table.hpp>
#include <skv/number/value.hpp>
#include <skv/predict/linear.hpp>

#include "calibrate/ridge.hpp"
#include "cpu/parallel.hpp"

namespace skv {
namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;
using Eigen::VectorXd;

enum class pass { deviations, centres, moments, trial, scales, done };

// A deviation's root mean square is 2^10 to 2^11 units, so that 16 of them fit, and rounding to units
// is nothing beside what is left. An innovation reaches 4 to 8 times its own.
constexpr int kUnitBits = 10;
constexpr double kInnovationReach = 4;

// A gain that is worth a matrix: by estimate, in bits per number, to be tried; then of what was coded.
constexpr double kWorthTrying = 0.005, kWorthwhile = 0.002;

// Moments held at once; tensors take turns if there are more.
constexpr double kMomentBytes = 1u << 30;

struct tensor_state {
  tensor_id id;
  std::uint32_t tokens = 0, heads = 0, head_dim = 0;
  std::uint8_t rotary = 0;
  std::vector<std::uint32_t> sources;
  std::vector<double> squares, sums, fine;  // per channel: of deviations, of ulps
  double numbers = 0;
  std::vector<std::uint8_t> units, shifts;
  std::vector<std::int16_t> centres;
  std::vector<moments> fitted;  // per shard
  // What was found.
  bool is_predicted = false;
  ridge_choice choice;
  struct products {
    quantised_product to_hidden, to_output;
  };
  products final, without_fold[kFolds];

  std::uint32_t width() const { return heads * head_dim; }
};

std::uint32_t pattern_at(const std::byte* p, number_format f) {
  std::uint32_t pattern = 0;
  std::memcpy(&pattern, p, f.bytes());
  return pattern;
}

// The spacing of a format's numbers near a value.
double ulp_of(number_format f, double value) {
  const int exponent = value == 0 ? -1000 : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, 1 - static_cast<int>(f.bias())) -
                             static_cast<int>(f.mantissa_bits));
}

}  // namespace

struct linear_fitter::state {
  number_format target, mean;
  mean_source base;
  linear_fit_options options;
  pass now = pass::deviations;
  std::size_t caches = 0, seen = 0;  // in all; in this pass
  std::vector<tensor_state> tensors;
  std::size_t first = 0, end = 0;  // tensors whose moments are being taken
  std::vector<cpu::linear_steps> without_fold;
  std::optional<calibrator> without, with, plain;  // plain: no means at all, if there are no bases
  bool pays = false;
  std::optional<cpu::linear_steps> steps;
  std::vector<linear_fit_report> report;

  result<done> learn_shapes(calibration_cache cache);
  void choose_sources();
  result<done> match(calibration_cache cache) const;
  VectorXd deviations(const tensor_state& t, const calibration_tensor& c, std::uint32_t token) const;
  void add_squares(tensor_state& t, const calibration_tensor& c) const;
  void add_centres(tensor_state& t, const calibration_tensor& c) const;
  void set_units(tensor_state& t) const;
  void set_centres(tensor_state& t) const;
  void add_moments(calibration_cache cache, std::uint32_t longest);
  bool next_tensors();
  void fit(std::size_t index);
  enum class stage { bases, folds, final };
  profile_content content(stage of, int fold) const;
  int fold_of(std::uint64_t position, std::uint32_t longest) const;
  bool make_steps();
  result<done> add_trial(calibration_cache cache, std::uint32_t longest);
  void judge();
};

linear_fitter::linear_fitter(format_id target, mean_source base, format_id mean,
                             linear_fit_options options)
    : state_(new state{}) {
  state_->target = *find_format(static_cast<std::uint8_t>(target));
  state_->mean = *find_format(static_cast<std::uint8_t>(mean));
  state_->base = base;
  state_->options = std::move(options);
}
linear_fitter::~linear_fitter() = default;
linear_fitter::linear_fitter(linear_fitter&&) noexcept = default;
linear_fitter& linear_fitter::operator=(linear_fitter&&) noexcept = default;
const std::vector<linear_fit_report>& linear_fitter::report() const { return state_->report; }

result<done> linear_fitter::state::learn_shapes(calibration_cache cache) {
  for (const calibration_tensor& c : cache) {
    tensor_state t;
    t.id = c.id;
    t.tokens = c.tokens;
    t.heads = c.heads;
    t.head_dim = c.head_dim;
    if (!tensors.empty() && !(tensors.back().id < c.id))
      return fail(status::invalid_argument, to_string(c.id) + ": there is another one");
    if (c.heads % options.shards != 0)
      return fail(status::invalid_argument, to_string(c.id) + ": " + std::to_string(c.heads) +
                                                " heads cannot be divided among " +
                                                std::to_string(options.shards) + " shards");
    if (options.rope && c.id.kind != tensor_kind::v) {
      const rotary& r = *options.rope;
      if (r.first_channel > c.head_dim || r.pairs() > (c.head_dim - r.first_channel) / 2)
        return fail(status::invalid_argument,
                    to_string(c.id) + ": the rotary embedding turns more channels than there are");
      t.rotary = 1;
    }
    for (auto* v : {&t.squares, &t.sums, &t.fine}) v->resize(t.width());
    tensors.push_back(std::move(t));
  }
  choose_sources();
  return done{};
}

// The tensors of the nearest layer below that has as many tokens, unless a chain starts here; and
// those of the layer itself that come first: K for V.
void linear_fitter::state::choose_sources() {
  std::vector<std::uint32_t> layers;
  for (const tensor_state& t : tensors)
    if (layers.empty() || layers.back() != t.id.layer) layers.push_back(t.id.layer);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensor_state& t = tensors[i];
    const auto ordinal =
        static_cast<std::size_t>(std::ranges::find(layers, t.id.layer) - layers.begin());
    const bool restarts =
        options.restart_every != 0 && ordinal % options.restart_every == 0;
    std::optional<std::uint32_t> below;
    for (std::size_t s = 0; s < i; ++s)
      if (tensors[s].id.layer != t.id.layer && tensors[s].tokens >= t.tokens && !restarts)
        below = tensors[s].id.layer;
    for (std::size_t s = 0; s < i; ++s)
      if (tensors[s].id.layer == t.id.layer || (below && tensors[s].id.layer == *below))
        t.sources.push_back(static_cast<std::uint32_t>(s));
  }
}

result<done> linear_fitter::state::match(calibration_cache cache) const {
  bool same = cache.size() == tensors.size();
  for (std::size_t i = 0; same && i < cache.size(); ++i)
    same = cache[i].id == tensors[i].id && cache[i].heads == tensors[i].heads &&
           cache[i].head_dim == tensors[i].head_dim;
  if (!same) return fail(status::invalid_argument, "caches of different models");
  for (const calibration_tensor& c : cache)
    if (base == mean_source::given && c.bases.data == nullptr)
      return fail(status::invalid_argument, to_string(c.id) + ": there is no prediction");
  return done{};
}

// Of a token's row: NaN where a number or its base has no value.
VectorXd linear_fitter::state::deviations(const tensor_state& t, const calibration_tensor& c,
                                          std::uint32_t token) const {
  VectorXd d(t.width());
  for (std::uint32_t i = 0; i < t.width(); ++i) {
    d[i] = to_double(target, pattern_at(c.numbers.at(token, 0) + i * target.bytes(), target));
    if (base == mean_source::given)
      d[i] -= to_double(mean, pattern_at(c.bases.at(token, 0) + i * mean.bytes(), mean));
  }
  return d;
}

namespace {

// Turns a row back to position 0.
void unturn(const rotary& r, std::uint32_t heads, std::uint32_t head_dim, std::uint64_t position,
            VectorXd& row) {
  for (std::uint32_t pair = 0; pair < r.pairs(); ++pair) {
    const std::uint32_t first = r.first_channel + (r.is_interleaved ? 2 * pair : pair);
    const std::uint32_t second = first + (r.is_interleaved ? 1 : r.pairs());
    const double angle =
        static_cast<double>(position * r.frequencies[pair]) * 0x1p-64 * 2 * std::numbers::pi;
    const double c = std::cos(angle), s = std::sin(angle);
    for (std::uint32_t h = 0; h < heads * head_dim; h += head_dim) {
      const double x = row[h + first], y = row[h + second];
      row[h + first] = x * c + y * s;
      row[h + second] = y * c - x * s;
    }
  }
}

}  // namespace

void linear_fitter::state::add_squares(tensor_state& t, const calibration_tensor& c) const {
  for (std::uint32_t token = 0; token < c.tokens; ++token) {
    const VectorXd d = deviations(t, c, token);
    for (std::uint32_t i = 0; i < t.width(); ++i) {
      if (!std::isfinite(d[i])) continue;
      t.squares[i] += d[i] * d[i];
      const double ulp = ulp_of(
          target, to_double(target, pattern_at(c.numbers.at(token, 0) + i * target.bytes(), target)));
      t.fine[i] += ulp * ulp / 12;
    }
  }
  t.numbers += c.tokens;
}

void linear_fitter::state::set_units(tensor_state& t) const {
  std::vector<double> rms(t.width());
  for (std::uint32_t i = 0; i < t.width(); ++i)
    rms[i] = std::sqrt(t.squares[i] / std::max(t.numbers, 1.0));
  if (t.rotary != 0) {
    const rotary& r = *options.rope;
    for (std::uint32_t h = 0; h < t.width(); h += t.head_dim)
      for (std::uint32_t pair = 0; pair < r.pairs(); ++pair) {
        const std::uint32_t one = h + r.first_channel + (r.is_interleaved ? 2 * pair : pair);
        const std::uint32_t other = one + (r.is_interleaved ? 1 : r.pairs());
        rms[one] = rms[other] = std::max(rms[one], rms[other]);
      }
  }
  for (double x : rms) {
    const int exponent = x > 0 ? kUnitBits - std::ilogb(x) : 0;
    t.units.push_back(static_cast<std::uint8_t>(
        std::clamp(exponent + static_cast<int>(kUnitOrigin), 0, 255)));
  }
  t.squares.assign(t.width(), 0);
  t.centres.assign(t.width(), 0);
  t.shifts.assign(t.width(), 0);
}

namespace {
// A row of deviations in units, clipped as the integers are; 0 for what has no value.
void to_units(const std::vector<std::uint8_t>& units, VectorXd& row) {
  for (Eigen::Index i = 0; i < row.size(); ++i) {
    const double d = std::ldexp(
        row[i], units[static_cast<std::size_t>(i)] - static_cast<int>(kUnitOrigin));
    row[i] = std::isfinite(d) ? std::clamp<double>(d, -32767, 32767) : 0;
  }
}
}  // namespace

void linear_fitter::state::add_centres(tensor_state& t, const calibration_tensor& c) const {
  std::uint64_t position = 0;
  for (std::uint32_t token = 0; token < c.tokens; ++token, ++position) {
    VectorXd d = deviations(t, c, token);
    to_units(t.units, d);
    if (t.rotary != 0) unturn(*options.rope, t.heads, t.head_dim, position, d);
    for (std::uint32_t i = 0; i < t.width(); ++i) {
      t.sums[i] += d[i];
      t.squares[i] += d[i] * d[i];
    }
  }
}

void linear_fitter::state::set_centres(tensor_state& t) const {
  for (std::uint32_t i = 0; i < t.width(); ++i) {
    const double mean_deviation = t.sums[i] / std::max(t.numbers, 1.0);
    t.centres[i] =
        static_cast<std::int16_t>(std::lround(std::clamp<double>(mean_deviation, -32767, 32767)));
    const double variance =
        t.squares[i] / std::max(t.numbers, 1.0) - mean_deviation * mean_deviation;
    const double reach = kInnovationReach * std::sqrt(std::max(variance, 0.0)) / kInnovationLimit;
    t.shifts[i] = static_cast<std::uint8_t>(reach > 1 ? std::ceil(std::log2(reach)) : 0);
  }
}

// A fold is every fourth cache; of fewer caches, a quarter of each.
int linear_fitter::state::fold_of(std::uint64_t position, std::uint32_t longest) const {
  if (caches >= kFolds) return static_cast<int>(seen % kFolds);
  return static_cast<int>(position * kFolds / longest);
}

void linear_fitter::state::add_moments(calibration_cache cache, std::uint32_t longest) {
  constexpr std::uint32_t kRows = 64;
  // Innovations of what the tensors in turn are predicted from.
  std::map<std::uint32_t, cpu::innovations> told;
  for (std::size_t i = first; i < end; ++i)
    for (std::uint32_t s : tensors[i].sources) told[s];
  std::vector<std::uint32_t> wanted;
  for (const auto& [s, unused] : told) wanted.push_back(s);
  cpu::parallel_for(wanted.size(), cpu::thread_count(options.threads), [&](std::size_t w) {
    const calibration_tensor& c = cache[wanted[w]];
    const cpu::position_range range{longest - c.tokens, c.tokens};
    told.at(wanted[w]) = steps->innovate(wanted[w], range.list(), c.numbers, c.bases);
  });
  cpu::parallel_for(end - first, cpu::thread_count(options.threads), [&](std::size_t at) {
    tensor_state& t = tensors[first + at];
    const calibration_tensor& c = cache[first + at];
    const std::uint32_t begin = longest - c.tokens, part = t.width() / options.shards;
    for (std::uint32_t row = 0; row < c.tokens; row += kRows) {
      const std::uint32_t rows = std::min(kRows, c.tokens - row);
      MatrixXf y(t.width(), rows);
      for (std::uint32_t r = 0; r < rows; ++r) {
        VectorXd d = deviations(t, c, row + r);
        to_units(t.units, d);
        if (t.rotary != 0) unturn(*options.rope, t.heads, t.head_dim, begin + row + r, d);
        for (std::uint32_t i = 0; i < t.width(); ++i)
          y(i, r) = static_cast<float>(d[i] - t.centres[i]);
      }
      // A block of rows belongs where its first one does.
      const int fold = fold_of(begin + row, longest);
      for (std::uint32_t shard = 0; shard < options.shards; ++shard) {
        moments& m = t.fitted[shard];
        MatrixXf x = MatrixXf::Zero(m.inputs(), rows);
        Eigen::Index at_input = 0;
        for (std::uint32_t s : t.sources) {
          const std::uint32_t width = tensors[s].width(), from = width / options.shards;
          const std::uint32_t source_begin = longest - cache[s].tokens;
          for (std::uint32_t r = 0; r < rows; ++r) {
            if (begin + row + r < source_begin) continue;
            const std::size_t token = begin + row + r - source_begin;
            const std::int8_t* const values = told.at(s).data() + token * width + shard * from;
            for (std::uint32_t i = 0; i < from; ++i) x(at_input + i, r) = values[i];
          }
          at_input += from;
        }
        m.add(x, y.middleRows(shard * part, part), fold);
      }
    }
  });
}

// Lets the next tensors' moments be taken, as many as there is memory for.
bool linear_fitter::state::next_tensors() {
  first = end;
  double bytes = 0;
  for (; end < tensors.size(); ++end) {
    tensor_state& t = tensors[end];
    Eigen::Index inputs = 0;
    for (std::uint32_t s : t.sources) inputs += tensors[s].width() / options.shards;
    const Eigen::Index outputs = t.width() / options.shards;
    bytes += options.shards * moments::bytes(inputs, outputs);
    if (end > first && bytes > kMomentBytes) break;
    t.fitted.assign(options.shards, moments(inputs, outputs));
  }
  return first < end;
}

void linear_fitter::state::fit(std::size_t index) {
  tensor_state& t = tensors[index];
  // In units, as the moments are.
  VectorXd fine(t.width()), centre(t.width());
  for (std::uint32_t i = 0; i < t.width(); ++i) {
    const double unit = std::ldexp(1.0, t.units[i] - static_cast<int>(kUnitOrigin));
    fine[i] = t.fine[i] / std::max(t.numbers, 1.0) * unit * unit;
    centre[i] = t.centres[i];
  }
  const bool has_inputs = t.fitted.front().inputs() != 0;
  const std::uint32_t part = t.width() / options.shards;
  double left_alone = 0, centred = 0;
  for (std::uint32_t shard = 0; shard < options.shards; ++shard) {
    const VectorXd f = fine.segment(shard * part, part), c = centre.segment(shard * part, part);
    left_alone += t.fitted[shard].bits_uncentred(f, c);
    centred += t.fitted[shard].bits_centred(f);
  }
  if (has_inputs) t.choice = choose_ridge(t.fitted, fine);
  const double n = t.width();
  const double with_sources = has_inputs ? t.choice.bits : centred;
  const bool sources_pay = has_inputs && with_sources + kWorthTrying * n < std::min(left_alone, centred);
  t.is_predicted = sources_pay || centred + kWorthTrying * n < left_alone;
  if (!sources_pay) t.sources.clear();
  report[index] = {t.id, t.sources.size(), t.is_predicted, sources_pay ? t.choice.lambda : 0, 0, 0};
  for (std::uint32_t shard = 0; shard < options.shards && sources_pay; ++shard) {
    const auto add = [&](tensor_state::products& p, int fold) {
      t.fitted[shard].quantise(t.choice.lambda, options.rank, fine.segment(shard * part, part),
                               fold, p.to_hidden, p.to_output);
    };
    for (int i = 0; i < kFolds; ++i) add(t.without_fold[i], i);
    add(t.final, kNoFold);
  }
  t.fitted.clear();
}

// The model: no tensor predicted; as fitted to all but a fold; or to all. Without scales.
profile_content linear_fitter::state::content(stage of, int fold) const {
  profile_content c = (*default_profile(target.id, mean_source::given, mean.id))->content();
  c.default_code = 0;
  linear_model m;
  m.base = base;
  m.shards = options.shards;
  if (options.rope) m.rotaries.push_back(*options.rope);
  for (const tensor_state& t : tensors) {
    c.scales.push_back({t.id, t.heads, t.head_dim, std::vector<scale_code>(t.width())});
    linear_tensor l;
    l.rotary = t.rotary;
    l.units = t.units;
    l.centres = t.centres;
    l.shifts = t.shifts;
    if (of != stage::bases) {
      l.is_predicted = t.is_predicted;
      l.sources = t.sources;
      if (!t.sources.empty()) {
        const auto& p = of == stage::final ? t.final : t.without_fold[fold];
        l.rank = options.rank;
        if (l.rank != 0) l.to_hidden = p.to_hidden.view();
        l.to_output = p.to_output.view();
      }
    }
    m.tensors.push_back(std::move(l));
  }
  c.linear = std::move(m);
  return c;
}

// Of what is fitted to all but each fold. False if nothing is predicted.
bool linear_fitter::state::make_steps() {
  without_fold.clear();
  if (std::ranges::none_of(tensors, &tensor_state::is_predicted)) return false;
  for (int fold = 0; fold < kFolds; ++fold) {
    auto p = profile::make(content(stage::folds, fold));
    if (!p) return false;
    without_fold.emplace_back(*std::move(p));
  }
  return true;
}

result<done> linear_fitter::add(calibration_cache cache) {
  state& s = *state_;
  if (s.tensors.empty())
    if (auto ok = s.learn_shapes(cache); !ok) return ok;
  if (auto ok = s.match(cache); !ok) return ok;
  std::uint32_t longest = 0;
  for (const calibration_tensor& c : cache) longest = std::max(longest, c.tokens);
  if (s.now == pass::deviations) ++s.caches;
  if (s.now == pass::moments)
    s.add_moments(cache, longest);
  else if (s.now == pass::trial || s.now == pass::scales) {
    if (auto ok = s.add_trial(cache, longest); !ok) return ok;
  } else
    cpu::parallel_for(cache.size(), cpu::thread_count(s.options.threads), [&](std::size_t i) {
      s.now == pass::deviations ? s.add_squares(s.tensors[i], cache[i])
                                : s.add_centres(s.tensors[i], cache[i]);
    });
  ++s.seen;
  return done{};
}

bool linear_fitter::next_pass() {
  state& s = *state_;
  s.seen = 0;
  switch (s.now) {
    case pass::deviations:
      for (tensor_state& t : s.tensors) s.set_units(t);
      s.now = pass::centres;
      return true;
    case pass::centres: {
      for (tensor_state& t : s.tensors) s.set_centres(t);
      auto p = profile::make(s.content(state::stage::bases, kNoFold));
      if (!p) break;
      s.steps.emplace(*p);
      s.now = pass::moments;
      return s.next_tensors();
    }
    case pass::moments:
      s.report.resize(s.tensors.size());
      cpu::parallel_for(s.end - s.first, cpu::thread_count(s.options.threads),
                        [&](std::size_t i) { s.fit(s.first + i); });
      if (s.next_tensors()) return true;
      if (!s.make_steps()) break;
      s.without.emplace(s.target.id, mean_source::given, s.mean.id);
      s.with.emplace(s.target.id, mean_source::given, s.mean.id);
      if (s.base == mean_source::none)
        s.plain.emplace(s.target.id, mean_source::none, s.mean.id);
      s.now = pass::trial;
      return true;
    case pass::trial: {
      const bool more = s.without->next_pass();
      s.with->next_pass();
      if (s.plain) s.plain->next_pass();
      if (more) return true;
      s.judge();
      if (!s.pays || !s.make_steps()) break;
      s.without.reset();
      s.plain.reset();
      s.with.emplace(s.target.id, mean_source::given, s.mean.id);
      s.now = pass::scales;
      return true;
    }
    case pass::scales:
      if (s.with->next_pass()) return true;
      break;
    case pass::done: break;
  }
  s.now = pass::done;
  return false;
}

result<profile_ptr> linear_fitter::finish() const {
  const state& s = *state_;
  if (s.tensors.empty()) return fail(status::invalid_argument, "calibration saw no K or V tensors");
  if (!s.pays) return profile_ptr();
  const auto scales = s.with->finish();
  if (!scales) return scales;
  profile_content c = (*scales)->content();
  c.linear = s.content(state::stage::final, kNoFold).linear;
  return profile::make(std::move(c));
}

// Every number is coded with what is fitted to the other folds, so that scales and tables see what a
// new cache will show.
result<done> linear_fitter::state::add_trial(calibration_cache cache, std::uint32_t longest) {
  const std::vector<std::byte> zeros(std::size_t{kMaxTileElements} * mean.bytes());
  for (std::uint32_t from = 0, to = 0; from < longest; from = to) {
    const int fold = fold_of(from, longest);
    while (to < longest && fold_of(to, longest) == fold) ++to;
    auto ok = for_each_linear_mean(
        without_fold[static_cast<std::size_t>(fold)], cache, options.threads,
        [&](const calibration_tensor& c, row_view<const std::byte> means) -> result<done> {
          const std::uint32_t begin = longest - c.tokens;
          if (to <= begin) return done{};
          const std::uint32_t first_row = std::max(from, begin) - begin;
          const auto add = [&](calibrator& k, row_view<const std::byte> m) -> result<done> {
            const row_view<const std::byte> none{zeros.data(), 0};
            return k.add(c.id, to - begin - first_row, c.heads, c.head_dim,
                         {c.numbers.at(first_row, 0), c.numbers.token_stride_bytes},
                         m.data == nullptr
                             ? none
                             : row_view<const std::byte>{m.at(first_row, 0), m.token_stride_bytes});
          };
          if (without)
            if (auto added = add(*without, c.bases); !added) return added;
          if (plain)
            if (auto added = add(*plain, {}); !added) return added;
          return add(*with, means);
        });
    if (!ok) return ok;
  }
  return done{};
}

// Leaves out what did not pay, and everything if the rest does not.
void linear_fitter::state::judge() {
  const auto before = without->bits(), after = with->bits();
  const auto unpredicted = plain ? plain->bits() : before;
  double best_without = 0, best_with = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensor_state& t = tensors[i];
    const auto at = before.find(t.id);
    if (at == before.end()) {
      t.is_predicted = false;
    } else {
      report[i].bits_without = at->second;
      report[i].bits_with = after.at(t.id);
      t.is_predicted = t.is_predicted &&
                       after.at(t.id) + kWorthwhile < (1 - kWorthwhile) * at->second;
      best_without += unpredicted.at(t.id) * t.width();
      best_with += (t.is_predicted ? after.at(t.id) : at->second) * t.width();
    }
    if (!t.is_predicted) t.sources.clear();
    report[i].is_predicted = t.is_predicted;
    report[i].sources = t.sources.size();
  }
  pays = std::ranges::any_of(tensors, &tensor_state::is_predicted) && best_with < best_without;
}

result<done> for_each_linear_mean(
    const cpu::linear_steps& steps, calibration_cache cache, unsigned threads,
    const std::function<result<done>(const calibration_tensor&, row_view<const std::byte>)>& f) {
  std::uint32_t longest = 0;
  std::vector<std::size_t> places;
  for (const calibration_tensor& c : cache) {
    longest = std::max(longest, c.tokens);
    const auto index = steps.find(c.id, c.heads, c.head_dim);
    if (!index) return index.failure();
    places.push_back(*index);
  }
  const auto range_of = [&](const calibration_tensor& c) {
    return cpu::position_range{longest - c.tokens, c.tokens};
  };
  cpu::linear_chain chain(steps);
  std::vector<cpu::innovations> told(cache.size());
  cpu::parallel_for(cache.size(), cpu::thread_count(threads), [&](std::size_t i) {
    if (steps.last_use(places[i]) > places[i])
      told[i] = steps.innovate(places[i], range_of(cache[i]).list(), cache[i].numbers,
                               cache[i].bases);
  });
  for (std::size_t i = 0; i < cache.size(); ++i)
    if (!told[i].empty()) chain.keep(places[i], range_of(cache[i]), std::move(told[i]));
  std::vector<result<done>> outcomes(cache.size(), done{});
  cpu::parallel_for(cache.size(), cpu::thread_count(threads), [&](std::size_t i) {
    std::vector<std::byte> room;
    outcomes[i] = f(cache[i], chain.means(places[i], range_of(cache[i]), cache[i].bases, room));
  });
  for (const result<done>& outcome : outcomes)
    if (!outcome) return outcome;
  return done{};
}

}  // namespace skv
