#include "device_pages.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "stop.hpp"

namespace skv::bench {
namespace {

// The profile of a model with `times` as many heads.
profile_ptr widened(const profile& narrow, std::uint32_t times) {
  profile_content c = narrow.content();
  for (tensor_scales& s : c.scales) {
    const std::vector<scale_code> once = s.codes;
    for (std::uint32_t i = 1; i < times; ++i)
      s.codes.insert(s.codes.end(), once.begin(), once.end());
    s.heads *= times;
  }
  return value_of(profile::make(std::move(c)));
}

}  // namespace

void check(cudaError_t e) {
  if (e != cudaSuccess) stop(std::string("CUDA: ") + cudaGetErrorString(e));
}

page_set make_pages(const data_folder& folder, number_format target, mean_source source) {
  const workload w = make_workload(folder, target, source, 1);
  const tensor& first = w.tensors.front();
  const std::uint32_t width = first.heads * first.head_dim;
  const std::uint32_t groups = std::max(1u, kPageChannels / width);

  page_set made;
  made.used_profile = widened(*w.used_profile, groups);
  made.target = target;
  made.mean = *find_format(static_cast<std::uint8_t>(made.used_profile->content().mean));
  // All sequences of a tensor, one behind the other, in whole stretches of a page's tokens.
  struct sequence {
    std::vector<std::byte> numbers, means;
  };
  std::map<tensor_id, sequence> all;
  for (const tensor& t : w.tensors) {
    if (t.heads != first.heads || t.head_dim != first.head_dim) stop("tensors of several shapes");
    const auto append = [&](std::vector<std::byte>& to, const std::vector<std::byte>& from) {
      const std::size_t whole = from.size() / t.tokens * (t.tokens / kPageTokens * kPageTokens);
      to.insert(to.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(whole));
    };
    append(all[t.id].numbers, t.numbers);
    append(all[t.id].means, t.means);
  }
  std::uint32_t layers = 0;
  for (const auto& [id, s] : all) layers = std::max(layers, id.layer + 1);
  const std::size_t row = std::size_t{width} * target.bytes();
  const std::size_t stretches = all.begin()->second.numbers.size() / row / kPageTokens;
  if (stretches == 0 || all.size() != 2 * std::size_t{layers})
    stop("each layer needs a K and a V of 16 tokens or more");

  made.geometry.layers = layers;
  made.geometry.tokens = kPageTokens;
  made.geometry.tensor_count = 2;
  made.geometry.tensors[0] = {tensor_kind::k, first.heads * groups, first.head_dim, 0};
  made.geometry.tensors[1] = {tensor_kind::v, first.heads * groups, first.head_dim, 0};
  made.pages = static_cast<std::uint32_t>((stretches + groups - 1) / groups);
  made.page_bytes = 2 * kPageTokens * row * groups;
  made.mean_page_bytes = made.page_bytes / target.bytes() * made.mean.bytes();

  const auto append_page = [&](std::vector<std::byte>& to, const std::vector<std::byte>& from,
                               std::uint32_t page) {
    const std::size_t from_row = from.size() / stretches / kPageTokens;
    for (std::uint32_t token = 0; token < kPageTokens; ++token)
      for (std::uint32_t group = 0; group < groups; ++group) {
        const std::size_t stretch = (std::size_t{page} * groups + group) % stretches;
        const auto at =
            from.begin() + static_cast<std::ptrdiff_t>((stretch * kPageTokens + token) * from_row);
        to.insert(to.end(), at, at + static_cast<std::ptrdiff_t>(from_row));
      }
  };
  for (std::uint32_t layer = 0; layer < layers; ++layer)
    for (std::uint32_t page = 0; page < made.pages; ++page)
      for (const tensor_kind kind : {tensor_kind::k, tensor_kind::v}) {
        const sequence& s = all.at({layer, kind});
        append_page(made.numbers, s.numbers, page);
        if (source == mean_source::given) append_page(made.means, s.means, page);
      }
  return made;
}

device_arena::device_arena(std::size_t bytes) : bytes_(bytes) {
  check(cudaMalloc(&memory_, bytes));
}

device_arena::~device_arena() { cudaFree(memory_); }

void* device_arena::take(std::size_t bytes) {
  const std::size_t rounded = (bytes + 255) / 256 * 256;
  if (rounded > bytes_ - used_) return nullptr;
  void* const taken = static_cast<std::byte*>(memory_) + used_;
  used_ += rounded;
  return taken;
}

void tile_pages(std::byte* to, const std::byte* from, std::uint32_t layers, std::uint32_t pages,
                std::size_t items, std::size_t page_bytes) {
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    std::byte* const start = to + layer * items * page_bytes;
    std::size_t filled = std::min<std::size_t>(pages, items);
    check(cudaMemcpy(start, from + std::size_t{layer} * pages * page_bytes, filled * page_bytes,
                     cudaMemcpyHostToDevice));
    while (filled < items) {  // whole rounds of all pages
      const std::size_t more = std::min(filled, items - filled);
      check(cudaMemcpy(start + filled * page_bytes, start, more * page_bytes,
                       cudaMemcpyDeviceToDevice));
      filled += more;
    }
  }
}

pinned_memory::pinned_memory(std::size_t bytes) { check(cudaMallocHost(&memory_, bytes)); }

pinned_memory::~pinned_memory() { cudaFreeHost(memory_); }

namespace {

double rate_of(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  cudaEvent_t begin{}, end{};
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<float> times(11);
  for (float& milliseconds : times) {
    check(cudaEventRecord(begin, nullptr));
    check(cudaMemcpyAsync(to, from, bytes, kind, nullptr));
    check(cudaEventRecord(end, nullptr));
    check(cudaEventSynchronize(end));
    check(cudaEventElapsedTime(&milliseconds, begin, end));
  }
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  std::sort(times.begin(), times.end());
  return static_cast<double>(bytes) * 1e3 / times[times.size() / 2];
}

}  // namespace

double copy_rate(device_arena& arena, std::size_t bytes) {
  arena.reset(nullptr);
  void* const from = arena.take(bytes);
  return rate_of(arena.take(bytes), from, bytes, cudaMemcpyDeviceToDevice);
}

double copy_to_host_rate(device_arena& arena, std::size_t bytes) {
  arena.reset(nullptr);
  const pinned_memory to(bytes);
  return rate_of(to.data(), arena.take(bytes), bytes, cudaMemcpyDeviceToHost);
}

}  // namespace skv::bench
