#include <cuda_runtime_api.h>

#include <skv/cuda/linear.hpp>
#include <string>
#include <tuple>

#include "linear_plan.hpp"
#include "prepared_kernel.hpp"

namespace skv::cuda {
namespace {

error bad(std::string what) { return fail(status::invalid_argument, std::move(what)); }

constexpr linear_policy kPolicy = linear_policy_of(0);  // threads are the same everywhere

}  // namespace

struct linear::state {
  linear_plan plan;
  number_format target, mean;
  bool has_bases = false;
  void* memory = nullptr;
  std::size_t device_bytes = 0;
  prepared_kernel hide, predict, update;

  explicit state(linear_plan p) : plan(std::move(p)) {}
  ~state() { cudaFree(memory); }

  result<done> prepare() {
    auto device = device_properties::current();
    if (!device) return device.failure();
    for (const auto& [kernel, entry, threads] :
         {std::tuple{&hide, find_hide_kernel(), kPolicy.product.threads},
          std::tuple{&predict, find_predict_kernel(mean.id), kPolicy.product.threads},
          std::tuple{&update, find_update_kernel(target.id, mean.id), kPolicy.update.threads}}) {
      auto made = prepared_kernel::make(entry, threads, 0, 0, *device);
      if (!made) return made.failure();
      *kernel = *made;
    }
    return done{};
  }

  struct call {
    const linear_tensor_plan* tensor;
    linear_rows rows;
    std::byte* room;
  };
  result<call> begin(std::uint32_t layer, std::uint32_t tensor, const linear_batch& batch,
                     const workspace& room) const {
    const linear_tensor_plan* const t = plan.find(layer, tensor);
    if (t == nullptr)
      return bad("layer " + std::to_string(layer) + ", tensor " + std::to_string(tensor) +
                 ": the profile has no such tensor");
    const std::uint64_t rows = std::uint64_t{batch.blocks.items} * plan.geometry().tokens;
    if (rows > 0x7fffffff) return bad("a batch has at most 2^31 - 1 tokens");
    if (auto ok = check_room(room, plan.bytes_of(batch.blocks.items)); !ok) return ok.failure();
    return call{t,
                {batch, layer, plan.geometry().tokens, static_cast<std::uint32_t>(rows)},
                static_cast<std::byte*>(room.data)};
  }

  static result<tensor_cache> take(const paged_cache& cache, std::uint32_t tensor, number_format f,
                                   const char* what) {
    if (auto ok = check_blocks(cache.blocks, what); !ok) return ok.failure();
    if (!are_aligned(cache.blocks, f.bytes()) || !is_aligned(cache.tensors[tensor], f.bytes()))
      return misaligned(what, f.bytes());
    return tensor_cache{cache.blocks, cache.tensors[tensor]};
  }
  /// Not looked at if there are none.
  result<tensor_cache> take_bases(const paged_cache& bases, std::uint32_t tensor) const {
    if (!has_bases) return tensor_cache{};
    return take(bases, tensor, mean, "bases");
  }

  template <class Parameters>
  static result<done> launch(const prepared_kernel& k, std::uint64_t work, launch_limits limits,
                             Parameters p, void* stream) {
    const std::uint64_t most = k.blocks_within(limits);
    const auto blocks = static_cast<std::uint32_t>(work < most ? work : most);
    return blocks == 0 ? result<done>(done{}) : k.launch(blocks, p, stream);
  }
};

linear::linear(std::unique_ptr<state> s) : state_(std::move(s)) {}
linear::linear(linear&&) noexcept = default;
linear& linear::operator=(linear&&) noexcept = default;
linear::~linear() = default;

result<linear> linear::make(const profile_ptr& p, const block_geometry& geometry) {
  auto plan = linear_plan::make(*p, geometry);
  if (!plan) return plan.failure();
  auto s = std::make_unique<state>(*std::move(plan));
  s->target = *find_format(static_cast<std::uint8_t>(p->content().target));
  s->mean = *find_format(static_cast<std::uint8_t>(p->content().mean));
  s->has_bases = p->content().base() == mean_source::given;
  if (auto ok = s->prepare(); !ok) return ok.failure();
  const std::vector<std::byte> image = s->plan.take_image();
  cudaError_t e = cudaMalloc(&s->memory, image.size());
  if (e == cudaSuccess)
    e = cudaMemcpy(s->memory, image.data(), image.size(), cudaMemcpyHostToDevice);
  if (e != cudaSuccess) return device_error(e, "the weights cannot be copied to the device");
  s->device_bytes = image.size();
  s->plan.place(static_cast<const std::byte*>(s->memory));
  return linear(std::move(s));
}

bool linear::starts_chain(std::uint32_t layer) const {
  return layer < state_->plan.geometry().layers && state_->plan.starts_chain(layer);
}
std::size_t linear::device_bytes() const { return state_->device_bytes; }
std::size_t linear::workspace_bytes(std::uint32_t max_items) const {
  return state_->plan.bytes_of(max_items);
}

result<done> linear::predict_async(std::uint32_t layer, std::uint32_t tensor,
                                   const linear_batch& batch, const paged_cache& bases,
                                   const paged_cache& means, workspace room, void* stream,
                                   launch_limits limits) const {
  const state& s = *state_;
  const auto c = s.begin(layer, tensor, batch, room);
  if (!c) return c.failure();
  const auto from = s.take_bases(bases, tensor);
  if (!from) return from.failure();
  const auto to = state::take(means, tensor, s.mean, "means");
  if (!to) return to.failure();
  const linear_tensor_plan& t = *c->tensor;
  const auto tiles_of = [&](const linear_product_plan& product) {
    return (std::uint64_t{c->rows.rows} + kTileTokens - 1) / kTileTokens * product.tiles_of_rows();
  };
  if (t.to_hidden.output_count != 0)
    if (auto ok = state::launch(s.hide, tiles_of(t.to_hidden), limits,
                                s.plan.hide(t, c->rows, c->room), stream);
        !ok)
      return ok;
  return state::launch(s.predict, tiles_of(t.to_output), limits,
                       s.plan.predict(t, c->rows, *from, *to, c->room), stream);
}

result<done> linear::update_async(std::uint32_t layer, std::uint32_t tensor,
                                  const linear_batch& batch, const paged_cache& numbers,
                                  const paged_cache& bases, workspace room, void* stream,
                                  launch_limits limits) const {
  const state& s = *state_;
  const auto c = s.begin(layer, tensor, batch, room);
  if (!c) return c.failure();
  const bool is_missing = numbers.blocks.base == nullptr && numbers.blocks.pointers_dev == nullptr;
  const auto of = is_missing ? result<tensor_cache>(tensor_cache{})
                             : state::take(numbers, tensor, s.target, "numbers");
  if (!of) return of.failure();
  const auto from = is_missing ? result<tensor_cache>(tensor_cache{}) : s.take_bases(bases, tensor);
  if (!from) return from.failure();
  if (!c->tensor->is_source) return done{};
  const std::uint32_t warps = kPolicy.update.threads / kLanes;
  return state::launch(s.update, (std::uint64_t{c->rows.rows} + warps - 1) / warps, limits,
                       s.plan.update(*c->tensor, c->rows, *of, *from, c->room), stream);
}

}  // namespace skv::cuda
