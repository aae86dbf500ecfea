#include <cuda_runtime_api.h>

#include <skv/cuda/linear.hpp>
#include <string>
#include <vector>

#include "linear_plan.hpp"
#include "prepared_kernel.hpp"
#include "refuse.hpp"

namespace skv::cuda {

struct linear::state {
  linear_plan plan;
  number_format target, mean;
  bool has_bases = false;
  void* memory = nullptr;
  std::size_t device_bytes = 0;
  prepared_kernel hide, predict, update, take;
  std::vector<prepared_kernel> update_draft;  ///< of outside rows; only where they are a draft's
  std::vector<number_format> draft_formats;

  explicit state(linear_plan p) : plan(std::move(p)) {}
  ~state() { cudaFree(memory); }

  result<done> prepare(const linear_model& model) {
    auto device = device_properties::current();
    if (!device) return device.failure();
    const auto to = [&](prepared_kernel& k, const kernel_entry& entry) -> result<done> {
      auto made = prepared_kernel::make(entry, block_plan{}, *device);
      if (!made) return made.failure();
      k = *made;
      return done{};
    };
    if (auto ok = to(hide, find_hide_kernel()); !ok) return ok;
    if (auto ok = to(predict, find_predict_kernel(mean.id)); !ok) return ok;
    if (auto ok = to(update, find_update_kernel(target.id, mean.id)); !ok) return ok;
    if (auto ok = to(take, find_take_kernel()); !ok) return ok;
    for (const linear_outside& o : model.outside) {
      update_draft.emplace_back();
      draft_formats.push_back(find_format(o.format).value_or(target));
      if (o.kind != outside_kind::draft) continue;
      const format_id f = draft_formats.back().id;
      if (auto ok = to(update_draft.back(), find_update_kernel(f, f)); !ok) return ok;
    }
    return done{};
  }

  /// What a call is about, a tensor or outside rows, and the tokens of its batch.
  template <class Of>
  struct call {
    const Of& of;
    linear_rows rows;
    std::byte* room;
  };
  template <class Of>
  result<call<Of>> begin(const Of* of, std::uint32_t layer, const linear_batch& batch,
                         const workspace& room) const {
    const std::uint64_t rows = std::uint64_t{batch.blocks.items} * plan.geometry().tokens;
    if (rows > 0x7fffffff) return bad("a batch has at most 2^31 - 1 tokens");
    if (auto ok = check_room(room, plan.bytes_of(batch.blocks.items)); !ok) return ok.failure();
    return call<Of>{*of,
                    {batch, layer, plan.geometry().tokens, static_cast<std::uint32_t>(rows)},
                    static_cast<std::byte*>(room.data)};
  }
  result<call<linear_tensor_plan>> begin(std::uint32_t layer, std::uint32_t tensor,
                                         const linear_batch& batch, const workspace& room) const {
    const linear_tensor_plan* const t = plan.find(layer, tensor);
    if (t == nullptr)
      return bad("layer " + std::to_string(layer) + ", tensor " + std::to_string(tensor) +
                 ": there is no such tensor");
    return begin(t, layer, batch, room);
  }
  result<call<linear_told>> begin_outside(std::uint32_t outside, const linear_batch& batch,
                                          const workspace& room) const {
    if (outside >= plan.outside().size())
      return bad("outside rows " + std::to_string(outside) +
                 ": the profile has none of that number");
    return begin(&plan.outside()[outside], 0, batch, room);
  }

  static result<tensor_place> cache_of(const paged_cache& cache, std::uint32_t tensor,
                                       number_format f, const char* what) {
    const tensor_place place = with_own_blocks(cache).tensors[tensor];
    if (auto ok = check_place(place, f.bytes(), what); !ok) return ok.failure();
    return place;
  }
  /// Not looked at if there are none.
  result<tensor_place> bases_of(const paged_cache& bases, std::uint32_t tensor) const {
    if (!has_bases) return tensor_place{};
    return cache_of(bases, tensor, mean, "bases");
  }

  /// Of an update, and of taking rows.
  static std::uint64_t runs_of(const linear_rows& rows) {
    return (std::uint64_t{rows.rows} + kRunTokens - 1) / kRunTokens;
  }
  template <class Parameters>
  static result<done> launch(const prepared_kernel& k, std::uint64_t work, launch_limits limits,
                             Parameters p, void* stream) {
    schedule s = k.grid_of(limits);
    if (work < s.grid_blocks) s.grid_blocks = static_cast<std::uint32_t>(work);
    return work == 0 ? result<done>(done{}) : k.launch(s, p, stream);
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
  if (auto ok = s->prepare(*p->content().linear); !ok) return ok.failure();
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
  const auto from = s.bases_of(bases, tensor);
  if (!from) return from.failure();
  const auto to = state::cache_of(means, tensor, s.mean, "means");
  if (!to) return to.failure();
  const linear_tensor_plan& t = c->of;
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
  tensor_place of, from;  // none: there are no such tokens
  if (numbers.blocks_of(tensor).are_given()) {
    const auto there = state::cache_of(numbers, tensor, s.target, "numbers");
    if (!there) return there.failure();
    const auto based = s.bases_of(bases, tensor);
    if (!based) return based.failure();
    of = *there;
    from = *based;
  }
  const linear_told& told = c->of.told;
  if (!told.is_source) return done{};
  return state::launch(s.update, state::runs_of(c->rows), limits,
                       s.plan.update(told, c->rows, of, s.has_bases ? &from : nullptr, c->room),
                       stream);
}

result<done> linear::take_async(std::uint32_t outside, const linear_batch& batch,
                                const outside_table& table, workspace room, void* stream,
                                launch_limits limits) const {
  const state& s = *state_;
  const auto c = s.begin_outside(outside, batch, room);
  if (!c) return c.failure();
  if (table.rows_dev == nullptr) return bad("outside rows: there are none");
  if (!c->of.is_source) return done{};
  return state::launch(s.take, state::runs_of(c->rows), limits,
                       s.plan.take(c->of, c->rows, table, c->room), stream);
}

result<done> linear::take_draft_async(std::uint32_t outside, const linear_batch& batch,
                                      const paged_cache& draft, workspace room, void* stream,
                                      launch_limits limits) const {
  const state& s = *state_;
  const auto c = s.begin_outside(outside, batch, room);
  if (!c) return c.failure();
  const prepared_kernel& k = s.update_draft[outside];
  if (!k.is_ready()) return bad("outside rows: these are not a draft's");
  const auto from = state::cache_of(draft, 0, s.draft_formats[outside], "draft");
  if (!from) return from.failure();
  if (!c->of.is_source) return done{};
  return state::launch(k, state::runs_of(c->rows), limits,
                       s.plan.update(c->of, c->rows, *from, nullptr, c->room), stream);
}

}  // namespace skv::cuda
