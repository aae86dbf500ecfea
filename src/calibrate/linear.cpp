#include <skv/calibrate/linear.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <skv/number/value.hpp>
#include <skv/predict/embedding.hpp>

#include "calibrate/linear_state.hpp"
#include "cpu/parallel.hpp"

namespace skv {
namespace {

using Eigen::MatrixXf;
using Eigen::VectorXd;

// Moments held at once; tensors take turns if there are more.
constexpr double kMomentBytes = 1u << 30;

std::uint32_t pattern_at(const std::byte* p, number_format f) {
  std::uint32_t pattern = 0;
  std::memcpy(&pattern, p, f.bytes());
  return pattern;
}

// The spacing of a format's numbers near a value.
double ulp_of(number_format f, double value) {
  const int exponent = value == 0 ? -1000 : std::ilogb(value);
  return std::ldexp(
      1.0, std::max(exponent, 1 - static_cast<int>(f.bias())) - static_cast<int>(f.mantissa_bits));
}

// NaN for what has no value.
VectorXd values_of(number_format f, const std::byte* numbers, std::uint32_t width) {
  VectorXd row(width);
  for (std::uint32_t i = 0; i < width; ++i)
    row[i] = to_double(f, pattern_at(numbers + i * f.bytes(), f));
  return row;
}

VectorXd normalised(const cpu::embedding_table& e, std::uint32_t id) {
  if (id >= e.rows()) return VectorXd::Zero(e.width());
  std::vector<std::uint32_t> patterns(e.width());
  std::vector<std::int32_t> row(e.width());
  for (std::uint32_t i = 0; i < e.width(); ++i)
    patterns[i] = pattern_at(e.row(id) + i * e.format().bytes(), e.format());
  normalise(e.format(), patterns, row);
  return Eigen::Map<const Eigen::VectorXi>(row.data(), e.width()).cast<double>();
}

// Of a token's row: NaN where a number or its base has no value.
VectorXd deviations(number_format target, number_format mean, bool has_bases,
                    const calibration_tensor& c, std::uint32_t token) {
  const std::uint32_t width = c.heads * c.head_dim;
  VectorXd d = values_of(target, c.numbers.at(token, 0), width);
  if (has_bases) d -= values_of(mean, c.bases.at(token, 0), width);
  return d;
}

}  // namespace

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

// Squares in the first pass, sums in the second, of tensors and outside rows.
void linear_fitter::state::add_statistics(calibration_cache cache, const cpu::outside_inputs& in,
                                          std::uint32_t longest) {
  const auto add = [&](source_fit& s, const VectorXd& row, std::uint64_t position) {
    if (now == pass::deviations)
      s.add_squares(row);
    else
      s.add_sums(s.in_units(row, turns_of(s), position));
  };
  const auto add_tensor = [&](tensor_state& t, const calibration_tensor& c) {
    for (std::uint32_t token = 0; token < c.tokens; ++token) {
      const VectorXd row = deviations(target, mean, base == mean_source::given, c, token);
      add(t, row, longest - c.tokens + token);
      if (now != pass::deviations) continue;
      ++t.numbers;
      const VectorXd values = values_of(target, c.numbers.at(token, 0), t.width());
      for (std::uint32_t i = 0; i < t.width(); ++i)
        if (std::isfinite(row[i])) {
          const double ulp = ulp_of(target, values[i]);
          t.fine[i] += ulp * ulp / 12;
        }
    }
  };
  const auto add_outside = [&](outside_state& o, std::size_t index) {
    if (o.of.kind == outside_kind::embedding) {
      for (const std::uint32_t id : in.ids) add(o, normalised(*in.embedding, id), 0);
      return;
    }
    const cpu::draft_tensor& d = in.draft[index - (in.embedding != nullptr)];
    const number_format format = *find_format(o.of.format);
    for (std::uint32_t token = 0; token < d.tokens; ++token)
      add(o, values_of(format, d.numbers.at(token, 0), o.width()), longest - d.tokens + token);
  };
  cpu::parallel_for(cache.size() + outside.size(), cpu::thread_count(options.threads),
                    [&](std::size_t i) {
                      i < cache.size() ? add_tensor(tensors[i], cache[i])
                                       : add_outside(outside[i - cache.size()], i - cache.size());
                    });
}

// A fold is every fourth cache; of fewer caches, a quarter of each.
int linear_fitter::state::fold_of(std::uint64_t position, std::uint32_t longest) const {
  if (caches >= kFolds) return static_cast<int>(seen % kFolds);
  return static_cast<int>(position * kFolds / longest);
}

result<done> linear_fitter::state::add_moments(calibration_cache cache,
                                               const cpu::outside_inputs& in,
                                               std::uint32_t longest) {
  constexpr std::uint32_t kRows = 64;
  const auto rows_outside = cpu::outside_rows::of(*steps, in, cpu::position_range{0, longest});
  if (!rows_outside) return rows_outside.failure();
  // Innovations of what the tensors in turn are predicted from.
  std::map<std::uint32_t, cpu::innovations> told;
  for (std::size_t i = first; i < end; ++i)
    for (std::uint32_t s : tensors[i].sources) told[s];
  std::vector<std::uint32_t> wanted;
  for (const auto& [s, unused] : told) wanted.push_back(s);
  const auto tokens_of = [&](std::uint32_t s) {
    return s < cache.size() ? cache[s].tokens : longest;
  };
  cpu::parallel_for(wanted.size(), cpu::thread_count(options.threads), [&](std::size_t w) {
    const std::uint32_t s = wanted[w];
    const cpu::position_range range{longest - tokens_of(s), tokens_of(s)};
    told.at(s) = s < cache.size()
                     ? steps->innovate(s, range.list(), cache[s].numbers, cache[s].bases)
                     : rows_outside->at(s - cache.size(), 0, longest);
  });
  cpu::parallel_for(end - first, cpu::thread_count(options.threads), [&](std::size_t at) {
    tensor_state& t = tensors[first + at];
    const calibration_tensor& c = cache[first + at];
    const std::uint32_t begin = longest - c.tokens, part = t.width() / options.shards;
    for (std::uint32_t row = 0; row < c.tokens; row += kRows) {
      const std::uint32_t rows = std::min(kRows, c.tokens - row);
      MatrixXf y(t.width(), rows);
      for (std::uint32_t r = 0; r < rows; ++r) {
        const VectorXd d =
            t.in_units(deviations(target, mean, base == mean_source::given, c, row + r),
                       turns_of(t), begin + row + r);
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
          const std::uint32_t width = source(s).width(), from = inputs_from(s);
          const std::uint32_t first_channel = s < cache.size() ? shard * from : 0;
          const std::uint32_t source_begin = longest - tokens_of(s);
          for (std::uint32_t r = 0; r < rows; ++r) {
            if (begin + row + r < source_begin) continue;
            const std::size_t token = begin + row + r - source_begin;
            const std::int8_t* const values = told.at(s).data() + token * width + first_channel;
            for (std::uint32_t i = 0; i < from; ++i) x(at_input + i, r) = values[i];
          }
          at_input += from;
        }
        m.add(x, y.middleRows(shard * part, part), fold);
      }
    }
  });
  return done{};
}

// Lets the next tensors' moments be taken, as many as there is memory for.
bool linear_fitter::state::next_tensors() {
  first = end;
  double bytes = 0;
  for (; end < tensors.size(); ++end) {
    tensor_state& t = tensors[end];
    Eigen::Index inputs = 0;
    for (std::uint32_t s : t.sources) inputs += inputs_from(s);
    const Eigen::Index outputs = t.width() / options.shards;
    bytes += options.shards * moments::bytes(inputs, outputs);
    if (end > first && bytes > kMomentBytes) break;
    t.fitted.assign(options.shards, moments(inputs, outputs));
  }
  return first < end;
}

result<done> linear_fitter::add(calibration_cache cache, const cpu::outside_inputs& outside) {
  state& s = *state_;
  if (s.tensors.empty())
    if (auto ok = s.learn_shapes(cache, outside); !ok) return ok;
  if (auto ok = s.match(cache, outside); !ok) return ok;
  std::uint32_t longest = 0;
  for (const calibration_tensor& c : cache) longest = std::max(longest, c.tokens);
  if (s.now == pass::deviations) ++s.caches;
  result<done> added = done{};
  switch (s.now) {
    case pass::moments: added = s.add_moments(cache, outside, longest); break;
    case pass::trial:
    case pass::scales: added = s.add_trial(cache, outside, longest); break;
    default: s.add_statistics(cache, outside, longest);
  }
  ++s.seen;
  return added;
}

bool linear_fitter::next_pass() {
  state& s = *state_;
  s.seen = 0;
  const auto for_each_source = [&](const auto& f) {
    for (tensor_state& t : s.tensors) f(t);
    for (outside_state& o : s.outside) f(o);
  };
  switch (s.now) {
    case pass::deviations:
      for_each_source([&](source_fit& f) { f.set_units(s.turns_of(f)); });
      s.now = pass::centres;
      return true;
    case pass::centres: {
      for_each_source([](source_fit& f) { f.set_centres(); });
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
      if (s.base == mean_source::none) s.plain.emplace(s.target.id, mean_source::none, s.mean.id);
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

}  // namespace skv
