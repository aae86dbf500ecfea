// A batch of blocks whose means linear propagation makes, and what the CPU makes of them.
#pragma once

#include <deque>
#include <map>
#include <skv/cpu/linear.hpp>
#include <skv/predict/linear.hpp>

#include "support/paged_scene.hpp"

namespace skv::test {

/// What a random model looks like.
struct linear_kind {
  format_id target = format_id::bf16, mean = format_id::bf16;
  bool has_bases = true;
  std::uint32_t shards = 1, rank = 0;
  enum { none, half, interleaved, partial } turns = half;
  std::uint32_t restart_every = 0;  ///< layers; 0: never
  bool is_latent = false;
  bool has_outside = false;  ///< an embedding, and a draft's tensor, of bf16
  std::uint32_t head_dim = 24;
};

inline rotary random_rotary(const linear_kind& k, random_source& random) {
  rotary r;
  r.is_interleaved = k.turns == linear_kind::interleaved;
  const std::uint32_t most = k.head_dim / 2;
  std::uint32_t pairs = most;
  if (k.turns == linear_kind::partial) {
    pairs = 1 + random.below(most - 1);
    r.first_channel = random.below(k.head_dim - 2 * pairs + 1);
    r.is_interleaved = random.chance(0.5);
  }
  for (std::uint32_t i = 0; i < pairs; ++i)
    r.frequencies.push_back(random.next() >> random.below(40));
  return r;
}

/// Random weights and factors, mostly such that corrections are of the size of deviations.
class linear_profile_maker {
 public:
  linear_profile_maker(const linear_kind& k, const cuda::block_geometry& g, std::uint64_t seed)
      : kind_(k), random_(seed) {
    content_ = default_profile_of({k.target, mean_source::given, k.mean})->content();
    content_.default_code = 0;
    linear_model& m = content_.linear.emplace();
    m.base = k.has_bases ? mean_source::given : mean_source::none;
    m.shards = k.shards;
    if (k.turns != linear_kind::none) m.rotaries = {random_rotary(k, random_)};
    for (std::uint32_t layer = 0; layer < g.layers; ++layer)
      for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
        const cuda::block_tensor& t = g.tensors[i];
        if (t.opaque_bytes != 0) continue;
        content_.scales.push_back(random_scales(mean_source::given, {g.first_layer + layer, t.kind},
                                                t.heads, t.head_dim));
      }
    std::ranges::sort(content_.scales, {}, &tensor_scales::id);
    if (k.has_outside) m.outside = {random_outside(true), random_outside(false)};
    for (std::uint32_t i = 0; i < content_.scales.size(); ++i) add_tensor(m, i);
  }

  profile_ptr make() {
    auto p = profile::make(std::move(content_));
    if (!p) throw std::runtime_error(p.failure().message);
    return *std::move(p);
  }

 private:
  linear_outside random_outside(bool is_embedding) {
    linear_outside o;
    o.kind = is_embedding ? outside_kind::embedding : outside_kind::draft;
    o.format = static_cast<std::uint8_t>(format_id::bf16);
    o.vocabulary = is_embedding ? 20 : 0;
    o.heads = is_embedding ? 1 : 3;
    o.head_dim = is_embedding ? 71 : kind_.head_dim;
    if (!is_embedding && !content_.linear->rotaries.empty()) o.rotary = 1;
    for (std::uint32_t i = 0; i < o.width(); ++i) {
      if (!is_embedding) o.units.push_back(static_cast<std::uint8_t>(kUnitOrigin + 8));
      o.centres.push_back(static_cast<std::int16_t>(random_.below(2001) - 1000));
      o.shifts.push_back(static_cast<std::uint8_t>(2 + random_.below(4)));
    }
    return o;
  }

  void add_tensor(linear_model& m, std::uint32_t index) {
    const tensor_scales& s = content_.scales[index];
    const std::uint32_t width = s.heads * s.head_dim;
    linear_tensor t;
    const bool is_value = s.id.kind == tensor_kind::v;
    if (!is_value && !m.rotaries.empty()) t.rotary = 1;
    for (std::uint32_t i = 0; i < width; ++i) {
      t.units.push_back(static_cast<std::uint8_t>(kUnitOrigin + 8 + random_.below(6)));
      t.centres.push_back(static_cast<std::int16_t>(random_.below(2001) - 1000));
      t.shifts.push_back(static_cast<std::uint8_t>(4 + random_.below(4)));
    }
    const std::uint32_t first = content_.scales.front().id.layer;
    const std::uint32_t layer = s.id.layer - first;
    const bool starts = kind_.restart_every != 0 && layer % kind_.restart_every == 0;
    t.is_predicted = layer != 0 || is_value || random_.chance(0.5);
    if (t.is_predicted)
      for (std::uint32_t at = 0; at < index; ++at) {
        const std::uint32_t back = s.id.layer - content_.scales[at].id.layer;
        if (back == 0 || (back == 1 && !starts) || (back == 2 && !starts && is_value))
          t.sources.push_back(at);
      }
    if (kind_.restart_every > 1)  // two layers back, but not beyond the restart
      std::erase_if(t.sources, [&](std::uint32_t at) {
        return (content_.scales[at].id.layer - first) / kind_.restart_every !=
               layer / kind_.restart_every;
      });
    const auto tensors = static_cast<std::uint32_t>(content_.scales.size());
    if (t.is_predicted)
      for (std::uint32_t i = 0; i < m.outside.size(); ++i)
        if (random_.chance(0.7)) t.sources.push_back(tensors + i);
    if (!t.sources.empty()) {
      std::uint32_t inputs = 0;
      for (const std::uint32_t at : t.sources)
        inputs += at >= tensors
                      ? m.outside[at - tensors].width()
                      : content_.scales[at].heads * content_.scales[at].head_dim / m.shards;
      t.rank = kind_.rank;
      if (t.rank != 0) t.to_hidden = random_product(m.shards, inputs, t.rank, 10);
      t.to_output = random_product(m.shards, t.rank == 0 ? inputs : t.rank, width / m.shards, 3);
    }
    m.tensors.push_back(std::move(t));
  }

  linear_product random_product(std::uint32_t shards, std::uint32_t inputs, std::uint32_t outputs,
                                std::uint32_t shift) {
    linear_product p;
    p.inputs = inputs;
    p.outputs = outputs;
    for (std::uint32_t i = 0; i < shards * outputs; ++i) {
      p.multipliers.push_back(static_cast<std::uint16_t>(random_.below(1u << 12)));
      if (random_.chance(0.05))
        p.multipliers.back() = static_cast<std::uint16_t>(random_.below(1u << 15));
      p.shifts.push_back(static_cast<std::uint8_t>(shift + random_.below(3)));
    }
    std::vector<std::int8_t>& w = weights_.emplace_back(shards * p.shard_weights());
    for (std::uint32_t shard = 0; shard < shards; ++shard)
      for (std::uint32_t i = 0; i < inputs; ++i)
        for (std::uint32_t o = 0; o < outputs; ++o)
          w[shard * p.shard_weights() + 4 * (std::size_t{i / 4} * outputs + o) + i % 4] =
              static_cast<std::int8_t>(random_.bits());
    p.weights = w;
    return p;
  }

  linear_kind kind_;
  random_source random_;
  profile_content content_;
  std::deque<std::vector<std::int8_t>> weights_;
};

/// A paged scene whose means are those of linear propagation over its bases.
struct linear_scene {
  linear_kind kind;
  paged_scene scene;
  std::vector<logical_tensor> bases;           ///< [layers][items][tensors]
  std::vector<std::uint32_t> first_positions;  ///< [items]
  std::vector<bool> is_missing;                ///< [layers][items][tensors]
  // If there are outside rows:
  std::vector<std::uint32_t> ids;         ///< [items][tokens]
  std::vector<std::int8_t> embedded;      ///< rows of the embedding, as innovations
  std::vector<logical_tensor> draft;      ///< [items], [tokens][3][head_dim] of bf16
  std::vector<bool> is_missing_in_draft;  ///< [items]

  /// `gaps`: how often a tensor lacks a block.
  linear_scene(const linear_kind& k, std::uint64_t seed, double gaps = 0.15) : kind(k) {
    random_source random(seed);
    cuda::block_geometry g;
    g.first_layer = random.below(3);
    g.layers = k.restart_every == 0 ? 3 : 2 * k.restart_every;
    g.tokens = 1 + random.below(40);
    const std::uint32_t heads = k.shards * (1 + random.below(3));
    if (k.is_latent)
      g.tensors[g.tensor_count++] = {tensor_kind::latent, k.shards, 3 * k.head_dim, 0};
    else
      for (const tensor_kind kind_of : {tensor_kind::k, tensor_kind::v})
        g.tensors[g.tensor_count++] = {kind_of, heads, k.head_dim, 0};
    scene = {{k.target, mean_source::given, k.mean},
             g,
             1 + random.below(7),
             {},
             linear_profile_maker(k, g, seed).make(),
             {},
             {}};
    for (std::uint32_t i = 0; i < scene.items; ++i) {
      scene.token_counts.push_back(random.chance(0.6) ? g.tokens : random.below(g.tokens + 1));
      first_positions.push_back(random.below(random.chance(0.5) ? 1u << 24 : 100u));
    }
    scene.fill(seed);
    bases = std::move(scene.means);
    for (std::size_t i = 0; i < bases.size(); ++i) is_missing.push_back(random.chance(gaps));
    if (k.has_outside) fill_outside(random);
    predict();
  }

  std::vector<std::uint32_t> positions(std::uint32_t item) const {
    std::vector<std::uint32_t> p(scene.token_counts[item]);
    std::iota(p.begin(), p.end(), first_positions[item]);
    return p;
  }

  /// Anew, after something was changed.
  void predict() {
    scene.means.assign(bases.size(), {});
    predict_items();
  }

 private:
  void fill_outside(random_source& random) {
    const linear_model& m = *scene.used_profile->content().linear;
    for (std::uint32_t i = 0; i < scene.items * scene.geometry.tokens; ++i)
      ids.push_back(random.below(m.outside[0].vocabulary + 2));
    for (std::uint32_t i = 0; i < m.outside[0].vocabulary * m.outside[0].width(); ++i)
      embedded.push_back(static_cast<std::int8_t>(random.below(255) - 127));
    for (std::uint32_t item = 0; item < scene.items; ++item) {
      logical_tensor& t = draft.emplace_back();
      for (std::uint32_t i = 0; i < scene.geometry.tokens * m.outside[1].width(); ++i)
        append_pattern(t, bf16,
                       random.chance(0.02) ? unusual_pattern(bf16, random)
                                           : to_pattern(bf16, random.gaussian()));
      is_missing_in_draft.push_back(random.chance(0.2));
    }
  }

  void tell_outside(const cpu::linear_steps& steps, std::uint32_t item,
                    std::map<std::uint32_t, cpu::innovations>& told) const {
    if (!kind.has_outside) return;
    const auto& outside = steps.model().outside;
    const auto tensors = static_cast<std::uint32_t>(steps.model().tensors.size());
    const std::uint32_t width = outside[0].width();
    cpu::innovations& rows = told[tensors];
    for (std::uint32_t token = 0; token < scene.token_counts[item]; ++token) {
      const std::uint32_t id = ids[item * scene.geometry.tokens + token];
      for (std::uint32_t i = 0; i < width; ++i)
        rows.push_back(id < outside[0].vocabulary ? embedded[id * width + i] : std::int8_t{0});
    }
    if (!is_missing_in_draft[item])
      told[tensors + 1] = steps.innovate_draft(
          1, positions(item), {draft[item].data(), outside[1].width() * std::size_t{2}});
  }

  /// The CPU's means, item by item.
  void predict_items() {
    const cuda::block_geometry& g = scene.geometry;
    const cpu::linear_steps steps(scene.used_profile);
    for (std::uint32_t item = 0; item < scene.items; ++item) {
      std::map<std::uint32_t, cpu::innovations> told;
      tell_outside(steps, item, told);
      for (std::uint32_t layer = 0; layer < g.layers; ++layer)
        for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
          const cuda::block_tensor& t = g.tensors[i];
          const auto found = steps.find({g.first_layer + layer, t.kind}, t.heads, t.head_dim);
          if (!found) throw std::runtime_error(found.failure().message);
          const auto index = static_cast<std::uint32_t>(*found);
          const std::size_t at = scene.index(layer, item, i);
          const auto rows = [&](const logical_tensor& of, number_format f) {
            return row_view<const std::byte>{of.data(),
                                             std::size_t{t.heads} * t.head_dim * f.bytes()};
          };
          const auto base = rows(bases[at], scene.mean());
          std::vector<const cpu::innovations*> from;
          for (const std::uint32_t s : steps.model().tensors[index].sources)
            from.push_back(&told[s]);  // empty: zeros
          std::vector<std::byte> room;
          const auto means = steps.predict(index, positions(item), from, base, room);
          const std::size_t bytes = scene.token_counts[item] * means.token_stride_bytes;
          scene.means[at] = bases[at];
          std::copy_n(means.data, bytes, scene.means[at].begin());
          if (is_missing[at]) continue;
          told[index] =
              steps.innovate(index, positions(item), rows(scene.numbers[at], scene.target()), base);
        }
    }
  }
};

/// All formats, with and without bases, each with something else besides.
inline std::vector<linear_kind> linear_kinds() {
  std::vector<linear_kind> kinds;
  for (const coding_id id : all_codings()) {
    if (id.source != mean_source::given) continue;
    for (const auto turns :
         {linear_kind::none, linear_kind::half, linear_kind::interleaved, linear_kind::partial}) {
      linear_kind k{id.target, id.mean};
      k.turns = turns;
      k.shards = 1 + static_cast<std::uint32_t>(kinds.size()) % 3;
      k.rank = kinds.size() % 5 < 2 ? 0 : 7 + static_cast<std::uint32_t>(kinds.size());
      k.is_latent = kinds.size() % 7 == 3;
      k.restart_every = kinds.size() % 4 == 2 ? 2 : 0;
      k.head_dim = 10 + 3 * static_cast<std::uint32_t>(kinds.size());
      k.has_bases = id.target != id.mean || turns != linear_kind::half;
      k.has_outside = kinds.size() % 3 == 1;
      kinds.push_back(k);
    }
  }
  return kinds;
}
inline std::string name_of(const linear_kind& k) {
  constexpr const char* kTurns[] = {"none", "half", "interleaved", "partial"};
  std::string name = std::string(to_string(k.target)) + (k.has_bases ? "_over_" : "_alone_");
  if (k.has_bases) name += std::string(to_string(k.mean)) + "_";
  return name + kTurns[k.turns] + "_shards_" + std::to_string(k.shards) + "_rank_" +
         std::to_string(k.rank) + "_dim_" + std::to_string(k.head_dim) +
         (k.is_latent ? "_latent" : "") + (k.restart_every != 0 ? "_restarts" : "") +
         (k.has_outside ? "_outside" : "");
}

}  // namespace skv::test
