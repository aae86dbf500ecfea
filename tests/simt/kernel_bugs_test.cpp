// Bugs planted in copies of the kernels (plant.cmake): what the kernels are tested with finds them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <planted/in_place_overlap/decode.cuh>
#include <planted/missing_barrier/encode.cuh>
#include <planted/narrow_stride/encode.cuh>
#include <planted/no_bug/decode.cuh>
#include <planted/no_bug/encode.cuh>
#include <planted/out_of_bounds/encode.cuh>

#include "simt/expectations.hpp"
#include "simt/far_scene.hpp"

namespace skv::simt {
namespace {

/// Launches a kernel of a copy, whose parameters are another type with the same members.
template <class Kernel, class Copied>
struct run_copy {
  template <class Parameters>
  report operator()(coding_id, cuda::head_layout heads, const Parameters& p,
                    launch_shape shape) const {
    EXPECT_EQ(heads, cuda::head_layout::one_row);
    shape.shared_bytes = Kernel::shared_bytes(p.round_blocks, p.plan.tiles);
    return launch(shape, Kernel{std::bit_cast<Copied>(p)});
  }
};

template <class Heads, template <number_format, mean_source, number_format, Heads> class Kernel,
          class Copied>
using copied_run = run_copy<Kernel<bf16, mean_source::given, bf16, Heads::one_row>, Copied>;
using no_bug_encode = copied_run<cuda::no_bug::head_layout, cuda::no_bug::encode_kernel,
                                 cuda::no_bug::encode_parameters>;
using no_bug_decode = copied_run<cuda::no_bug::head_layout, cuda::no_bug::decode_kernel,
                                 cuda::no_bug::decode_parameters>;
using missing_barrier =
    copied_run<cuda::missing_barrier::head_layout, cuda::missing_barrier::encode_kernel,
               cuda::missing_barrier::encode_parameters>;
using narrow_stride =
    copied_run<cuda::narrow_stride::head_layout, cuda::narrow_stride::encode_kernel,
               cuda::narrow_stride::encode_parameters>;
using out_of_bounds =
    copied_run<cuda::out_of_bounds::head_layout, cuda::out_of_bounds::encode_kernel,
               cuda::out_of_bounds::encode_parameters>;
using in_place_overlap =
    copied_run<cuda::in_place_overlap::head_layout, cuda::in_place_overlap::decode_kernel,
               cuda::in_place_overlap::decode_parameters>;

device_scene whole_blocks(std::uint64_t seed) {
  const cuda::block_geometry g = small_geometry();
  paged_scene s = make_scene(kGiven, g, 3, seed);
  s.token_counts.assign(3, g.tokens);
  return {std::move(s), page_layout::token_major, page_layout::token_major, seed};
}

/// Does an encoding leave the bytes that the kernel without a bug leaves?
template <class Runner>
bool encodes_well(std::uint64_t seed) {
  device_scene copy = whole_blocks(seed), real = whole_blocks(seed);
  if (!copy.encode_by(Runner{}, output::slots, copy.slot_bytes, {seed})) return false;
  EXPECT_TRUE(real.encode(output::slots, real.slot_bytes, {seed}));
  return std::ranges::equal(copy.records.span(), real.records.span()) &&
         std::ranges::equal(copy.sizes.span(), real.sizes.span()) &&
         std::ranges::equal(copy.statuses.span(), real.statuses.span()) &&
         copy.image_of(copy.slots) == real.image_of(real.slots);
}

/// Does decoding in place restore every number?
template <class Runner>
bool decodes_well_in_place(std::uint64_t seed) {
  device_scene d = whole_blocks(seed);
  const memory_image raw = d.image_of(d.cache);
  const std::size_t room = d.ample_room(output::in_place);
  EXPECT_TRUE(d.encode(output::in_place, room, {seed}));
  if (!d.decode_by(Runner{}, output::in_place, room, {seed})) return false;
  return d.image_of(d.cache) == raw &&
         std::ranges::count(d.decoded.span(), status::ok) == static_cast<int>(d.count());
}

template <class Well>
std::uint64_t count_of(Well&& well) {
  std::uint64_t count = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) count += well(seed);
  return count;
}

TEST(planted_in_kernels, nothing) {
  EXPECT_EQ(count_of(encodes_well<no_bug_encode>), kSeeds);
  EXPECT_EQ(count_of(decodes_well_in_place<no_bug_decode>), kSeeds);
}

TEST(planted_in_kernels, missing_barrier) {
  EXPECT_LT(count_of(encodes_well<missing_barrier>), kSeeds);
}

TEST(planted_in_kernels, in_place_overlap) {
  EXPECT_LT(count_of(decodes_well_in_place<in_place_overlap>), kSeeds);
}

/// Encodes one block into a slot that it fills, with nothing but a red zone after it.
template <class Runner>
report encode_into_exact_slot(std::uint64_t seed) {
  device_scene d = whole_blocks(seed);
  d.set_item_count(1);
  d.plan.layers = 1;
  const buffer<std::byte> slot("exact slot", cpu_block(d, 0, 0).bytes.size());
  const auto run = [&](coding_id id, cuda::head_layout heads, cuda::encode_parameters p,
                       launch_shape shape) {
    p.out.slots = {slot.data(), 0, 0, nullptr, nullptr};
    p.out.slot_bytes = static_cast<std::uint32_t>(slot.size());
    return Runner{}(id, heads, p, shape);
  };
  return d.encode_by(run, output::slots, slot.size(), {seed});
}

// A tile whose bytes are no whole words is no witness.
TEST(planted_in_kernels, write_out_of_bounds) {
  const auto ends_well = []<class Runner>(Runner, std::uint64_t seed) {
    const report r = encode_into_exact_slot<Runner>(seed);
    if (!r) {
      EXPECT_EQ(r.what, outcome::overrun);
      EXPECT_THAT(r.message, testing::HasSubstr("write outside of buffer exact slot"));
    }
    return bool(r);
  };
  const auto with_bug = [&](std::uint64_t seed) { return ends_well(out_of_bounds{}, seed); };
  EXPECT_EQ(count_of([&](std::uint64_t seed) { return ends_well(no_bug_encode{}, seed); }), kSeeds);
  if constexpr (kAddressSanitizer) {
    EXPECT_DEATH(count_of(with_bug), "use-after-poison");
  } else {
    EXPECT_LT(count_of(with_bug), kSeeds);
  }
}

// The address that it makes is nobody's memory.
TEST(planted_in_kernels, narrow_stride) {
  const auto encode = []<class Runner>(Runner run) {
    paged_scene s = make_scene(kGiven, small_geometry(), 3, 1);
    s.token_counts.assign(3, s.geometry.tokens);
    far_scene f(std::move(s), page_layout::token_major, {.name = "tokens", .token = kFar}, 1);
    EXPECT_TRUE(f.d.encode_by(run, output::slots, f.d.slot_bytes, {1}));
    expect_cpu_bytes(f.d, output::slots, f.d.slot_bytes);
  };
  encode(no_bug_encode{});
  EXPECT_DEATH(encode(narrow_stride{}), "");
}

}  // namespace
}  // namespace skv::simt
