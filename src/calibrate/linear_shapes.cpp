#include <algorithm>
#include <skv/predict/linear.hpp>

#include "calibrate/linear_state.hpp"

namespace skv {
namespace {

error wrong(const std::string& what) { return fail(status::invalid_argument, what); }

bool turns_within(const rotary& r, std::uint32_t head_dim) {
  return r.first_channel <= head_dim && r.pairs() <= (head_dim - r.first_channel) / 2;
}

}  // namespace

result<done> linear_fitter::state::learn_shapes(calibration_cache cache,
                                                const cpu::outside_inputs& in) {
  if (options.rope) rotaries.push_back(*options.rope);
  for (const calibration_tensor& c : cache) {
    tensor_state t;
    t.id = c.id;
    t.tokens = c.tokens;
    t.heads = c.heads;
    t.head_dim = c.head_dim;
    if (!tensors.empty() && !(tensors.back().id < c.id))
      return wrong(to_string(c.id) + ": there is another one");
    if (c.heads % options.shards != 0)
      return wrong(to_string(c.id) + ": " + std::to_string(c.heads) +
                   " heads cannot be divided among " + std::to_string(options.shards) + " shards");
    if (options.rope && c.id.kind != tensor_kind::v) {
      if (!turns_within(*options.rope, c.head_dim))
        return wrong(to_string(c.id) + ": the rotary embedding turns more channels than there are");
      t.rotary = 1;
    }
    t.fine.resize(t.width());
    tensors.push_back(std::move(t));
  }
  if (auto ok = learn_outside(in); !ok) return ok;
  choose_sources();
  return done{};
}

result<done> linear_fitter::state::learn_outside(const cpu::outside_inputs& in) {
  if (in.embedding != nullptr) {
    const cpu::embedding_table& e = *in.embedding;
    outside_state o;
    o.head_dim = e.width();
    o.is_normalised = true;
    o.of.kind = outside_kind::embedding;
    o.of.format = static_cast<std::uint8_t>(e.format().id);
    o.of.vocabulary = e.rows();
    o.of.hash = e.hash();
    if (e.width() == 0 || e.width() > kMaxInputs || e.rows() == 0)
      return wrong("an embedding of impossible shape");
    outside.push_back(std::move(o));
  }
  if (!in.draft.empty() && options.draft_rope) rotaries.push_back(*options.draft_rope);
  for (const cpu::draft_tensor& d : in.draft) {
    outside_state o;
    o.heads = d.heads;
    o.head_dim = d.head_dim;
    o.of.id = d.id;
    o.of.format = static_cast<std::uint8_t>(d.format);
    const std::string name = "the draft's " + to_string(d.id);
    if (!outside.empty() && outside.back().of.kind == outside_kind::draft &&
        !(outside.back().of.id < d.id))
      return wrong(name + ": there is another one");
    if (std::uint64_t{d.heads} * d.head_dim > kMaxInputs) return wrong(name + " is too wide");
    if (options.draft_rope && d.id.kind != tensor_kind::v) {
      if (!turns_within(*options.draft_rope, d.head_dim))
        return wrong(name + ": the rotary embedding turns more channels than there are");
      o.rotary = static_cast<std::uint8_t>(rotaries.size());
    }
    outside.push_back(std::move(o));
  }
  return done{};
}

// The tensors of the nearest layer below that has as many tokens, unless a chain starts here: then
// the embedding; those of the layer itself that come first: K for V; and those of the draft's layer
// that is as deep in its model, and of the next. Outside rows are candidates: the fit selects.
void linear_fitter::state::choose_sources() {
  std::vector<std::uint32_t> layers, draft_layers;
  for (const tensor_state& t : tensors)
    if (layers.empty() || layers.back() != t.id.layer) layers.push_back(t.id.layer);
  for (const outside_state& o : outside)
    if (o.of.kind == outside_kind::draft &&
        (draft_layers.empty() || draft_layers.back() != o.of.id.layer))
      draft_layers.push_back(o.of.id.layer);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensor_state& t = tensors[i];
    const auto ordinal =
        static_cast<std::size_t>(std::ranges::find(layers, t.id.layer) - layers.begin());
    const bool restarts = options.restart_every != 0 && ordinal % options.restart_every == 0;
    std::optional<std::uint32_t> below;
    for (std::size_t s = 0; s < i; ++s)
      if (tensors[s].id.layer != t.id.layer && tensors[s].tokens >= t.tokens && !restarts)
        below = tensors[s].id.layer;
    for (std::size_t s = 0; s < i; ++s)
      if (tensors[s].id.layer == t.id.layer || (below && tensors[s].id.layer == *below))
        t.sources.push_back(static_cast<std::uint32_t>(s));
    for (std::size_t o = 0; o < outside.size(); ++o) {
      bool wanted = !below;
      if (outside[o].of.kind == outside_kind::draft) {
        const std::size_t as_deep = (2 * ordinal + 1) * draft_layers.size() / (2 * layers.size());
        const std::size_t next = std::min(as_deep + 1, draft_layers.size() - 1);
        // The first layer is a function of the token: its embedding says what a draft does.
        wanted = (ordinal > 0 || outside.front().of.kind == outside_kind::draft) &&
                 (outside[o].of.id.layer == draft_layers[as_deep] ||
                  outside[o].of.id.layer == draft_layers[next]);
      }
      if (wanted) t.sources.push_back(static_cast<std::uint32_t>(tensors.size() + o));
    }
  }
}

result<done> linear_fitter::state::match(calibration_cache cache,
                                         const cpu::outside_inputs& in) const {
  bool same = cache.size() == tensors.size();
  for (std::size_t i = 0; same && i < cache.size(); ++i)
    same = cache[i].id == tensors[i].id && cache[i].heads == tensors[i].heads &&
           cache[i].head_dim == tensors[i].head_dim;
  if (!same) return wrong("caches of different models");
  std::uint32_t longest = 0;
  for (const calibration_tensor& c : cache) {
    longest = std::max(longest, c.tokens);
    if (base == mean_source::given && c.bases.data == nullptr)
      return wrong(to_string(c.id) + ": there is no prediction");
  }
  const std::size_t embeddings = in.embedding != nullptr;
  if (outside.size() != embeddings + in.draft.size()) return wrong("caches of different drafts");
  if (in.embedding != nullptr && (outside.front().of.hash != in.embedding->hash() ||
                                  outside.front().head_dim != in.embedding->width()))
    return wrong("different embeddings");
  if (in.embedding != nullptr && in.ids.size() != longest)
    return wrong("there are " + std::to_string(in.ids.size()) + " token ids for " +
                 std::to_string(longest) + " tokens");
  for (std::size_t i = 0; i < in.draft.size(); ++i) {
    const cpu::draft_tensor& d = in.draft[i];
    const outside_state& o = outside[embeddings + i];
    if (d.id != o.of.id || d.heads != o.heads || d.head_dim != o.head_dim ||
        static_cast<std::uint8_t>(d.format) != o.of.format)
      return wrong("caches of different drafts");
    if (d.tokens == 0 || d.tokens > longest)
      return wrong("the draft's " + to_string(d.id) + " has " + std::to_string(d.tokens) +
                   " tokens, the cache " + std::to_string(longest));
  }
  return done{};
}

}  // namespace skv
