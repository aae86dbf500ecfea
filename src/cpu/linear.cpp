#include <skv/cpu/linear.hpp>

#include <algorithm>
#include <cstring>
#include <skv/cpu/outside.hpp>
#include <skv/predict/embedding.hpp>

#include "linear_products.hpp"

namespace skv::cpu {
namespace {

// Tokens that go through the products together: their inputs and sums stay in the cache.
constexpr std::uint32_t kTokensAtOnce = 64;

linear_kernels kernels_for(isa set, format_id target, format_id mean) {
  switch (set) {
    case isa::scalar: return scalar::find_linear_kernels(target, mean);
#if defined(SKV_HAVE_X86_ISAS)
    case isa::avx2: return avx2::find_linear_kernels(target, mean);
    case isa::avx512: return avx512::find_linear_kernels(target, mean);
#endif
    default: return portable::find_linear_kernels(target, mean);
  }
}

linear_kernels kernels_for(isa set, const profile& p) {
  return kernels_for(set, p.content().target, p.content().mean);
}

// Innovations of the tokens `have` as those of `want`, zero where there are none.
innovations moved(const innovations& from, position_range have, position_range want) {
  const std::size_t width = from.size() / have.count;
  innovations to(want.count * width);
  const std::uint64_t begin = std::max(have.first, want.first);
  const std::uint64_t end = std::min(have.first + have.count, want.first + want.count);
  if (begin < end)
    std::copy_n(from.data() + (begin - have.first) * width, (end - begin) * width,
                to.data() + (begin - want.first) * width);
  return to;
}

std::size_t padded(std::uint32_t inputs) { return (std::size_t{inputs} + 3) / 4 * 4; }

}  // namespace

linear_steps::linear_steps(profile_ptr p, isa set)
    : profile_(std::move(p)), isa_(is_available(set) ? set : isa::portable) {
  const profile_content& c = profile_->content();
  for (std::size_t i = 0; i < c.scales.size(); ++i) {
    turning_.push_back(
        turning_of(model().tensors[i].rotary, c.scales[i].heads, c.scales[i].head_dim));
    turning_[i].last_use = i;
    for (const std::uint32_t source : model().tensors[i].sources)
      if (source < i) turning_[source].last_use = i;
  }
  for (const linear_outside& o : model().outside)
    outside_turning_.push_back(turning_of(o.rotary, o.heads, o.head_dim));
}

linear_steps::turning linear_steps::turning_of(std::uint8_t number, std::uint32_t heads,
                                               std::uint32_t head_dim) const {
  turning t;
  if (number == 0) return t;
  const rotary& r = model().rotaries[number - 1];
  t.frequencies_high.resize(head_dim);
  t.frequencies_low.resize(head_dim);
  for (std::uint32_t at = 0; at < heads * head_dim; ++at) t.partners.push_back(at);
  for (std::uint32_t pair = 0; pair < r.pairs(); ++pair) {
    const std::uint32_t first = r.first_channel + (r.is_interleaved ? 2 * pair : pair);
    const std::uint32_t second = first + (r.is_interleaved ? 1 : r.pairs());
    const auto set_frequency = [&](std::uint32_t channel, std::uint64_t f) {
      t.frequencies_high[channel] = static_cast<std::uint32_t>(f >> 32);
      t.frequencies_low[channel] = static_cast<std::uint32_t>(f);
    };
    set_frequency(first, r.frequencies[pair]);
    set_frequency(second, 0 - r.frequencies[pair]);
    for (std::uint32_t head = 0; head < heads * head_dim; head += head_dim)
      std::swap(t.partners[head + first], t.partners[head + second]);
  }
  return t;
}

struct linear_steps::channels : linear_channels {
  // Of a tensor, or of outside rows.
  template <class Innovating>
  channels(const Innovating& from, const turning& turns, std::uint32_t heads,
           std::uint32_t head_dim_) {
    width = heads * head_dim_;
    head_dim = head_dim_;
    units = from.units.data();
    centres = from.centres.data();
    shifts = from.shifts.data();
    if (turns.partners.empty()) return;
    partners = turns.partners.data();
    frequencies_high = turns.frequencies_high.data();
    frequencies_low = turns.frequencies_low.data();
  }
};

linear_steps::channels linear_steps::channels_of(std::size_t index) const {
  const tensor_scales& shape = profile_->content().scales[index];
  return {model().tensors[index], turning_[index], shape.heads, shape.head_dim};
}

result<std::size_t> linear_steps::find(tensor_id id, std::uint32_t heads,
                                       std::uint32_t head_dim) const {
  if (const auto codes = profile_->codes(id, heads, head_dim); !codes) return codes.failure();
  const auto& scales = profile_->content().scales;
  return static_cast<std::size_t>(std::ranges::lower_bound(scales, id, {}, &tensor_scales::id) -
                                  scales.begin());
}

innovations linear_steps::innovate(std::size_t index, std::span<const std::uint32_t> positions,
                                   row_view<const std::byte> numbers,
                                   row_view<const std::byte> bases) const {
  const channels c = channels_of(index);
  innovations out(positions.size() * c.width);
  std::vector<std::uint32_t> scratch(linear_scratch(c.width));
  kernels_for(isa_, *profile_)
      .innovate({c, static_cast<std::uint32_t>(positions.size()), positions.data(), numbers,
                 has_bases() ? bases : row_view<const std::byte>{}, out.data(), scratch.data()});
  return out;
}

innovations linear_steps::innovate_draft(std::size_t outside,
                                         std::span<const std::uint32_t> positions,
                                         row_view<const std::byte> numbers) const {
  const linear_outside& o = model().outside[outside];
  const channels c(o, outside_turning_[outside], o.heads, o.head_dim);
  const auto format = static_cast<format_id>(o.format);
  innovations out(positions.size() * c.width);
  std::vector<std::uint32_t> scratch(linear_scratch(c.width));
  kernels_for(isa_, format, format)
      .innovate({c,
                 static_cast<std::uint32_t>(positions.size()),
                 positions.data(),
                 numbers,
                 {},
                 out.data(),
                 scratch.data()});
  return out;
}

innovations linear_steps::innovate_embedding(std::size_t outside,
                                             std::span<const std::uint32_t> ids,
                                             const embedding_table& table) const {
  const linear_outside& o = model().outside[outside];
  const number_format format = table.format();
  innovations out(ids.size() * o.width());
  std::vector<std::uint32_t> patterns(o.width());
  std::vector<std::int32_t> row(o.width());
  for (std::size_t token = 0; token < ids.size(); ++token) {
    if (ids[token] >= table.rows()) continue;
    const std::byte* const numbers = table.row(ids[token]);
    for (std::uint32_t i = 0; i < o.width(); ++i) {
      patterns[i] = 0;
      std::memcpy(&patterns[i], numbers + i * format.bytes(), format.bytes());
    }
    normalise(format, patterns, row);
    for (std::uint32_t i = 0; i < o.width(); ++i)
      out[token * o.width() + i] = embedding_innovation(row[i], o.centres[i], o.shifts[i]);
  }
  return out;
}

row_view<const std::byte> linear_steps::predict(std::size_t index,
                                                std::span<const std::uint32_t> positions,
                                                std::span<const innovations* const> from,
                                                row_view<const std::byte> bases,
                                                std::vector<std::byte>& room) const {
  const linear_tensor& t = model().tensors[index];
  const channels c = channels_of(index);
  const std::size_t row_bytes =
      std::size_t{c.width} *
      find_format(static_cast<std::uint8_t>(profile_->content().mean))->bytes();
  if (!has_bases()) bases = {};
  if (!t.is_predicted && has_bases()) return bases;
  room.assign(positions.size() * row_bytes, std::byte{0});
  const row_view<const std::byte> means{room.data(), row_bytes};
  if (!t.is_predicted) return means;

  const linear_kernels run = kernels_for(isa_, *profile_);
  const std::uint32_t shards = model().shards;
  const linear_product& first = t.rank != 0 ? t.to_hidden : t.to_output;
  const std::size_t input_stride = padded(first.inputs), hidden_stride = padded(t.rank);
  std::vector<std::int8_t> inputs(kTokensAtOnce * input_stride),
      hidden(kTokensAtOnce * hidden_stride), block;
  std::vector<std::int32_t> sums(t.sources.empty() ? 0 : kTokensAtOnce * std::size_t{c.width}),
      hidden_sums(kTokensAtOnce * std::size_t{t.rank});
  std::vector<std::uint32_t> scratch(linear_scratch(c.width));

  for (std::size_t begin = 0; begin < positions.size(); begin += kTokensAtOnce) {
    const auto tokens =
        static_cast<std::uint32_t>(std::min<std::size_t>(kTokensAtOnce, positions.size() - begin));
    for (std::uint32_t shard = 0; shard < shards && !t.sources.empty(); ++shard) {
      std::size_t at = 0;
      for (std::size_t s = 0; s < t.sources.size(); ++s) {
        const auto [width, part, first_channel] = part_of_source(t.sources[s], shard);
        for (std::uint32_t token = 0; token < tokens; ++token) {
          std::int8_t* const to = inputs.data() + token * input_stride + at;
          if (from[s]->empty())
            std::memset(to, 0, part);
          else
            std::memcpy(to, from[s]->data() + (begin + token) * width + first_channel, part);
        }
        at += part;
      }
      const std::size_t outputs = c.width / shards;
      std::int32_t* const to = sums.data() + shard * outputs;
      const auto multiply = [&](const linear_product& p, const std::int8_t* x, std::size_t stride,
                                std::int32_t* y, std::size_t y_stride) {
        multiply_in_blocks(run,
                           {tokens, p.input_groups(), p.outputs, x, stride,
                            p.weights.data() + shard * p.shard_weights(), y, y_stride},
                           block);
      };
      if (t.rank == 0) {
        multiply(t.to_output, inputs.data(), input_stride, to, c.width);
        continue;
      }
      multiply(t.to_hidden, inputs.data(), input_stride, hidden_sums.data(), t.rank);
      run.narrow({tokens, t.rank, hidden_sums.data(),
                  t.to_hidden.multipliers.data() + std::size_t{shard} * t.rank,
                  t.to_hidden.shifts.data() + std::size_t{shard} * t.rank, hidden.data(),
                  hidden_stride});
      multiply(t.to_output, hidden.data(), hidden_stride, to, c.width);
    }
    run.correct({c, tokens, positions.data() + begin, t.sources.empty() ? nullptr : sums.data(),
                 t.to_output.multipliers.data(), t.to_output.shifts.data(), bases.from(begin),
                 room.data() + begin * row_bytes, scratch.data()});
  }
  return means;
}

// What a shard sees of a source's rows: a part of a tensor's, all of outside rows.
linear_steps::source_part linear_steps::part_of_source(std::uint32_t source,
                                                       std::uint32_t shard) const {
  const auto& scales = profile_->content().scales;
  if (source >= scales.size()) {
    const std::size_t width = model().outside[source - scales.size()].width();
    return {width, width, 0};
  }
  const std::size_t width = std::size_t{scales[source].heads} * scales[source].head_dim;
  const std::size_t part = width / model().shards;
  return {width, part, shard * part};
}

std::vector<std::uint32_t> position_range::list() const {
  std::vector<std::uint32_t> positions(count);
  for (std::uint32_t i = 0; i < count; ++i) positions[i] = static_cast<std::uint32_t>(first + i);
  return positions;
}

void linear_chain::add(std::size_t index, position_range range, row_view<const std::byte> numbers,
                       row_view<const std::byte> bases) {
  std::erase_if(seen_, [&](const auto& s) { return steps_->last_use(s.first) <= index; });
  if (steps_->last_use(index) > index)
    keep(index, range, steps_->innovate(index, range.list(), numbers, bases));
}

row_view<const std::byte> linear_chain::means(std::size_t index, position_range range,
                                              row_view<const std::byte> bases,
                                              std::vector<std::byte>& room) const {
  const auto& sources = steps_->model().tensors[index].sources;
  std::vector<innovations> own(sources.size());
  std::vector<const innovations*> from;
  const std::size_t tensors = steps_->model().tensors.size();
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (sources[i] >= tensors) {
      own[i] =
          outside_->at(sources[i] - tensors, range.first - outside_->first_position(), range.count);
      from.push_back(&own[i]);
      continue;
    }
    const auto at = seen_.find(sources[i]);
    const bool fits = at != seen_.end() && at->second.range == range;
    if (at != seen_.end() && !fits) own[i] = moved(at->second.told, at->second.range, range);
    from.push_back(fits ? &at->second.told : &own[i]);
  }
  return steps_->predict(index, range.list(), from, bases, room);
}

}  // namespace skv::cpu
