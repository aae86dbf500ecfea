#include "linear_plan.hpp"

#include <algorithm>
#include <cstring>
#include <skv/predict/linear.hpp>
#include <string>

#include "plan.hpp"

namespace skv::cuda {
namespace {

constexpr std::uint32_t kNone = 0xffffffff;

error bad(std::string what) { return fail(status::invalid_argument, std::move(what)); }

std::uint32_t width_of(const tensor_scales& t) { return t.heads * t.head_dim; }

/// Channels in the order of the kernels.
struct channel_order {
  std::uint32_t shard_width = 0;
  std::vector<std::uint32_t> channels;     ///< [shards][shard_width], numbered through all heads
  std::vector<std::uint64_t> frequencies;  ///< of each

  channel_order(const tensor_scales& t, const rotary* r, std::uint32_t shards)
      : shard_width(width_of(t) / shards) {
    std::vector<bool> turns(t.head_dim);
    const auto add = [this](std::uint32_t channel, std::uint64_t frequency) {
      channels.push_back(channel);
      frequencies.push_back(frequency);
    };
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      const std::uint32_t begin = shard * shard_width, end = begin + shard_width;
      for (std::uint32_t head = begin; r != nullptr && head < end; head += t.head_dim)
        for (std::uint32_t pair = 0; pair < r->pairs(); ++pair) {
          const std::uint32_t first = r->first_channel + (r->is_interleaved ? 2 * pair : pair);
          const std::uint32_t second = first + (r->is_interleaved ? 1 : r->pairs());
          add(head + first, r->frequencies[pair]);
          add(head + second, 0 - r->frequencies[pair]);
          turns[first] = turns[second] = true;
        }
      for (std::uint32_t channel = begin; channel < end; ++channel)
        if (!turns[channel % t.head_dim]) add(channel, 0);
    }
  }
};

/// A source of a product: which of a shard's inputs stands where in its part of a row.
struct input_segment {
  std::vector<std::uint32_t> inputs;
  std::uint32_t chunks() const {
    return (static_cast<std::uint32_t>(inputs.size()) + kChunkInputs - 1) / kChunkInputs;
  }
};

/// Where a weight lies in those of a chunk: as the lanes of a warp take them (kernels/product.cuh).
std::size_t place_in_chunk(std::uint32_t input, std::uint32_t output) {
  const std::uint32_t step = input / 32, group = input % 32 / 4;
  const std::uint32_t warp = output / 32, column = output % 32 / 8;
  const std::uint32_t lane = output % 8 * 4 + group % 4;
  const std::uint32_t word = column % 2 * 2 + group / 4;
  return (((step * 4 + warp) * 2 + column / 2) * kLanes + lane) * 16 + word * 4 + input % 4;
}

}  // namespace

class linear_plan::builder {
 public:
  builder(const profile& p, linear_plan& plan)
      : model_(*p.content().linear), scales_(p.content().scales), plan_(plan) {}

  result<done> build() {
    if (auto ok = find_tensors(); !ok) return ok;
    note_starts();
    place_innovations();
    append(kSines.entries.data(), sizeof kSines.entries);
    std::uint32_t hidden_bytes = 0;
    for (auto& t : plan_.tensors_)
      if (t) {
        add_tensor(*t);
        hidden_bytes = std::max(hidden_bytes, t->hidden_row_bytes);
      }
    plan_.token_bytes_ += hidden_bytes;
    return done{};
  }

 private:
  result<done> find_tensors() {
    const block_geometry& g = plan_.geometry_;
    place_of_.assign(scales_.size(), kNone);
    plan_.tensors_.resize(std::size_t{g.layers} * kMaxTensors);
    bool any = false;
    for (std::uint32_t layer = 0; layer < g.layers; ++layer)
      for (std::uint32_t i = 0; i < g.tensor_count; ++i) {
        const block_tensor& t = g.tensors[i];
        const tensor_id id{g.first_layer + layer, t.kind};
        const auto at = std::ranges::lower_bound(scales_, id, {}, &tensor_scales::id);
        if (t.opaque_bytes != 0 || at == scales_.end() || at->id != id) continue;
        if (at->heads != t.heads || at->head_dim != t.head_dim)
          return fail(status::wrong_profile, to_string(id) + " has another shape in the profile");
        const auto index = static_cast<std::uint32_t>(at - scales_.begin());
        if (place_of_[index] != kNone) return bad(to_string(id) + ": it is there twice");
        place_of_[index] = layer * kMaxTensors + i;
        plan_.tensors_[place_of_[index]].emplace().index = index;
        any = true;
      }
    if (!any) return fail(status::wrong_profile, "the profile knows none of the tensors");
    return done{};
  }

  void note_starts() {
    const block_geometry& g = plan_.geometry_;
    for (std::uint32_t layer = 0; layer < g.layers; ++layer) {
      const auto is_before = [&](std::uint32_t s) {
        return scales_[s].id.layer < g.first_layer + layer;
      };
      bool starts = true;
      for (std::uint32_t i = 0; i < scales_.size(); ++i)
        if (!is_before(i) && scales_[i].id.layer < g.first_layer + g.layers)
          starts &= std::ranges::none_of(model_.tensors[i].sources, is_before);
      plan_.starts_chain_.push_back(starts);
    }
  }

  /// Rows that are no longer needed make room for others.
  void place_innovations() {
    struct slot {
      std::uint32_t row_bytes, last_use;
    };
    std::vector<slot> slots;
    std::vector<std::uint32_t> slot_of(scales_.size(), kNone), last_use(scales_.size(), 0);
    for (std::uint32_t i = 0; i < scales_.size(); ++i)
      if (place_of_[i] != kNone)
        for (const std::uint32_t s : model_.tensors[i].sources) last_use[s] = i;
    for (std::uint32_t i = 0; i < scales_.size(); ++i) {
      if (place_of_[i] == kNone || last_use[i] == 0) continue;
      linear_tensor_plan& t = *plan_.tensors_[place_of_[i]];
      t.is_source = true;
      t.told.shard_bytes = round_up(width_of(scales_[i]) / model_.shards, kChunkInputs);
      t.told.row_bytes = model_.shards * t.told.shard_bytes;
      t.told.chunks = t.told.shard_bytes / kChunkInputs;
      const auto unused =
          std::ranges::find_if(slots, [&](const slot& s) { return s.last_use <= i; });
      slot_of[i] = static_cast<std::uint32_t>(unused - slots.begin());
      if (unused == slots.end()) slots.push_back({0, 0});
      slot& s = slots[slot_of[i]];
      s = {std::max(s.row_bytes, t.told.row_bytes), last_use[i]};
    }
    std::vector<std::uint32_t> begin(slots.size());
    for (std::size_t i = 0; i < slots.size(); ++i) {
      begin[i] = plan_.token_bytes_;
      plan_.token_bytes_ += slots[i].row_bytes;
    }
    for (std::uint32_t i = 0; i < scales_.size(); ++i)
      if (slot_of[i] != kNone) plan_.tensors_[place_of_[i]]->told.first_byte = begin[slot_of[i]];
    hidden_byte_ = plan_.token_bytes_;
  }

  channel_order order_of(std::uint32_t index) const {
    const std::uint8_t r = model_.tensors[index].rotary;
    return {scales_[index], r == 0 ? nullptr : &model_.rotaries[r - 1u], model_.shards};
  }

  void add_tensor(linear_tensor_plan& t) {
    const linear_tensor& model = model_.tensors[t.index];
    t.is_predicted = model.is_predicted;
    t.turns = model.rotary != 0;
    t.has_bases = model_.base == mean_source::given;
    const channel_order order = order_of(t.index);
    const std::uint32_t head_dim = scales_[t.index].head_dim;

    std::vector<linear_channel> channels;
    for (std::size_t i = 0; i < order.channels.size(); ++i) {
      const std::uint32_t at = order.channels[i];
      linear_channel c{};
      c.frequency_high = static_cast<std::uint32_t>(order.frequencies[i] >> 32);
      c.frequency_low = static_cast<std::uint32_t>(order.frequencies[i]);
      c.head = static_cast<std::uint16_t>(at / head_dim);
      c.channel = static_cast<std::uint16_t>(at % head_dim);
      c.centre = model.centres[at];
      c.unit = model.units[at];
      c.shift = model.shifts[at];
      if (!model.sources.empty()) {
        c.multiplier = model.to_output.multipliers[at];
        c.sum_shift = model.to_output.shifts[at];
      }
      channels.push_back(c);
    }
    std::vector<std::uint32_t> outputs;  // of a shard; the order is that of all shards
    for (std::uint32_t i = 0; i < order.shard_width; ++i) outputs.push_back(order.channels[i]);

    std::vector<input_segment> segments;
    std::vector<linear_source> sources;
    std::uint32_t first_input = 0;
    for (const std::uint32_t s : model.sources) {
      const channel_order of_source = order_of(s);
      if (place_of_[s] != kNone) {
        input_segment& segment = segments.emplace_back();
        for (std::uint32_t i = 0; i < of_source.shard_width; ++i)
          segment.inputs.push_back(first_input + of_source.channels[i]);
        sources.push_back(plan_.tensors_[place_of_[s]]->told);
      }
      first_input += of_source.shard_width;
    }
    if (model.rank == 0) {
      add_product(t, 1, model.to_output, segments, sources, outputs, channels);
      return;
    }
    t.hidden_byte = hidden_byte_;
    t.hidden_shard_bytes = round_up(model.rank, kChunkInputs);
    t.hidden_row_bytes = model_.shards * t.hidden_shard_bytes;
    input_segment hidden;
    std::vector<linear_channel> values;
    for (std::uint32_t i = 0; i < model.rank; ++i) hidden.inputs.push_back(i);
    for (std::uint32_t i = 0; i < model_.shards * model.rank; ++i) {
      linear_channel& v = values.emplace_back();
      v.multiplier = model.to_hidden.multipliers[i];
      v.sum_shift = model.to_hidden.shifts[i];
    }
    add_product(t, 0, model.to_hidden, segments, sources, hidden.inputs, values);
    add_product(t, 1, model.to_output, {hidden},
                {{t.hidden_byte, t.hidden_row_bytes, t.hidden_shard_bytes, hidden.chunks()}},
                outputs, channels);
  }

  /// `channels` [shards][outputs]; `outputs`: which of a shard's outputs each of them is.
  void add_product(linear_tensor_plan& t, int which, const linear_product& from,
                   const std::vector<input_segment>& segments,
                   const std::vector<linear_source>& sources,
                   const std::vector<std::uint32_t>& outputs,
                   const std::vector<linear_channel>& channels) {
    linear_product_plan& to = which == 0 ? t.to_hidden : t.to_output;
    to.source_count = static_cast<std::uint32_t>(sources.size());
    to.shards = model_.shards;
    to.output_count = static_cast<std::uint32_t>(outputs.size());
    to.output_tiles = (to.output_count + kTileOutputs - 1) / kTileOutputs;
    for (const input_segment& s : segments) to.chunks += s.chunks();

    const std::size_t shard_outputs = std::size_t{to.output_tiles} * kTileOutputs;
    std::vector<linear_channel> padded(to.shards * shard_outputs);
    for (std::uint32_t shard = 0; shard < to.shards; ++shard)
      std::copy_n(channels.begin() + std::size_t{shard} * to.output_count, to.output_count,
                  padded.begin() + shard * shard_outputs);
    t.outputs_at[which] = append(padded.data(), padded.size() * sizeof padded[0]);
    t.sources_at[which] = append(sources.data(), sources.size() * sizeof(linear_source));
    t.weights_at[which] =
        append(nullptr, std::size_t{to.tiles_of_rows()} * to.chunks * kChunkWeights);

    std::byte* tile = plan_.image_.data() + t.weights_at[which];
    for (std::uint32_t shard = 0; shard < to.shards; ++shard)
      for (std::uint32_t first = 0; first < to.output_count; first += kTileOutputs)
        for (const input_segment& s : segments) {
          for (std::uint32_t i = 0; i < s.inputs.size(); ++i) {
            const std::int8_t* const group = from.weights.data() + shard * from.shard_weights() +
                                             4 * std::size_t{s.inputs[i] / 4} * from.outputs +
                                             s.inputs[i] % 4;
            std::byte* const chunk = tile + std::size_t{i / kChunkInputs} * kChunkWeights;
            for (std::uint32_t o = 0; o < kTileOutputs && first + o < to.output_count; ++o)
              chunk[place_in_chunk(i % kChunkInputs, o)] =
                  static_cast<std::byte>(group[4 * std::size_t{outputs[first + o]}]);
          }
          tile += std::size_t{s.chunks()} * kChunkWeights;
        }
  }

  /// Returns where it begins. No data: zeros.
  std::size_t append(const void* data, std::size_t bytes) {
    const std::size_t at = plan_.image_.size();
    plan_.image_.resize(round_up<std::size_t>(at + bytes, 256));
    if (data != nullptr && bytes != 0) std::memcpy(plan_.image_.data() + at, data, bytes);
    return at;
  }

  const linear_model& model_;
  const std::vector<tensor_scales>& scales_;
  linear_plan& plan_;
  std::vector<std::uint32_t> place_of_;  // of a tensor of the profile in the plan's
  std::uint64_t hidden_byte_ = 0;
};

result<linear_plan> linear_plan::make(const profile& p, const block_geometry& g) {
  if (!p.content().linear) return bad("the profile has no linear propagation");
  if (g.layers == 0 || g.layers > 65536 || g.tokens == 0 || g.tokens > 65536)
    return bad("blocks have 1 to 65536 layers, and 1 to 65536 tokens");
  if (g.tensor_count == 0 || g.tensor_count > kMaxTensors)
    return bad("a block has 1 to " + std::to_string(kMaxTensors) + " tensors");
  linear_plan plan;
  plan.geometry_ = g;
  if (auto ok = builder(p, plan).build(); !ok) return ok.failure();
  return plan;
}

void linear_plan::place(const std::byte* image_dev) {
  sines_dev_ = reinterpret_cast<const std::uint32_t*>(image_dev);
  for (auto& t : tensors_) {
    if (!t) continue;
    for (const int which : {0, 1}) {
      linear_product_plan& p = which == 0 ? t->to_hidden : t->to_output;
      p.weights = image_dev + t->weights_at[which];
      p.sources = reinterpret_cast<const linear_source*>(image_dev + t->sources_at[which]);
      p.outputs = reinterpret_cast<const linear_channel*>(image_dev + t->outputs_at[which]);
    }
  }
}

const linear_tensor_plan* linear_plan::find(std::uint32_t layer, std::uint32_t tensor) const {
  if (layer >= geometry_.layers || tensor >= geometry_.tensor_count) return nullptr;
  const auto& t = tensors_[std::size_t{layer} * kMaxTensors + tensor];
  return t ? &*t : nullptr;
}

hide_parameters linear_plan::hide(const linear_tensor_plan& t, const linear_rows& rows,
                                  std::byte* room) const {
  return {rows,
          t.to_hidden,
          room,
          room + t.hidden_byte * rows.rows,
          t.hidden_row_bytes,
          t.hidden_shard_bytes};
}

predict_parameters linear_plan::predict(const linear_tensor_plan& t, const linear_rows& rows,
                                        const tensor_cache& bases, const tensor_cache& means,
                                        const std::byte* room) const {
  return {rows, t.to_output, room, bases, means, sines_dev_, t.has_bases, t.turns, t.is_predicted};
}

update_parameters linear_plan::update(const linear_tensor_plan& t, const linear_rows& rows,
                                      const tensor_cache& numbers, const tensor_cache& bases,
                                      std::byte* room) const {
  const linear_product_plan& p = t.to_output;
  return {rows,
          numbers,
          bases,
          p.outputs,
          sines_dev_,
          room + t.told.first_byte * rows.rows,
          t.told.row_bytes,
          p.shards,
          t.told.shard_bytes,
          p.output_tiles * kTileOutputs,
          p.output_count,
          t.has_bases,
          t.turns};
}

}  // namespace skv::cuda
