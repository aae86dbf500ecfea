#include <cuda_runtime_api.h>

#include <cstring>
#include <skv/cuda/codec.hpp>
#include <skv/entropy/table.hpp>
#include <string>

#include "prepared_kernel.hpp"
#include "refuse.hpp"

namespace skv::cuda {
namespace {

result<done> check_packed(const encoded_places& out) {
  if (out.offsets == nullptr || out.total_bytes == nullptr)
    return bad("packed blocks need offsets and a total");
  if (reinterpret_cast<std::uintptr_t>(out.packed) % kBlockAlign != 0)
    return bad("packed blocks must begin at a multiple of 16");
  return done{};
}

}  // namespace

struct codec::state {
  profile_ptr used_profile;
  block_plan plan{};
  number_format target, mean;
  void* memory = nullptr;
  const std::uint32_t* encode_table_dev = nullptr;
  const std::uint32_t* decode_table_dev = nullptr;
  const channel<std::uint32_t>* encode_channels_dev = nullptr;
  const channel<std::uint32_t>* decode_channels_dev = nullptr;
  prepared_kernel kernels[2][std::size(kHeadLayouts)];  ///< [encode][head_layout]
  prepared_kernel compact;

  ~state() { cudaFree(memory); }

  result<done> prepare(const device_properties& device) {
    const auto to = [&](prepared_kernel& k, const kernel_entry& entry) -> result<done> {
      auto made = prepared_kernel::make(entry, plan, device);
      if (!made) return made.failure();
      k = *made;
      return done{};
    };
    const profile_content& content = used_profile->content();
    for (const bool encode : {false, true})
      for (const head_layout heads : kHeadLayouts)
        if (auto ok =
                to(kernels[encode][static_cast<int>(heads)],
                   find_coding_kernel(encode, content.target, content.source, content.mean, heads));
            !ok)
          return ok;
    return to(compact, find_compact_kernel());
  }

  /// A cache as kernels want it. `is_mean`: opaque bytes have no place there.
  result<paged_cache> checked(const paged_cache& given, number_format f, bool is_mean) const {
    paged_cache cache = with_own_blocks(given);
    for (std::uint32_t i = 0; i < plan.tensor_count; ++i) {
      const bool is_opaque = plan.tensors[i].opaque_bytes != 0;
      if (is_opaque && is_mean) {
        cache.tensors[i].blocks = {};
        continue;
      }
      if (auto ok = check_place(cache.tensors[i], is_opaque ? 1 : f.bytes(),
                                is_mean ? "means" : "numbers");
          !ok)
        return ok.failure();
    }
    return cache;
  }

  /// The kernel for caches that `checked` made.
  const prepared_kernel& kernel_of(bool encode, const paged_cache& numbers,
                                   const paged_cache& means) const {
    const bool given = used_profile->content().source == mean_source::given;
    const head_layout heads = head_layout_of(plan, numbers, target, given ? &means : nullptr, mean);
    return kernels[encode][static_cast<int>(heads)];
  }

  template <class Parameters>
  static result<done> launch(const prepared_kernel& k, const schedule& s, Parameters& p,
                             const workspace& room, void* stream) {
    auto* const start = static_cast<std::byte*>(room.data);
    p.counter = reinterpret_cast<round_counter*>(start);
    p.round_blocks = s.round_blocks;
    const cudaError_t e = cudaMemsetAsync(start, 0, s.stages, static_cast<cudaStream_t>(stream));
    if (e != cudaSuccess) return device_error(e, "the workspace cannot be cleared");
    return k.launch(s, p, stream);
  }
};

codec::codec(std::unique_ptr<state> s) : state_(std::move(s)) {}
codec::codec(codec&&) noexcept = default;
codec& codec::operator=(codec&&) noexcept = default;
codec::~codec() = default;

result<codec> codec::make(const profile_ptr& p, const block_geometry& geometry) {
  auto s = std::make_unique<state>();
  s->used_profile = p;
  s->target = *find_format(static_cast<std::uint8_t>(p->content().target));
  s->mean = *find_format(static_cast<std::uint8_t>(p->content().mean));
  plan_arrays arrays;
  auto plan = make_plan(*p, geometry, arrays);
  if (!plan) return plan.failure();
  s->plan = *plan;

  auto device = device_properties::current();
  if (!device) return device.failure();

  // One allocation: tables, where channels begin, channels.
  std::vector<std::byte> image;
  const auto append = [&image](const void* data, std::size_t bytes) {
    const std::size_t at = image.size();
    image.resize(round_up<std::size_t>(at + bytes, 256));
    std::memcpy(image.data() + at, data, bytes);
    return at;
  };
  const std::size_t encode_at =
      append(p->encode_table(), std::size_t{p->contexts()} * kMaxTokens * encode_entry::kWords * 4);
  const std::size_t decode_at = append(p->decode_table(), std::size_t{p->contexts()} * kSlots * 4);
  const std::size_t starts_at =
      append(arrays.channel_starts.data(), arrays.channel_starts.size() * 4);
  const auto append_channels = [&append](const std::vector<channel<std::uint32_t>>& channels) {
    return append(channels.data(), channels.size() * sizeof channels[0]);
  };
  const std::size_t encode_channels_at = append_channels(arrays.encode_channels);
  const std::size_t decode_channels_at = append_channels(arrays.decode_channels);
  cudaError_t e = cudaMalloc(&s->memory, image.size());
  if (e == cudaSuccess)
    e = cudaMemcpy(s->memory, image.data(), image.size(), cudaMemcpyHostToDevice);
  if (e != cudaSuccess) return device_error(e, "the tables cannot be copied to the device");
  auto* const memory = static_cast<std::byte*>(s->memory);
  s->encode_table_dev = reinterpret_cast<const std::uint32_t*>(memory + encode_at);
  s->decode_table_dev = reinterpret_cast<const std::uint32_t*>(memory + decode_at);
  s->plan.channel_starts_dev = reinterpret_cast<const std::uint32_t*>(memory + starts_at);
  const auto channels = [memory](std::size_t at) {
    return reinterpret_cast<const channel<std::uint32_t>*>(memory + at);
  };
  s->encode_channels_dev = channels(encode_channels_at);
  s->decode_channels_dev = channels(decode_channels_at);

  if (auto ok = s->prepare(*device); !ok) return ok.failure();
  return codec(std::move(s));
}

std::uint32_t codec::layers() const { return state_->plan.layers; }

std::uint32_t codec::tiles_per_block() const { return state_->plan.tiles; }

std::uint32_t codec::max_block_bytes() const {
  return round_up(state_->plan.tiles * state_->plan.stage_bytes, kBlockAlign);
}

std::uint64_t codec::max_compressed_bytes(std::uint32_t items) const {
  return std::uint64_t{max_block_bytes()} * items * state_->plan.layers;
}

std::size_t codec::workspace_bytes(std::uint32_t max_items, launch_limits limits) const {
  const state& s = *state_;
  const auto needed = [&](launch_limits within) {
    std::size_t most = s.compact.schedule_of(s.plan, max_items, within, false).workspace_bytes;
    for (const auto& of_direction : s.kernels)
      for (const prepared_kernel& k : of_direction)
        most = std::max(most, k.schedule_of(s.plan, max_items, within, true).workspace_bytes);
    return most;
  };
  // Blocks are larger under a limit; the more there may be, the more they need.
  const std::uint32_t all = s.compact.multiprocessors();
  if (limits.multiprocessors != 0 && limits.multiprocessors < all) return needed(limits);
  return std::max(needed({}), needed({all - 1}));
}

result<done> codec::encode_async(const block_batch& batch, const paged_cache& numbers,
                                 const paged_cache& means, const encoded_places& out,
                                 workspace room, void* stream, launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  const bool given = s.used_profile->content().source == mean_source::given;
  const auto checked = s.checked(numbers, s.target, false);
  if (!checked) return checked.failure();
  const auto predicted = given ? s.checked(means, s.mean, true) : paged_cache{};
  if (!predicted) return predicted.failure();
  if (out.records == nullptr || out.sizes == nullptr || out.statuses == nullptr)
    return bad("records, sizes and statuses must be given");
  if (auto ok = out.packed != nullptr ? check_packed(out) : check_slots(out.slots); !ok) return ok;
  const prepared_kernel& k = s.kernel_of(true, *checked, *predicted);
  const schedule grid = k.schedule_of(*plan, batch.items, limits, true);
  if (auto ok = check_room(room, grid.workspace_bytes); !ok) return ok;
  encode_parameters p{};
  p.plan = *plan;
  p.batch = batch;
  p.numbers = *checked;
  p.means = *predicted;
  p.out = out;
  p.channels_dev = s.encode_channels_dev;
  p.table_dev = s.encode_table_dev;
  auto* const start = static_cast<std::byte*>(room.data);
  p.descriptors = reinterpret_cast<std::uint64_t*>(start + grid.descriptors);
  p.stages = start + grid.stages;
  return state::launch(k, grid, p, room, stream);
}

result<done> codec::compact_async(const block_batch& batch, const stored_places& in,
                                  const encoded_places& out, workspace room, void* stream,
                                  launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  if (auto ok = check_stored(in); !ok) return ok;
  if (out.packed == nullptr || out.sizes == nullptr || out.statuses == nullptr)
    return bad("a packed buffer, sizes and statuses must be given");
  if (auto ok = check_packed(out); !ok) return ok;
  const schedule grid = s.compact.schedule_of(*plan, batch.items, limits, false);
  if (auto ok = check_room(room, grid.workspace_bytes); !ok) return ok;
  compact_parameters p{};
  p.plan = *plan;
  p.batch = batch;
  p.in = in;
  p.out = out;
  p.descriptors =
      reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(room.data) + grid.descriptors);
  return state::launch(s.compact, grid, p, room, stream);
}

result<done> codec::decode_async(const block_batch& batch, const stored_places& in,
                                 const paged_cache& means, const paged_cache& numbers,
                                 bool in_place, const wanted_range& wanted, status* statuses,
                                 workspace room, void* stream, launch_limits limits) const {
  const state& s = *state_;
  const auto plan = plan_of(s.plan, batch);
  if (!plan) return plan.failure();
  const bool given = s.used_profile->content().source == mean_source::given;
  const auto checked = s.checked(numbers, s.target, false);
  if (!checked) return checked.failure();
  const auto predicted = given ? s.checked(means, s.mean, true) : paged_cache{};
  if (!predicted) return predicted.failure();
  if (auto ok = check_stored(in); !ok) return ok;
  if (in.records == nullptr || statuses == nullptr)
    return bad("records and statuses must be given");
  const wanted_range all;
  if (in_place && (in.packed != nullptr || wanted.first_token != 0 || wanted.first_head != 0 ||
                   wanted.tokens != all.tokens || wanted.heads != all.heads))
    return bad("in place, all of every block must be decoded from its own slot");
  const prepared_kernel& k = s.kernel_of(false, *checked, *predicted);
  const schedule grid = k.schedule_of(*plan, batch.items, limits, in_place);
  if (auto ok = check_room(room, grid.workspace_bytes); !ok) return ok;
  decode_parameters p{};
  p.plan = *plan;
  p.batch = batch;
  p.numbers = *checked;
  p.means = *predicted;
  p.in = in;
  p.wanted = wanted;
  p.statuses = statuses;
  p.channels_dev = s.decode_channels_dev;
  p.table_dev = s.decode_table_dev;
  if (in_place) p.stages = static_cast<std::byte*>(room.data) + grid.stages;
  return state::launch(k, grid, p, room, stream);
}

}  // namespace skv::cuda
