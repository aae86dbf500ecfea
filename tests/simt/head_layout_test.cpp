// Which kernel codes heads that lie in some way, and that the one for heads of a group reads none elsewhere.
#include <gtest/gtest.h>
#include <kernels/head_layout.hpp>

#include "simt/expectations.hpp"

namespace skv::simt {
namespace {

using cuda::head_layout;
using test::coding_id, test::page_layout, test::output;

/// Two tensors whose tiles have several heads, in a cache of bf16.
struct two_tensors {
  cuda::block_plan plan{};
  cuda::paged_cache cache;

  two_tensors(std::uint32_t head_dim, std::uint32_t tile_heads) {
    plan.tensor_count = 2;
    for (std::uint32_t i = 0; i < 2; ++i) {
      plan.tensors[i].head_dim = head_dim;
      plan.tensors[i].tile_heads = tile_heads;
      set_heads(i, 16 * 2 * head_dim);
    }
  }
  void set_heads(std::uint32_t tensor, std::int64_t stride) {
    cache.tensors[tensor].head_stride_bytes = stride;
  }
  void set_rows() {
    for (std::uint32_t i = 0; i < 2; ++i) set_heads(i, 2 * plan.tensors[i].head_dim);
  }
  head_layout layout() const { return head_layout_of(plan, cache, bf16, nullptr, bf16); }
  head_layout layout_with(const cuda::paged_cache& other) const {
    return head_layout_of(plan, cache, bf16, &other, bf16);
  }
};

TEST(head_layout, is_one_row_where_heads_follow_each_other) {
  for (const std::uint32_t head_dim : {1u, 96u, 128u, 256u}) {
    two_tensors t(head_dim, 4);
    t.set_rows();
    EXPECT_EQ(t.layout(), head_layout::one_row);
  }
}

TEST(head_layout, is_one_row_where_a_tile_has_one_head_wherever_it_lies) {
  for (const std::int64_t stride : {0ll, -4096ll, 1ll << 40}) {
    two_tensors t(96, 1);
    t.set_heads(0, stride);
    EXPECT_EQ(t.layout(), head_layout::one_row);
  }
}

TEST(head_layout, is_one_group_only_of_heads_of_128) {
  EXPECT_EQ(two_tensors(128, 4).layout(), head_layout::one_group);
  for (const std::uint32_t head_dim : {64u, 96u, 127u, 256u})
    EXPECT_EQ(two_tensors(head_dim, 4).layout(), head_layout::apart);
}

TEST(head_layout, is_one_group_for_all_tensors_or_none) {
  two_tensors t(128, 4);
  t.plan.tensors[1].head_dim = 96;
  EXPECT_EQ(t.layout(), head_layout::apart);
  t.set_heads(1, 2 * 96);  // a row has no heads to find
  EXPECT_EQ(t.layout(), head_layout::one_group);
  t.plan.tensors[1].opaque_bytes = 5;
  t.set_heads(1, 0);
  EXPECT_EQ(t.layout(), head_layout::one_group) << "opaque bytes have no heads";
}

TEST(head_layout, is_one_group_as_far_as_offsets_of_32_bits_go) {
  two_tensors t(128, 4);
  t.set_heads(0, (std::int64_t{1} << 30) - 128);
  EXPECT_EQ(t.layout(), head_layout::one_group);
  t.set_heads(0, std::int64_t{1} << 30);
  EXPECT_EQ(t.layout(), head_layout::apart) << "four heads take 4 GiB";
  t.set_heads(0, std::int64_t{1} << 62);
  EXPECT_EQ(t.layout(), head_layout::apart);
  t.set_heads(0, -4096);
  EXPECT_EQ(t.layout(), head_layout::apart) << "heads lie in reverse order";
  t.set_heads(0, 4096 + 64);
  EXPECT_EQ(t.layout(), head_layout::apart) << "not a multiple of the group";
}

TEST(head_layout, is_what_numbers_and_means_have_in_common) {
  two_tensors rows(128, 4), groups(128, 4), apart(128, 4);
  rows.set_rows();
  apart.set_heads(1, -4096);
  EXPECT_EQ(rows.layout_with(rows.cache), head_layout::one_row);
  EXPECT_EQ(rows.layout_with(groups.cache), head_layout::one_group);
  EXPECT_EQ(groups.layout_with(rows.cache), head_layout::one_group);
  EXPECT_EQ(groups.layout_with(apart.cache), head_layout::apart);
  EXPECT_EQ(apart.layout_with(rows.cache), head_layout::apart);
}

TEST(head_layout, of_groups_and_apart_are_coded_to_the_same_bytes) {
  const cuda::block_geometry g =
      test::geometry_of({"", 5, {test::k(3, 128), test::v(3, 128)}, 2, 3, 2});
  for (const coding_id id : test::all_codings()) {
    SCOPED_TRACE(test::name_of(id));
    const auto scene = [&] {
      return device_scene(test::make_scene(id, g, 2, 1), page_layout::head_major,
                          page_layout::token_major, 1);
    };
    device_scene groups = scene(), apart = scene();
    ASSERT_EQ(groups.heads, head_layout::one_group);
    apart.heads = head_layout::apart;
    ASSERT_TRUE(groups.encode(output::slots, groups.slot_bytes, {1}));
    ASSERT_TRUE(apart.encode(output::slots, apart.slot_bytes, {1}));
    EXPECT_TRUE(std::ranges::equal(groups.records.span(), apart.records.span()));
    EXPECT_EQ(groups.image_of(groups.slots), apart.image_of(apart.slots));
  }
}

TEST(head_layout, of_groups_codes_rows_of_any_width_beside_them) {
  const cuda::block_geometry g =
      test::geometry_of({"", 5, {test::k(3, 128), test::v(3, 96)}, 2, 3, 2});
  for (const coding_id id : test::all_codings()) {
    SCOPED_TRACE(test::name_of(id));
    device_scene d(test::make_scene(id, g, 2, 1), page_layout::head_major, page_layout::head_major,
                   1);
    const auto make_row = [&](laid_out& at, const auto& content, number_format f) {
      cuda::tensor_place& v = at.cache.tensors[1];
      v.head_stride_bytes = std::int64_t{96} * f.bytes();
      v.token_stride_bytes = 3 * v.head_stride_bytes;
      d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t) {
        d.scene.scatter(content, at.cache, layer, item, at.cache.blocks.at(layer, item), f);
      });
    };
    make_row(d.numbers_at, d.scene.numbers, d.scene.target());
    make_row(d.means_at, d.scene.means, d.scene.mean());
    d.heads = d.layout_of_heads();
    ASSERT_EQ(d.heads, head_layout::one_group);
    ASSERT_TRUE(d.encode(output::slots, d.slot_bytes, {1}));
    expect_cpu_bytes(d, output::slots, d.slot_bytes);
  }
}

}  // namespace
}  // namespace skv::simt
