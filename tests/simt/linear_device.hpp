// A pass of linear propagation on the executor of fibers, its kernels launched one by one.
#pragma once

#include <kernels/dispatch.hpp>
#include <kernels/linear.cuh>
#include <kernels/linear_plan.hpp>

#include "simt/device_scene.hpp"
#include "support/linear_scene.hpp"

namespace skv::simt {

struct linear_device {
  linear_scene all;
  device_scene d;
  cuda::linear_plan plan;
  buffer<line> image, room, bases;
  buffer<std::uint32_t> first_positions;
  laid_out bases_at;

  static cuda::linear_plan planned(const linear_scene& s) {
    auto p = cuda::linear_plan::make(*s.scene.used_profile, s.scene.geometry);
    if (!p) throw std::runtime_error(p.failure().message);
    return *std::move(p);
  }
  static std::vector<line> lines_of(const std::vector<std::byte>& bytes) {
    std::vector<line> lines((bytes.size() + sizeof(line) - 1) / sizeof(line));
    std::memcpy(lines.data(), bytes.data(), bytes.size());
    return lines;
  }

  linear_device(linear_scene s, std::uint64_t seed)
      : all(std::move(s)),
        d(all.scene, page_layout::token_major, page_layout::head_major, seed),
        plan(planned(all)),
        image("weights", std::span<const line>(lines_of(plan.take_image()))),
        room("what is passed on", (plan.bytes_of(all.scene.items) + 15) / 16),
        bases("bases", d.mean_cache.span()),
        first_positions("first positions", all.first_positions),
        bases_at(d.means_at) {
    plan.place(d.bytes_of(image));
    bases_at.cache.blocks.base = d.bytes_of(bases);
    for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
      for (std::uint32_t item = 0; item < all.scene.items; ++item)
        all.scene.scatter(all.bases, bases_at.cache, layer, item,
                          bases_at.cache.blocks.at(layer, item), all.scene.mean());
    std::fill_n(d.bytes_of(d.mean_cache), d.means_at.bytes, std::byte{0x5a});
  }

  cuda::linear_rows rows(std::uint32_t layer) const {
    return {
        {d.batch(), first_positions.data()}, layer, d.plan.tokens, all.scene.items * d.plan.tokens};
  }
  template <class Kernel, class Parameters>
  static report run(const Parameters& p, const grid& g) {
    const launch_shape shape{g.blocks, cuda::product_tile::kThreads, Kernel::shared_bytes(0, 0),
                             g.seed};
    return launch(shape, Kernel{p});
  }
  /// Runs a pass; `Predict` and `Hide` are the kernels of products.
  template <class Hide, class Predict, number_format Target, number_format Mean>
  report pass(grid g) const {
    std::byte* const at = d.bytes_of(room);
    for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
      for (std::uint32_t i = 0; i < d.plan.tensor_count; ++i, ++g.seed) {
        const cuda::linear_tensor_plan& t = *plan.find(layer, i);
        const auto cache = [&](const laid_out& of) { return with_own_blocks(of.cache).tensors[i]; };
        report r;
        if (t.to_hidden.output_count != 0) r = run<Hide>(plan.hide(t, rows(layer), at), g);
        if (!r) return r;
        r = run<Predict>(plan.predict(t, rows(layer), cache(bases_at), cache(d.means_at), at), g);
        if (!r) return r;
        const cuda::tensor_place based = cache(bases_at);
        if (t.told.is_source)
          r = run<cuda::update_kernel<Target, Mean>>(
              plan.update(t.told, rows(layer), cache(d.numbers_at), t.has_bases ? &based : nullptr,
                          at),
              g);
        if (!r) return r;
      }
    return {};
  }

  testing::AssertionResult has_cpu_means() const {
    for (std::uint32_t layer = 0; layer < d.plan.layers; ++layer)
      for (std::uint32_t item = 0; item < all.scene.items; ++item)
        if (!all.scene.equal(all.scene.means, d.means_at.cache, layer, item,
                             d.means_at.cache.blocks.at(layer, item), all.scene.mean()))
          return testing::AssertionFailure() << "layer " << layer << ", item " << item;
    return testing::AssertionSuccess();
  }
};

}  // namespace skv::simt
