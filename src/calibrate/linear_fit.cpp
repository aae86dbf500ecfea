#include <algorithm>
#include <cmath>
#include <skv/entropy/table.hpp>
#include <skv/predict/linear.hpp>

#include "calibrate/linear_state.hpp"
#include "cpu/parallel.hpp"

namespace skv {
namespace {

using Eigen::VectorXd;

// Gains that are worth a matrix, in bits per number: an estimate, to be tried; then what was coded.
constexpr double kWorthTrying = 0.005, kWorthwhile = 0.002;

}  // namespace

void linear_fitter::state::fit(std::size_t index) {
  tensor_state& t = tensors[index];
  // In units, as the moments are.
  VectorXd fine(t.width()), centre(t.width());
  for (std::uint32_t i = 0; i < t.width(); ++i) {
    const double unit = std::ldexp(1.0, t.units[i] - static_cast<int>(kUnitOrigin));
    fine[i] = t.fine[i] / std::max(t.numbers, 1.0) * unit * unit;
    centre[i] = t.centres[i];
  }
  const std::uint32_t part = t.width() / options.shards;
  double left_alone = 0, centred = 0;
  for (std::uint32_t shard = 0; shard < options.shards; ++shard) {
    const VectorXd f = fine.segment(shard * part, part), c = centre.segment(shard * part, part);
    left_alone += t.fitted[shard].bits_uncentred(f, c);
    centred += t.fitted[shard].bits_centred(f);
  }
  const double n = t.width();
  select_sources(t, fine, std::min(left_alone, centred));
  const bool has_inputs = t.fitted.front().inputs() != 0;
  const double with_sources = has_inputs ? t.choice.bits : centred;
  const bool sources_pay =
      has_inputs && with_sources + kWorthTrying * n < std::min(left_alone, centred);
  t.is_predicted = sources_pay || centred + kWorthTrying * n < left_alone;
  if (!sources_pay) t.sources.clear();
  report[index] = {t.id, t.is_predicted, sources_pay ? t.choice.lambda : 0};
  set_sources(report[index], t);
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

// Tensors before are sources; outside rows become so group by group, the best first, as long as one
// pays: inputs that tell nothing new cost what ridge cannot take back. `bits` is what the tensor
// costs without any.
void linear_fitter::state::select_sources(tensor_state& t, const VectorXd& fine,
                                          double bits) const {
  struct group {
    std::pair<outside_kind, std::uint32_t> of;  // layer of the draft
    bool is_chosen = false;
  };
  std::vector<group> groups;
  const auto group_of = [&](std::uint32_t s) {
    const linear_outside& o = outside[s - tensors.size()].of;
    return std::pair(o.kind, o.id.layer);
  };
  for (const std::uint32_t s : t.sources)
    if (s >= tensors.size() && (groups.empty() || groups.back().of != group_of(s)))
      groups.push_back({group_of(s)});
  const auto is_chosen = [&](std::uint32_t s) {
    return s < tensors.size() || std::ranges::find(groups, group_of(s), &group::of)->is_chosen;
  };
  const auto chosen_moments = [&] {
    std::vector<Eigen::Index> inputs;
    Eigen::Index begin = 0;
    for (const std::uint32_t s : t.sources) {
      for (Eigen::Index i = 0; i < inputs_from(s) && is_chosen(s); ++i) inputs.push_back(begin + i);
      begin += inputs_from(s);
    }
    std::vector<moments> chosen;
    for (const moments& m : t.fitted) chosen.push_back(m.of_inputs(inputs));
    return chosen;
  };

  std::vector<moments> best = chosen_moments();
  t.choice = {0, bits};
  if (best.front().inputs() != 0) t.choice = choose_ridge(best, fine);
  for (bool found = true; found;) {
    found = false;
    group* added = nullptr;
    double least = std::min(t.choice.bits, bits) - kWorthTrying * t.width();
    for (group& g : groups) {
      if (g.is_chosen) continue;
      g.is_chosen = true;
      auto tried = chosen_moments();
      const ridge_choice choice =
          t.choice.lambda > 0
              ? ridge_choice{t.choice.lambda, ridge_bits(tried, fine, t.choice.lambda)}
              : choose_ridge(tried, fine);
      if (choice.bits < least) {
        least = choice.bits;
        best = std::move(tried);
        added = &g;
      }
      g.is_chosen = false;
    }
    if (added == nullptr) break;
    found = added->is_chosen = true;
    t.choice = choose_ridge(best, fine);
  }
  t.fitted = std::move(best);
  std::erase_if(t.sources, [&](std::uint32_t s) { return !is_chosen(s); });
}

void linear_fitter::state::set_sources(linear_fit_report& r, const tensor_state& t) const {
  r.sources = t.sources.size();
  const auto uses = [&](outside_kind kind) {
    return std::ranges::any_of(t.sources, [&](std::uint32_t s) {
      return s >= tensors.size() && outside[s - tensors.size()].of.kind == kind;
    });
  };
  r.uses_embedding = uses(outside_kind::embedding);
  r.uses_draft = uses(outside_kind::draft);
}

// The model: no tensor predicted; as fitted to all but a fold; or to all. Without scales.
profile_content linear_fitter::state::content(stage of, int fold) const {
  profile_content c = (*default_profile(target.id, mean_source::given, mean.id))->content();
  c.default_code = 0;
  linear_model m;
  m.base = base;
  m.shards = options.shards;
  m.rotaries = rotaries;
  // Outside rows that nothing is predicted from stay away; the others close up.
  std::vector<std::uint32_t> places(outside.size());
  for (std::uint32_t o = 0; o < outside.size(); ++o) {
    const auto number = static_cast<std::uint32_t>(tensors.size()) + o;
    const bool is_used =
        of == stage::bases || std::ranges::any_of(tensors, [&](const tensor_state& t) {
          return std::ranges::find(t.sources, number) != t.sources.end();
        });
    if (!is_used) continue;
    places[o] = static_cast<std::uint32_t>(tensors.size() + m.outside.size());
    linear_outside l = outside[o].of;
    l.rotary = outside[o].rotary;
    l.heads = outside[o].heads;
    l.head_dim = outside[o].head_dim;
    l.units = outside[o].units;
    l.centres = outside[o].centres;
    l.shifts = outside[o].shifts;
    m.outside.push_back(std::move(l));
  }
  for (const tensor_state& t : tensors) {
    c.scales.push_back({t.id, t.heads, t.head_dim, std::vector<scale_code>(t.width())});
    linear_tensor l;
    l.rotary = t.rotary;
    l.units = t.units;
    l.centres = t.centres;
    l.shifts = t.shifts;
    if (of != stage::bases) {
      l.is_predicted = t.is_predicted;
      for (const std::uint32_t s : t.sources)
        l.sources.push_back(s < tensors.size() ? s : places[s - tensors.size()]);
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

// Every number is coded with what is fitted to the other folds, so that scales and tables see what
// a new cache will show.
result<done> linear_fitter::state::add_trial(calibration_cache cache, const cpu::outside_inputs& in,
                                             std::uint32_t longest) {
  const std::vector<std::byte> zeros(std::size_t{kMaxTileElements} * mean.bytes());
  for (std::uint32_t from = 0, to = 0; from < longest; from = to) {
    const int fold = fold_of(from, longest);
    while (to < longest && fold_of(to, longest) == fold) ++to;
    const cpu::linear_steps& steps_of_fold = without_fold[static_cast<std::size_t>(fold)];
    const auto rows = cpu::outside_rows::of(steps_of_fold, in, cpu::position_range{0, longest});
    if (!rows) return rows.failure();
    auto ok = for_each_linear_mean(
        *rows, cache, options.threads,
        [&](const calibration_tensor& c, row_view<const std::byte> means) -> result<done> {
          const std::uint32_t begin = longest - c.tokens;
          if (to <= begin) return done{};
          const std::uint32_t first_row = std::max(from, begin) - begin;
          const auto add = [&](calibrator& k, row_view<const std::byte> m) -> result<done> {
            const row_view<const std::byte> none{zeros.data(), 0};
            return k.add(c.id, to - begin - first_row, c.heads, c.head_dim,
                         c.numbers.from(first_row), m.data == nullptr ? none : m.from(first_row));
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
      t.is_predicted =
          t.is_predicted && after.at(t.id) + kWorthwhile < (1 - kWorthwhile) * at->second;
      best_without += unpredicted.at(t.id) * t.width();
      best_with += (t.is_predicted ? after.at(t.id) : at->second) * t.width();
    }
    if (!t.is_predicted) t.sources.clear();
    report[i].is_predicted = t.is_predicted;
    set_sources(report[i], t);
  }
  pays = std::ranges::any_of(tensors, &tensor_state::is_predicted) && best_with < best_without;
}

result<done> for_each_linear_mean(
    const cpu::outside_rows& outside, calibration_cache cache, unsigned threads,
    const std::function<result<done>(const calibration_tensor&, row_view<const std::byte>)>& f) {
  const cpu::linear_steps& steps = outside.steps();
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
  cpu::linear_chain chain(steps, &outside);
  std::vector<cpu::innovations> told(cache.size());
  cpu::parallel_for(cache.size(), cpu::thread_count(threads), [&](std::size_t i) {
    if (steps.last_use(places[i]) > places[i])
      told[i] =
          steps.innovate(places[i], range_of(cache[i]).list(), cache[i].numbers, cache[i].bases);
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
