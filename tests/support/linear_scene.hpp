// A batch of blocks whose means linear propagation makes, and what the CPU makes of them.
#pragma once

#include <map>
#include <skv/cpu/linear.hpp>
#include <skv/predict/linear.hpp>

#include "support/linear_models.hpp"
#include "support/paged_scene.hpp"

namespace skv::test {

/// What a random model looks like.
struct linear_kind {
  format_id target = format_id::bf16, mean = format_id::bf16;
  bool has_bases = true;
  std::uint32_t shards = 1, rank = 0;
  pairing turns = pairing::half;
  std::uint32_t restart_every = 0;  ///< layers; 0: never
  bool is_latent = false;
  bool has_outside = false;  ///< an embedding, and a draft's tensor, of bf16
  std::uint32_t head_dim = 24;
};

/// A random model for the tensors of a geometry.
class linear_profile_maker {
 public:
  linear_profile_maker(const linear_kind& k, const cuda::block_geometry& g, std::uint64_t seed)
      : kind_(k), random_(seed) {
    content_ = default_profile_of({k.target, mean_source::given, k.mean})->content();
    content_.default_code = 0;
    linear_model& m = content_.linear.emplace();
    m.base = k.has_bases ? mean_source::given : mean_source::none;
    m.shards = k.shards;
    if (k.turns != pairing::none) m.rotaries = {random_rotary(k.turns, k.head_dim, random_)};
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
    fill_channels(o, o.width(), !is_embedding, random_);
    return o;
  }

  void add_tensor(linear_model& m, std::uint32_t index) {
    const tensor_scales& s = content_.scales[index];
    const std::uint32_t width = s.heads * s.head_dim;
    linear_tensor t;
    const bool is_value = s.id.kind == tensor_kind::v;
    if (!is_value && !m.rotaries.empty()) t.rotary = 1;
    fill_channels(t, width, true, random_);
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
      if (t.rank != 0) t.to_hidden = random_product(inputs, t.rank, m.shards, random_, weights_);
      t.to_output = random_product(t.rank == 0 ? inputs : t.rank, width / m.shards, m.shards,
                                   random_, weights_);
    }
    m.tensors.push_back(std::move(t));
  }

  linear_kind kind_;
  random_source random_;
  profile_content content_;
  std::vector<std::unique_ptr<std::vector<std::int8_t>>> weights_;
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
         {pairing::none, pairing::half, pairing::interleaved, pairing::partial}) {
      linear_kind k{id.target, id.mean};
      k.turns = turns;
      k.shards = 1 + static_cast<std::uint32_t>(kinds.size()) % 3;
      k.rank = kinds.size() % 5 < 2 ? 0 : 7 + static_cast<std::uint32_t>(kinds.size());
      k.is_latent = kinds.size() % 7 == 3;
      k.restart_every = kinds.size() % 4 == 2 ? 2 : 0;
      k.head_dim = 10 + 3 * static_cast<std::uint32_t>(kinds.size());
      k.has_bases = id.target != id.mean || turns != pairing::half;
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
  return name + kTurns[static_cast<int>(k.turns)] + "_shards_" + std::to_string(k.shards) +
         "_rank_" + std::to_string(k.rank) + "_dim_" + std::to_string(k.head_dim) +
         (k.is_latent ? "_latent" : "") + (k.restart_every != 0 ? "_restarts" : "") +
         (k.has_outside ? "_outside" : "");
}

}  // namespace skv::test
