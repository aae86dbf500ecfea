#include <skv/calibrate/calibrate.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <mutex>
#include <skv/cpu/codec.hpp>
#include <skv/entropy/table.hpp>
#include <skv/number/value.hpp>
#include <skv/predict/list.hpp>
#include <skv/tile/measure_tile.hpp>

#include "cpu/instruction_sets.hpp"

namespace skv {
namespace {

// Scales start as root mean squares. Tables are counted with them; then every channel moves to the
// neighbouring code that its numbers cost least under; and again.
enum class pass {
  deviations,
  tokens,
  neighbours,
  tokens_again,
  neighbours_again,
  last_tokens,
  done
};
static_assert(static_cast<unsigned>(pass::done) == calibrator::kPasses);

constexpr std::array<int, 5> kNeighbours = {-2, -1, 0, 1, 2};

// Pseudo-counts of the default distribution in every context: what calibration never saw keeps a
// sensible code.
constexpr double kPriorWeight = 8;

struct tensor_state {
  std::uint32_t heads = 0, head_dim = 0;
  std::vector<double> squares;  // per channel
  std::vector<double> numbers;
  std::vector<scale_code> codes;
  std::uint64_t tokens = 0;
  std::uint64_t cost = 0;  // of all numbers, as of the last choice of codes
  std::array<std::vector<std::uint64_t>, kNeighbours.size()> costs;  // per channel

  std::uint32_t width() const { return heads * head_dim; }
};

std::uint32_t pattern_at(const std::byte* p, number_format f) {
  std::uint32_t pattern = 0;
  std::memcpy(&pattern, p, f.bytes());
  return pattern;
}

scale_code moved(scale_code code, int by) {
  return static_cast<scale_code>(std::clamp(code + by, 0, 255));
}

}  // namespace

struct calibrator::state {
  number_format target, mean;
  mean_source source;
  table_shape shape;
  std::vector<double> prior;  // [contexts][kMaxTokens]
  cpu::tile_codec coding;
  pass now = pass::deviations;
  std::mutex adding;                          // held to look up a tensor and to add to the counts
  std::map<tensor_id, tensor_state> tensors;  // each is used by one thread at a time
  std::vector<std::uint64_t> counts;          // [contexts][kMaxTokens]
  std::vector<std::uint32_t> token_costs;     // the same

  void add_deviations(tensor_state& t, tile_shape tile, row_view<const std::byte> numbers,
                      row_view<const std::byte> means) const;
  tensor_state& tensor(tensor_id id);
  void add_counts(const std::vector<std::uint64_t>& more);
  std::vector<std::uint16_t> frequencies(std::uint32_t context) const;
  void price_tokens();
};

calibrator::calibrator(format_id target, mean_source source, format_id mean) : state_(new state{}) {
  state& s = *state_;
  s.target = *find_format(static_cast<std::uint8_t>(target));
  s.mean = *find_format(static_cast<std::uint8_t>(mean));
  s.source = source;
  s.shape = coding_table_shape(target, source, mean);
  s.prior = default_token_shares(target, source, mean);
  s.coding = cpu::codec_for(cpu::best_isa(), {target, source, mean});
  s.counts.resize(s.prior.size());
  s.token_costs.resize(s.prior.size());
}
calibrator::~calibrator() = default;
calibrator::calibrator(calibrator&&) noexcept = default;
calibrator& calibrator::operator=(calibrator&&) noexcept = default;

void calibrator::state::add_deviations(tensor_state& t, tile_shape tile,
                                       row_view<const std::byte> numbers,
                                       row_view<const std::byte> means) const {
  for (std::uint32_t token = 0; token < tile.tokens; ++token)
    for (std::uint32_t i = 0; i < tile.width; ++i) {
      double deviation =
          to_double(target, pattern_at(numbers.at(token, 0) + i * target.bytes(), target));
      if (source == mean_source::given)
        deviation -= to_double(mean, pattern_at(means.at(token, 0) + i * mean.bytes(), mean));
      else if (source == mean_source::previous_token && token > 0)
        deviation -=
            to_double(target, pattern_at(numbers.at(token - 1, 0) + i * target.bytes(), target));
      if (!std::isfinite(deviation)) continue;
      t.squares[i] += deviation * deviation;
      t.numbers[i] += 1;
    }
}

tensor_state& calibrator::state::tensor(tensor_id id) {
  const std::lock_guard lock(adding);
  return tensors[id];
}

void calibrator::state::add_counts(const std::vector<std::uint64_t>& more) {
  const std::lock_guard lock(adding);
  std::ranges::transform(counts, more, counts.begin(), std::plus());
}

std::vector<std::uint16_t> calibrator::state::frequencies(std::uint32_t context) const {
  std::vector<double> smoothed(shape.tokens);
  for (std::uint32_t t = 0; t < shape.tokens; ++t) {
    const std::size_t at = std::size_t{context} * kMaxTokens + t;
    smoothed[t] = static_cast<double>(counts[at]) + kPriorWeight * prior[at];
  }
  return normalise_counts(smoothed, shape.escape);
}

void calibrator::state::price_tokens() {
  const auto bits = [](double share) {
    return static_cast<std::uint32_t>(std::lround(std::log2(kSlots / share) * kCostOfBit));
  };
  for (std::uint32_t c = 0; c < shape.contexts; ++c) {
    const std::vector<std::uint16_t> f = frequencies(c);
    const std::uint32_t escaped = bits(f[shape.escape]) + kEscapeBits * kCostOfBit;
    for (std::uint32_t t = 0; t < shape.tokens; ++t)
      token_costs[std::size_t{c} * kMaxTokens + t] = f[t] != 0 ? bits(f[t]) : escaped;
  }
}

result<done> calibrator::add(tensor_id id, std::uint32_t tokens, std::uint32_t heads,
                             std::uint32_t head_dim, row_view<const std::byte> numbers,
                             row_view<const std::byte> means) {
  state& s = *state_;
  if (heads == 0 || head_dim == 0 || std::uint64_t{heads} * head_dim > kMaxTileElements)
    return fail(status::invalid_argument, to_string(id) + ": impossible shape");
  if (s.source == mean_source::given && means.data == nullptr)
    return fail(status::invalid_argument, to_string(id) + ": there is no prediction");
  tensor_state& t = s.tensor(id);
  if (t.heads == 0) {
    t.heads = heads;
    t.head_dim = head_dim;
    t.squares.resize(t.width());
    t.numbers.resize(t.width());
    t.codes.resize(t.width());
  }
  if (t.heads != heads || t.head_dim != head_dim)
    return fail(status::invalid_argument, to_string(id) + ": " + std::to_string(heads) + " x " +
                                              std::to_string(head_dim) + " channels, but " +
                                              std::to_string(t.heads) + " x " +
                                              std::to_string(t.head_dim) + " in another cache");
  const tile_shape tile{tokens, t.width()};
  std::vector<std::uint64_t> counts(s.counts.size());
  const auto measure = [&](const std::vector<scale_code>& codes, std::uint64_t* costs) {
    s.coding.measure({tile, numbers, means, reinterpret_cast<const std::byte*>(codes.data()),
                      counts.data(), s.token_costs.data(), costs});
  };
  switch (s.now) {
    case pass::deviations:
      s.add_deviations(t, tile, numbers, means);
      t.tokens += tokens;
      break;
    case pass::tokens:
    case pass::tokens_again:
    case pass::last_tokens:
      measure(t.codes, nullptr);
      s.add_counts(counts);
      break;
    case pass::neighbours:
    case pass::neighbours_again: {
      std::vector<scale_code> codes(t.width());
      for (std::size_t n = 0; n < kNeighbours.size(); ++n) {
        std::ranges::transform(t.codes, codes.begin(),
                               [&](scale_code c) { return moved(c, kNeighbours[n]); });
        t.costs[n].resize(t.width());
        measure(codes, t.costs[n].data());
      }
      break;
    }
    case pass::done: break;
  }
  return done{};
}

bool calibrator::next_pass() {
  state& s = *state_;
  switch (s.now) {
    case pass::deviations:
      for (auto& [id, t] : s.tensors)
        for (std::uint32_t i = 0; i < t.width(); ++i)
          t.codes[i] = to_scale_code(std::sqrt(t.squares[i] / std::max(t.numbers[i], 1.0)));
      break;
    case pass::tokens:
    case pass::tokens_again: s.price_tokens(); break;
    case pass::neighbours:
    case pass::neighbours_again:
      for (auto& [id, t] : s.tensors) {
        t.cost = 0;
        for (std::uint32_t i = 0; i < t.width(); ++i) {
          std::size_t best = kNeighbours.size() / 2;
          for (std::size_t n = 0; n < kNeighbours.size(); ++n)
            if (!t.costs[n].empty() && t.costs[n][i] < t.costs[best][i]) best = n;
          t.codes[i] = moved(t.codes[i], kNeighbours[best]);
          if (!t.costs[best].empty()) t.cost += t.costs[best][i];
        }
        for (auto& costs : t.costs) costs.clear();
      }
      std::ranges::fill(s.counts, 0);
      break;
    case pass::last_tokens:
    case pass::done: s.now = pass::done; return false;
  }
  s.now = static_cast<pass>(static_cast<int>(s.now) + 1);
  return true;
}

std::map<tensor_id, double> calibrator::bits() const {
  const state& s = *state_;
  const bool has_plane = s.source == mean_source::none && s.target.mantissa_bits + 1 >= 8;
  std::map<tensor_id, double> bits;
  for (const auto& [id, t] : s.tensors)
    bits[id] = static_cast<double>(t.cost) / kCostOfBit /
                   static_cast<double>(std::max<std::uint64_t>(t.tokens * t.width(), 1)) +
               (has_plane ? 8 : 0);
  return bits;
}

result<profile_ptr> calibrator::finish() const {
  const state& s = *state_;
  if (s.tensors.empty()) return fail(status::invalid_argument, "calibration saw no K or V tensors");
  profile_content c{s.target.id, s.source, s.mean.id, 0, {}, {}};
  for (const auto& [id, t] : s.tensors) c.scales.push_back({id, t.heads, t.head_dim, t.codes});
  for (std::uint32_t context = 0; context < s.shape.contexts; ++context) {
    const std::vector<std::uint16_t> f = s.frequencies(context);
    c.frequencies.insert(c.frequencies.end(), f.begin(), f.end());
  }
  return profile::make(std::move(c));
}

}  // namespace skv
