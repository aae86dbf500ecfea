#include <cuda_runtime_api.h>

#include <cstring>
#include <skv/cuda/codec.hpp>
#include <skv/entropy/table.hpp>
#include <string>

#include "launch.hpp"
#include "schedule.hpp"
#include "tuning.hpp"

namespace skv::cuda {
namespace {

error device_error(cudaError_t e, const char* doing) {
  return fail(status::unsupported, std::string(doing) + ": " + cudaGetErrorString(e));
}
error bad(std::string what) { return fail(status::invalid_argument, std::move(what)); }

kernel_entry find(bool encode, const profile_content& p, bool one_row) {
  const auto of = [&]<format_id T>() {
    return encode ? find_encode_kernel<T>(p.source, p.mean, one_row)
                  : find_decode_kernel<T>(p.source, p.mean, one_row);
  };
  switch (p.target) {
    case format_id::bf16: return of.template operator()<format_id::bf16>();
    case format_id::fp16: return of.template operator()<format_id::fp16>();
    case format_id::e4m3: return of.template operator()<format_id::e4m3>();
    case format_id::e5m2: return of.template operator()<format_id::e5m2>();
  }
  return {};
}

/// A kernel ready to be launched.
struct prepared_kernel {
  const void* function = nullptr;
  std::uint32_t threads = 0;
  std::uint32_t blocks_per_multiprocessor = 0;
  std::size_t shared_bytes = 0;
  std::uint32_t round_blocks = 0;
};

constexpr policy kPolicy = policy_of(0);  // threads are the same for all architectures

}  // namespace

struct codec::state {
  profile_ptr used_profile;
  block_plan plan{};
  number_format target, mean;
  std::uint32_t multiprocessors = 0;
  void* memory = nullptr;
  const std::uint32_t* encode_table_dev = nullptr;
  const std::uint32_t* decode_table_dev = nullptr;
  const channel<std::uint32_t>* encode_channels_dev = nullptr;
  const channel<std::uint32_t>* decode_channels_dev = nullptr;
  prepared_kernel kernels[2][2];  ///< [encode][one row]

  ~state() { cudaFree(memory); }

  result<done> prepare(bool encode, bool one_row, int max_shared) {
    const kernel_entry entry = find(encode, used_profile->content(), one_row);
    if (entry.function == nullptr) return fail(status::unsupported, "there is no such coding");
    prepared_kernel& k = kernels[encode][one_row];
    k.function = entry.function;
    k.threads = (encode ? kPolicy.encode : kPolicy.decode).threads;
    k.round_blocks = make_schedule(plan, 1, k.threads / kLanes, 1, false).round_blocks;
    k.shared_bytes = entry.shared_bytes(k.round_blocks, plan.tiles);
    if (k.shared_bytes > static_cast<std::size_t>(max_shared))
      return fail(status::unsupported, "a block needs " + std::to_string(k.shared_bytes) +
                                           " bytes of shared memory: make tiles larger");
    cudaError_t e = cudaFuncSetAttribute(k.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(k.shared_bytes));
    int blocks = 0;
    if (e == cudaSuccess)
      e = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
          &blocks, k.function, static_cast<int>(k.threads), k.shared_bytes);
    if (e != cudaSuccess) return device_error(e, "a kernel cannot be loaded");
    if (blocks == 0) return fail(status::unsupported, "a kernel does not fit this device");
    k.blocks_per_multiprocessor = static_cast<std::uint32_t>(blocks);
    return done{};
  }

  schedule schedule_of(const prepared_kernel& k, std::uint32_t items, launch_limits limits,
                       bool staged) const {
    std::uint32_t used = multiprocessors;
    if (limits.multiprocessors != 0 && limits.multiprocessors < used) used = limits.multiprocessors;
    return make_schedule(plan, items, k.threads / kLanes, used * k.blocks_per_multiprocessor,
                         staged);
  }

  /// Do the heads of every token follow each other?
  bool is_one_row(const paged_cache& cache, number_format f) const {
    for (std::uint32_t i = 0; i < plan.tensor_count; ++i) {
      const tensor_plan& t = plan.tensors[i];
      if (t.opaque_bytes == 0 && t.heads != 1 &&
          cache.tensors[i].head_stride_bytes != std::int64_t{t.head_dim} * f.bytes())
        return false;
    }
    return true;
  }

  result<done> check(const paged_cache& cache, number_format f, const char* what) const {
    const block_places& b = cache.blocks;
    const std::int64_t size = f.bytes();
    if (b.base == nullptr && b.pointers_dev == nullptr)
      return bad(std::string(what) + ": there is neither a base nor pointers");
    bool aligned = reinterpret_cast<std::uintptr_t>(b.base) % f.bytes() == 0 &&
                   b.layer_stride_bytes % size == 0 && b.block_stride_bytes % size == 0;
    for (std::uint32_t i = 0; i < plan.tensor_count; ++i) {
      const tensor_place& t = cache.tensors[i];
      if (plan.tensors[i].opaque_bytes == 0)
        aligned &= t.offset_bytes % size == 0 && t.token_stride_bytes % size == 0 &&
                   t.head_stride_bytes % size == 0;
    }
    if (!aligned)
      return bad(std::string(what) + ": numbers must be aligned to their " +
                 std::to_string(f.bytes()) + " bytes");
    return done{};
  }

  result<done> check_batch(const block_batch& batch) const {
    if (std::uint64_t{batch.items} * plan.layers > 0x7fffffff)
      return bad("a batch has at most 2^31 - 1 blocks");
    return done{};
  }

  result<done> check_room(const workspace& room, std::size_t needed) const {
    if (room.bytes < needed)
      return bad("the workspace has " + std::to_string(room.bytes) + " bytes, but " +
                 std::to_string(needed) + " are needed");
    if (room.data == nullptr || reinterpret_cast<std::uintptr_t>(room.data) % 256 != 0)
      return bad("the workspace must be device memory at a multiple of 256");
    return done{};
  }

  template <class Parameters>
  static result<done> launch(const prepared_kernel& k, const schedule& s, Parameters& p,
                             const workspace& room, bool staged, void* stream) {
    auto* const on = static_cast<cudaStream_t>(stream);
    auto* const start = static_cast<std::byte*>(room.data);
    p.counter = reinterpret_cast<round_counter*>(start);
    p.stages = staged ? start + s.stages : nullptr;
    p.round_blocks = s.round_blocks;
    void* arguments[] = {&p};
    cudaError_t e = cudaMemsetAsync(start, 0, s.stages, on);
    if (e == cudaSuccess)
      e = cudaLaunchKernel(k.function, dim3(s.grid_blocks), dim3(k.threads), arguments,
                           k.shared_bytes, on);
    if (e != cudaSuccess) return device_error(e, "a kernel was not launched");
    return done{};
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

  int device = 0, multiprocessors = 0, max_shared = 0;
  cudaError_t e = cudaGetDevice(&device);
  if (e == cudaSuccess)
    e = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (e == cudaSuccess)
    e = cudaDeviceGetAttribute(&max_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (e != cudaSuccess) return device_error(e, "there is no device");
  s->multiprocessors = static_cast<std::uint32_t>(multiprocessors);

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
  e = cudaMalloc(&s->memory, image.size());
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

  for (const bool encode : {false, true})
    for (const bool one_row : {false, true})
      if (auto ok = s->prepare(encode, one_row, max_shared); !ok) return ok.failure();
  return codec(std::move(s));
}

std::uint32_t codec::tiles_per_block() const { return state_->plan.tiles; }

std::uint32_t codec::max_block_bytes() const {
  return round_up(state_->plan.tiles * state_->plan.stage_bytes, kBlockAlign);
}

std::uint64_t codec::max_compressed_bytes(std::uint32_t items) const {
  return std::uint64_t{max_block_bytes()} * items * state_->plan.layers;
}

std::size_t codec::workspace_bytes(std::uint32_t max_items, launch_limits limits) const {
  std::size_t most = 0;
  for (const auto& of_direction : state_->kernels)
    for (const prepared_kernel& k : of_direction)
      most = std::max(most, state_->schedule_of(k, max_items, limits, true).workspace_bytes);
  return most;
}

result<done> codec::encode_async(const block_batch& batch, const paged_cache& numbers,
                                 const paged_cache& means, const encoded_places& out,
                                 workspace room, void* stream, launch_limits limits) const {
  const state& s = *state_;
  if (auto ok = s.check_batch(batch); !ok) return ok;
  const bool given = s.used_profile->content().source == mean_source::given;
  if (auto ok = s.check(numbers, s.target, "numbers"); !ok) return ok;
  if (given)
    if (auto ok = s.check(means, s.mean, "means"); !ok) return ok;
  if (out.records == nullptr || out.sizes == nullptr || out.statuses == nullptr)
    return bad("records, sizes and statuses must be given");
  if (out.packed != nullptr) {
    if (out.offsets == nullptr || out.total_bytes == nullptr)
      return bad("packed blocks need offsets and a total");
    if (reinterpret_cast<std::uintptr_t>(out.packed) % kBlockAlign != 0)
      return bad("packed blocks must begin at a multiple of 16");
  } else if (out.slots.pointers_dev == nullptr &&
             (out.slots.base == nullptr ||
              reinterpret_cast<std::uintptr_t>(out.slots.base) % kTileAlign != 0 ||
              out.slots.layer_stride_bytes % kTileAlign != 0 ||
              out.slots.block_stride_bytes % kTileAlign != 0)) {
    return bad("slots must exist and begin at multiples of 4");
  }
  const bool one_row = s.is_one_row(numbers, s.target) && (!given || s.is_one_row(means, s.mean));
  const prepared_kernel& k = s.kernels[true][one_row];
  const schedule plan = s.schedule_of(k, batch.items, limits, true);
  if (auto ok = s.check_room(room, plan.workspace_bytes); !ok) return ok;
  encode_parameters p{};
  p.plan = s.plan;
  p.batch = batch;
  p.numbers = numbers;
  p.means = means;
  p.out = out;
  p.channels_dev = s.encode_channels_dev;
  p.table_dev = s.encode_table_dev;
  p.descriptors =
      reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(room.data) + plan.descriptors);
  return state::launch(k, plan, p, room, true, stream);
}

result<done> codec::decode_async(const block_batch& batch, const stored_places& in,
                                 const paged_cache& means, const paged_cache& numbers,
                                 bool in_place, const wanted_range& wanted, status* statuses,
                                 workspace room, void* stream, launch_limits limits) const {
  const state& s = *state_;
  if (auto ok = s.check_batch(batch); !ok) return ok;
  const bool given = s.used_profile->content().source == mean_source::given;
  if (auto ok = s.check(numbers, s.target, "numbers"); !ok) return ok;
  if (given)
    if (auto ok = s.check(means, s.mean, "means"); !ok) return ok;
  if (in.records == nullptr || in.sizes == nullptr || in.statuses == nullptr ||
      statuses == nullptr || (in.packed != nullptr && in.offsets == nullptr))
    return bad("records, sizes, statuses and, for packed blocks, offsets must be given");
  if (in.packed == nullptr && in.slots.base == nullptr && in.slots.pointers_dev == nullptr)
    return bad("there are no slots");
  const wanted_range all;
  if (in_place && (in.packed != nullptr || wanted.first_token != 0 || wanted.first_head != 0 ||
                   wanted.tokens != all.tokens || wanted.heads != all.heads))
    return bad("in place, all of every block must be decoded from its own slot");
  const bool one_row = s.is_one_row(numbers, s.target) && (!given || s.is_one_row(means, s.mean));
  const prepared_kernel& k = s.kernels[false][one_row];
  const schedule plan = s.schedule_of(k, batch.items, limits, in_place);
  if (auto ok = s.check_room(room, plan.workspace_bytes); !ok) return ok;
  decode_parameters p{};
  p.plan = s.plan;
  p.batch = batch;
  p.numbers = numbers;
  p.means = means;
  p.in = in;
  p.wanted = wanted;
  p.statuses = statuses;
  p.channels_dev = s.decode_channels_dev;
  p.table_dev = s.decode_table_dev;
  return state::launch(k, plan, p, room, in_place, stream);
}

}  // namespace skv::cuda
