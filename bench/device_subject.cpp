#include "device_subject.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "stop.hpp"

namespace skv::bench {
namespace {

cuda::block_geometry geometry_of(const configuration& how, const page_set& pages) {
  cuda::block_geometry g = pages.geometry;
  if (how.layers != 0) {
    g.first_layer = (g.layers - how.layers) / 2;
    g.layers = how.layers;
  }
  if (how.tile_numbers != 0) {
    const std::uint32_t dim = g.tensors[0].head_dim;
    g.tile_tokens = std::clamp(how.tile_numbers / dim, 1u, kPageTokens);
    g.tile_heads = std::clamp(how.tile_numbers / (dim * g.tile_tokens), 1u, g.tensors[0].heads);
  }
  return g;
}

}  // namespace

subject::subject(const configuration& how, const page_set& pages, device_arena& arena,
                 std::size_t cache_bytes)
    : how_(how),
      pages_(pages),
      geometry_(geometry_of(how, pages)),
      coder_(value_of(cuda::codec::make(pages.used_profile, geometry_))) {
  check(cudaStreamCreate(&stream_));
  windows_ = static_cast<std::uint32_t>(
      std::min<std::size_t>(8 * cache_bytes / raw_bytes() + 1, how.most_windows));
  tiles_ = coder_.tiles_per_block();
  allocated_ = allocate(arena);
}

subject::~subject() { cudaStreamDestroy(stream_); }

bool subject::allocate(device_arena& arena) {
  arena.reset(this);
  const std::size_t all = blocks() * windows_;
  original_ = arena.array<std::byte>(all * pages_.page_bytes);
  cache_ = arena.array<std::byte>(all * pages_.page_bytes);
  means_ = arena.array<std::byte>(given() ? all * pages_.mean_page_bytes : 1);
  const std::size_t slot_bytes = in_place() ? 1 : all * coder_.max_block_bytes();
  if (to_host())
    slots_ = host_slots_.emplace(slot_bytes).data();
  else
    slots_ = arena.array<std::byte>(slot_bytes);
  indices_ = arena.array<std::int32_t>(total());
  records_ = arena.array<tile_record>(all * tiles_);
  sizes_ = arena.array<std::uint32_t>(all);
  statuses_ = arena.array<status>(all);
  decoded_ = arena.array<status>(all);
  offsets_ = arena.array<std::uint64_t>(all);
  totals_ = arena.array<std::uint64_t>(windows_);
  room_.bytes = coder_.workspace_bytes(how_.items);
  room_.data = arena.take(room_.bytes);
  for (const void* p : std::initializer_list<const void*>{original_, cache_, means_, slots_,
                                                          indices_, records_, sizes_, statuses_,
                                                          decoded_, offsets_, totals_, room_.data})
    if (p == nullptr) return false;
  return true;
}

const std::byte* subject::first_layer_of(const std::vector<std::byte>& all,
                                         std::size_t page_bytes) const {
  return all.data() + std::size_t{geometry_.first_layer} * pages_.pages * page_bytes;
}

void subject::fill() {
  tile_pages(original_, first_layer_of(pages_.numbers, pages_.page_bytes), geometry_.layers,
             pages_.pages, total(), pages_.page_bytes);
  if (given())
    tile_pages(means_, first_layer_of(pages_.means, pages_.mean_page_bytes), geometry_.layers,
               pages_.pages, total(), pages_.mean_page_bytes);
  std::vector<std::int32_t> order(total());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  check(cudaMemcpy(indices_, order.data(), order.size() * sizeof order[0], cudaMemcpyHostToDevice));
}

void subject::restore_raw() {
  check(cudaMemcpyAsync(cache_, original_, raw_bytes() * windows_, cudaMemcpyDeviceToDevice,
                        stream_));
}

void subject::prepare() {
  if (!in_place()) return;
  restore_raw();
  if (how_.encodes) return;
  for (std::uint32_t w = 0; w < windows_; ++w) encode(w);
}

std::string subject::verify() {
  fill();
  if (in_place())
    restore_raw();
  else
    check(cudaMemsetAsync(cache_, 0x5a, raw_bytes() * windows_, stream_));
  for (std::uint32_t w = 0; w < windows_; ++w) encode(w);
  for (std::uint32_t w = 0; w < windows_; ++w) decode(w);
  check(cudaStreamSynchronize(stream_));
  return compare();
}

std::string subject::compare() {
  const auto encoded = fetch(statuses_), decoded = fetch(decoded_);
  const auto sizes = fetch(sizes_);
  coded_bytes_ = decoded.size() * tiles_ * sizeof(tile_record);
  stayed_raw_ = 0;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const bool raw = in_place() && encoded[i] == status::does_not_fit;
    if (encoded[i] != status::ok && !raw)
      return "a block was not encoded: " + std::string(to_string(encoded[i]));
    if (decoded[i] != status::ok)
      return "a block was not decoded: " + std::string(to_string(decoded[i]));
    coded_bytes_ += raw ? pages_.page_bytes : sizes[i];
    stayed_raw_ += raw;
  }
  // Statuses vouch for the hash of every tile; some pages are compared bit by bit.
  std::vector<std::byte> page(pages_.page_bytes);
  const std::size_t step = std::max<std::size_t>(1, total() / 500);
  for (std::uint32_t layer = 0; layer < geometry_.layers; ++layer)
    for (std::size_t i = 0; i < total(); i += step) {
      check(cudaMemcpy(page.data(), cache_ + (layer * total() + i) * page.size(), page.size(),
                       cudaMemcpyDeviceToHost));
      if (std::memcmp(page.data(), pages_.page(geometry_.first_layer + layer, i), page.size()) != 0)
        return "the numbers did not come back";
    }
  return "";
}

void subject::encode(std::uint32_t window) {
  value_of(coder_.encode_async({how_.items}, numbers_at(in_place() ? cache_ : original_, window),
                               means_at(window), places(window), room_, stream_));
}

void subject::decode(std::uint32_t window) {
  const cuda::encoded_places p = places(window);
  value_of(coder_.decode_async(
      {how_.items},
      {p.slots, p.slot_bytes, p.packed, p.packed_bytes, p.offsets, p.records, p.sizes, p.statuses},
      means_at(window), numbers_at(cache_, window), in_place(), {}, decoded_ + blocks() * window,
      room_, stream_));
}

cuda::paged_cache subject::numbers_at(std::byte* base, std::uint32_t window) const {
  return cache_at(base, window, pages_.page_bytes, pages_.target);
}

cuda::paged_cache subject::means_at(std::uint32_t window) const {
  return cache_at(means_, window, pages_.mean_page_bytes, pages_.mean);
}

cuda::paged_cache subject::cache_at(std::byte* base, std::uint32_t window, std::size_t page_bytes,
                                    number_format f) const {
  cuda::paged_cache c;
  c.blocks.base = base;
  c.blocks.block_stride_bytes = static_cast<std::int64_t>(page_bytes);
  c.blocks.layer_stride_bytes = static_cast<std::int64_t>(page_bytes * total());
  c.blocks.indices_dev = indices_ + std::size_t{how_.items} * window;
  for (std::uint32_t i = 0; i < geometry_.tensor_count; ++i) {
    const cuda::block_tensor& t = geometry_.tensors[i];
    const std::int64_t head = std::int64_t{t.head_dim} * f.bytes();
    c.tensors[i] = {static_cast<std::int64_t>(page_bytes) / 2 * i, t.heads * head, head};
  }
  return c;
}

cuda::encoded_places subject::places(std::uint32_t window) const {
  const std::size_t first = blocks() * window;
  cuda::encoded_places out;
  out.records = records_ + first * tiles_;
  out.sizes = sizes_ + first;
  out.statuses = statuses_ + first;
  out.offsets = offsets_ + first;
  out.total_bytes = totals_ + window;
  std::byte* const room = slots_ + first * coder_.max_block_bytes();
  if (how_.where == place::packed || to_host()) {
    out.packed = room;
    out.packed_bytes = coder_.max_compressed_bytes(how_.items);
  } else if (how_.where == place::in_place) {
    out.slots = numbers_at(cache_, window).blocks;
    out.slot_bytes = static_cast<std::uint32_t>(pages_.page_bytes);
  } else {
    out.slots.base = room;
    out.slot_bytes = coder_.max_block_bytes();
    out.slots.block_stride_bytes = out.slot_bytes;
    out.slots.layer_stride_bytes = std::int64_t{out.slot_bytes} * how_.items;
  }
  return out;
}

template <class T>
std::vector<T> subject::fetch(const T* from) const {
  std::vector<T> v(blocks() * windows_);
  check(cudaMemcpy(v.data(), from, v.size() * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

double subject::ratio() const {
  return static_cast<double>(raw_bytes() * windows_) / static_cast<double>(coded_bytes_);
}

double subject::moved_bytes() const {
  const std::size_t means = given() ? blocks() * pages_.mean_page_bytes : 0;
  return static_cast<double>(raw_bytes() + means) + static_cast<double>(coded_bytes_) / windows_;
}

}  // namespace skv::bench
