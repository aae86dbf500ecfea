#include "linear_plan.hpp"

#include <algorithm>
#include <cstring>
#include <skv/predict/linear.hpp>
#include <string>

#include "linear_order.hpp"
#include "plan.hpp"
#include "refuse.hpp"

namespace skv::cuda {
namespace {

constexpr std::uint32_t kNone = 0xffffffff;

std::uint32_t width_of(const tensor_scales& t) { return t.heads * t.head_dim; }

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
    add_outside();
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
        return s < scales_.size() && scales_[s].id.layer < g.first_layer + layer;
      };
      bool starts = true;
      for (std::uint32_t i = 0; i < scales_.size(); ++i)
        if (!is_before(i) && scales_[i].id.layer < g.first_layer + g.layers)
          starts &= std::ranges::none_of(model_.tensors[i].sources, is_before);
      plan_.starts_chain_.push_back(starts);
    }
  }

  linear_told& told_of(std::uint32_t source) {
    return source < scales_.size() ? plan_.tensors_[place_of_[source]]->told
                                   : plan_.outside_[source - scales_.size()];
  }
  /// Is it in the geometry?
  bool exists(std::uint32_t source) const {
    return source >= scales_.size() || place_of_[source] != kNone;
  }

  /// Rows that are no longer needed make room for others; outside rows are needed to the end.
  void place_innovations() {
    const auto tensors = static_cast<std::uint32_t>(scales_.size());
    std::vector<std::uint32_t> last_use(tensors + model_.outside.size(), kNone);
    for (std::uint32_t i = 0; i < tensors; ++i)
      if (exists(i))
        for (const std::uint32_t s : model_.tensors[i].sources) last_use[s] = i;
    struct slot {
      std::uint32_t row_bytes, last_use;
    };
    std::vector<slot> slots;
    std::vector<std::uint32_t> slot_of(last_use.size(), kNone);
    const auto place = [&](std::uint32_t i, std::uint32_t inputs, std::uint32_t shards,
                           std::uint32_t until) {
      linear_told& t = told_of(i);
      t.is_source = true;
      const std::uint32_t shard_bytes = round_up(inputs, kChunkInputs);
      t.rows = {0, shards * shard_bytes, shard_bytes, shard_bytes / kChunkInputs};
      const auto unused =
          std::ranges::find_if(slots, [&](const slot& s) { return s.last_use <= i; });
      slot_of[i] = static_cast<std::uint32_t>(unused - slots.begin());
      if (unused == slots.end()) slots.push_back({0, 0});
      slot& s = slots[slot_of[i]];
      s = {std::max(s.row_bytes, t.rows.row_bytes), until};
    };
    plan_.outside_.resize(model_.outside.size());
    for (std::uint32_t i = tensors; i < last_use.size(); ++i)
      if (last_use[i] != kNone) place(i, model_.outside[i - tensors].width(), 1, kNone);
    for (std::uint32_t i = 0; i < tensors; ++i)
      if (exists(i) && last_use[i] != kNone)
        place(i, width_of(scales_[i]) / model_.shards, model_.shards, last_use[i]);
    std::vector<std::uint32_t> begin;
    for (const slot& s : slots) {
      begin.push_back(plan_.token_bytes_);
      plan_.token_bytes_ += s.row_bytes;
    }
    for (std::uint32_t i = 0; i < slot_of.size(); ++i)
      if (slot_of[i] != kNone) told_of(i).rows.first_byte = begin[slot_of[i]];
    hidden_byte_ = plan_.token_bytes_;
  }

  /// Every shard sees all of outside rows.
  channel_order order_of(std::uint32_t source) const {
    const bool is_outside = source >= scales_.size();
    const std::uint8_t r =
        is_outside ? model_.outside[source - scales_.size()].rotary : model_.tensors[source].rotary;
    const rotary* const turning = r == 0 ? nullptr : &model_.rotaries[r - 1u];
    if (!is_outside)
      return {{scales_[source].heads, scales_[source].head_dim}, turning, model_.shards};
    const linear_outside& o = model_.outside[source - scales_.size()];
    return {{o.heads, o.head_dim}, turning, 1};
  }

  void add_outside() {
    for (std::size_t i = 0; i < model_.outside.size(); ++i) {
      const linear_outside& o = model_.outside[i];
      linear_told& t = plan_.outside_[i];
      if (!t.is_source) continue;
      std::vector<linear_channel> channels =
          channels_of(order_of(static_cast<std::uint32_t>(scales_.size() + i)), o.head_dim, o.units,
                      o.centres, o.shifts);
      t.turns = o.rotary != 0;
      t.channel_count = o.width();
      t.shard_channels = t.rows.row_bytes;
      channels.resize(t.shard_channels);
      t.channels_at = append(channels.data(), channels.size() * sizeof channels[0]);
    }
  }

  void add_tensor(linear_tensor_plan& t) {
    const linear_tensor& model = model_.tensors[t.index];
    t.is_predicted = model.is_predicted;
    t.has_bases = model_.base == mean_source::given;
    const channel_order order = order_of(t.index);
    std::vector<linear_channel> channels =
        channels_of(order, scales_[t.index].head_dim, model.units, model.centres, model.shifts);
    if (!model.sources.empty())
      for (std::size_t i = 0; i < channels.size(); ++i) {
        channels[i].multiplier = model.to_output.multipliers[order.channels[i]];
        channels[i].sum_shift = model.to_output.shifts[order.channels[i]];
      }
    std::vector<std::uint32_t> outputs;  // of a shard; the order is that of all shards
    for (std::uint32_t i = 0; i < order.shard_width; ++i) outputs.push_back(order.channels[i]);

    std::vector<input_segment> segments;
    std::vector<linear_source> sources;
    std::uint32_t first_input = 0;
    for (const std::uint32_t s : model.sources) {
      const channel_order of_source = order_of(s);
      if (exists(s)) {
        input_segment& segment = segments.emplace_back();
        for (std::uint32_t i = 0; i < of_source.shard_width; ++i)
          segment.inputs.push_back(first_input + of_source.channels[i]);
        sources.push_back(told_of(s).rows);
        if (s >= scales_.size()) sources.back().shard_bytes = 0;
      }
      first_input += of_source.shard_width;
    }
    if (model.rank == 0) {
      add_product(t, 1, model.to_output, segments, sources, outputs, channels);
    } else {
      add_low_rank(t, model, segments, sources, outputs, channels);
    }
    linear_told& told = t.told;
    told.turns = model.rotary != 0;
    told.shards = model_.shards;
    told.shard_channels = t.to_output.output_tiles * kTileOutputs;
    told.channel_count = order.shard_width;
    told.channels_at = t.outputs_at[1];
  }

  void add_low_rank(linear_tensor_plan& t, const linear_tensor& model,
                    const std::vector<input_segment>& segments,
                    const std::vector<linear_source>& sources,
                    const std::vector<std::uint32_t>& outputs,
                    const std::vector<linear_channel>& channels) {
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

    place_weights(from, to, segments, outputs, plan_.image_.data() + t.weights_at[which]);
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
    t->told.channels = reinterpret_cast<const linear_channel*>(image_dev + t->told.channels_at);
  }
  for (linear_told& o : outside_)
    o.channels = reinterpret_cast<const linear_channel*>(image_dev + o.channels_at);
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
                                        const tensor_place& bases, const tensor_place& means,
                                        const std::byte* room) const {
  return {rows,       t.to_output, room,         bases,         means,
          sines_dev_, t.has_bases, t.told.turns, t.is_predicted};
}

update_parameters linear_plan::update(const linear_told& t, const linear_rows& rows,
                                      const tensor_place& numbers, const tensor_place* bases,
                                      std::byte* room) const {
  return {rows,
          numbers,
          bases == nullptr ? tensor_place{} : *bases,
          t.channels,
          sines_dev_,
          room + t.rows.first_byte * rows.rows,
          t.rows.row_bytes,
          t.shards,
          t.rows.shard_bytes,
          t.shard_channels,
          t.channel_count,
          bases != nullptr,
          t.turns};
}

take_parameters linear_plan::take(const linear_told& t, const linear_rows& rows,
                                  const outside_table& table, std::byte* room) const {
  return {rows, table, room + t.rows.first_byte * rows.rows, t.rows.row_bytes, t.channel_count};
}

}  // namespace skv::cuda
