#include "device_linear.hpp"

#include <cmath>
#include <cstring>
#include <deque>
#include <random>
#include <skv/cuda/reference.hpp>
#include <skv/predict/linear.hpp>

#include "stop.hpp"

namespace skv::bench {
namespace {

rotary half_of(std::uint32_t head_dim) {
  rotary r;
  for (std::uint32_t i = 0; i < head_dim / 2; ++i) {
    const double radians = std::pow(10000.0, -2.0 * i / head_dim);
    r.frequencies.push_back(
        static_cast<std::uint64_t>(std::ldexp(radians / 6.283185307179586, 64)));
  }
  return r;
}

// The same profile, with a model that is predicted from the layer before, and V also from K.
profile_ptr with_linear_model(const profile& p) {
  profile_content c = p.content();
  linear_model& m = c.linear.emplace();
  m.base = mean_source::given;
  m.rotaries = {half_of(c.scales.front().head_dim)};
  std::mt19937 random(1);
  std::deque<std::vector<std::int8_t>> weights;
  for (std::uint32_t i = 0; i < c.scales.size(); ++i) {
    const std::uint32_t width = c.scales[i].heads * c.scales[i].head_dim;
    const bool is_value = c.scales[i].id.kind == tensor_kind::v;
    linear_tensor t;
    t.rotary = is_value ? 0 : 1;
    t.units.assign(width, kUnitOrigin + 20);
    t.centres.assign(width, 0);
    t.shifts.assign(width, 8);
    for (std::uint32_t s = i - i % 2 < 2 ? i - i % 2 : i - i % 2 - 2; s < i; ++s)
      t.sources.push_back(s);
    t.is_predicted = !t.sources.empty();
    if (t.is_predicted) {
      t.to_output.inputs = static_cast<std::uint32_t>(t.sources.size()) * width;
      t.to_output.outputs = width;
      t.to_output.multipliers.assign(width, 0);
      t.to_output.shifts.assign(width, 8);
      auto& w = weights.emplace_back(t.to_output.shard_weights());
      for (std::int8_t& each : w) each = static_cast<std::int8_t>(random());
      t.to_output.weights = w;
    }
    m.tensors.push_back(std::move(t));
  }
  return value_of(profile::make(std::move(c)));
}

}  // namespace

linear_subject::linear_subject(std::uint32_t items, const page_set& pages, device_arena& arena)
    : items_(items),
      pages_(pages),
      profile_(with_linear_model(*pages.used_profile)),
      steps_(value_of(cuda::linear::make(profile_, pages.geometry))),
      coder_(value_of(cuda::tensor_codec::make(profile_, pages.geometry))) {
  check(cudaStreamCreate(&stream_));
  slot_bytes_ = coder_.of(0).max_block_bytes();
  tiles_ = coder_.of(0).tiles_per_block();
  allocated_ = allocate(arena);
}

linear_subject::~linear_subject() { cudaStreamDestroy(stream_); }

bool linear_subject::allocate(device_arena& arena) {
  arena.reset(this);
  const std::size_t pages = std::size_t{items_} * layers(), blocks = 2 * pages;
  original_ = arena.array<std::byte>(pages * pages_.page_bytes);
  cache_ = arena.array<std::byte>(pages * pages_.page_bytes);
  bases_ = arena.array<std::byte>(pages * pages_.mean_page_bytes);
  means_ = arena.array<std::byte>(pages * pages_.mean_page_bytes);
  slots_ = arena.array<std::byte>(blocks * slot_bytes_);
  records_ = arena.array<tile_record>(blocks * tiles_);
  sizes_ = arena.array<std::uint32_t>(blocks);
  statuses_ = arena.array<status>(blocks);
  decoded_ = arena.array<status>(blocks);
  room_.bytes = coder_.workspace_bytes(items_);
  room_.data = arena.take(room_.bytes);
  passed_on_.bytes = steps_.workspace_bytes(items_);
  passed_on_.data = arena.take(passed_on_.bytes);
  for (const void* p :
       std::initializer_list<const void*>{original_, cache_, bases_, means_, slots_, records_,
                                          sizes_, statuses_, decoded_, room_.data, passed_on_.data})
    if (p == nullptr) return false;
  return true;
}

std::string linear_subject::verify() {
  tile_pages(original_, pages_.numbers.data(), layers(), pages_.pages, items_, pages_.page_bytes);
  tile_pages(bases_, pages_.means.data(), layers(), pages_.pages, items_, pages_.mean_page_bytes);
  check(cudaMemsetAsync(cache_, 0x5a, raw_bytes(), stream_));
  run(linear_work::encode, true);
  run(linear_work::decode, true);
  check(cudaStreamSynchronize(stream_));
  std::vector<status> statuses(std::size_t{items_} * layers() * 2);
  check(cudaMemcpy(statuses.data(), decoded_, statuses.size(), cudaMemcpyDeviceToHost));
  for (const status s : statuses)
    if (s != status::ok) return "a block was not decoded: " + std::string(to_string(s));
  std::vector<std::byte> page(pages_.page_bytes);
  const std::size_t step = items_ / 500 + 1;
  for (std::uint32_t layer = 0; layer < layers(); ++layer)
    for (std::size_t i = 0; i < items_; i += step) {
      check(cudaMemcpy(page.data(), cache_ + (layer * std::size_t{items_} + i) * page.size(),
                       page.size(), cudaMemcpyDeviceToHost));
      if (std::memcmp(page.data(), pages_.page(layer, i), page.size()) != 0)
        return "the numbers did not come back";
    }
  return "";
}

void linear_subject::run(linear_work what, bool with_linear) {
  const cuda::paged_cache means = cache_at(means_, pages_.mean_page_bytes, pages_.mean);
  const cuda::reference bases{cache_at(bases_, pages_.mean_page_bytes, pages_.mean)};
  if (with_linear)
    run(what, cuda::linear_predictor(steps_, {{items_}}, bases, means, passed_on_));
  else
    run(what, bases);
}

template <cuda::stream_predictor P>
void linear_subject::run(linear_work what, P predictor) {
  const cuda::block_batch batch{items_};
  const cuda::paged_cache numbers =
      cache_at(what == linear_work::decode ? cache_ : original_, pages_.page_bytes, pages_.target);
  if (what == linear_work::encode)
    value_of(coder_.encode_async(predictor, batch, numbers, places(), room_, stream_));
  if (what == linear_work::decode)
    value_of(coder_.decode_async(predictor, batch, as_stored(places()), numbers, decoded_, room_,
                                 stream_));
  if (what != linear_work::pass) return;
  for (std::uint32_t layer = 0; layer < layers(); ++layer)
    for (std::uint32_t i = 0; i < 2; ++i) {
      value_of(predictor.predict_async(layer, i, stream_));
      value_of(predictor.update_async(layer, i, numbers, stream_));
    }
}

double linear_subject::multiply_adds() const {
  double of_token = 0;
  for (const linear_tensor& t : profile_->content().linear->tensors)
    of_token += static_cast<double>(t.to_output.inputs) * t.to_output.outputs;
  return of_token * items_ * kPageTokens;
}

cuda::paged_cache linear_subject::cache_at(std::byte* base, std::size_t page_bytes,
                                           number_format f) const {
  cuda::paged_cache c;
  c.blocks.base = base;
  c.blocks.block_stride_bytes = static_cast<std::int64_t>(page_bytes);
  c.blocks.layer_stride_bytes = static_cast<std::int64_t>(page_bytes * items_);
  for (std::uint32_t i = 0; i < 2; ++i) {
    const cuda::block_tensor& t = pages_.geometry.tensors[i];
    const std::int64_t head = std::int64_t{t.head_dim} * f.bytes();
    c.tensors[i] = {static_cast<std::int64_t>(page_bytes) / 2 * i, t.heads * head, head};
  }
  return c;
}

cuda::encoded_tensors linear_subject::places() const {
  cuda::encoded_tensors out;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t first = i * layers() * items_;
    cuda::encoded_places& to = out.tensors[i];
    to.slots.base = slots_ + first * slot_bytes_;
    to.slots.block_stride_bytes = static_cast<std::int64_t>(slot_bytes_);
    to.slots.layer_stride_bytes = static_cast<std::int64_t>(slot_bytes_ * items_);
    to.slot_bytes = static_cast<std::uint32_t>(slot_bytes_);
    to.records = records_ + first * tiles_;
    to.sizes = sizes_ + first;
    to.statuses = statuses_ + first;
  }
  return out;
}

}  // namespace skv::bench
