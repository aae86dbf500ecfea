// The kernels of linear propagation, under random schedules: their means are the CPU's.
#include <gmock/gmock.h>

#include <bit>
#include <planted/missing_stage_barrier/linear.cuh>

#include "simt/far_scene.hpp"
#include "simt/linear_device.hpp"

namespace skv::simt {
namespace {

std::vector<linear_kind> kinds_without_outside() {
  std::vector<linear_kind> kinds;
  for (linear_kind k : linear_kinds()) {
    if (k.has_outside) continue;
    k.head_dim = 1 + k.head_dim / 3;
    kinds.push_back(k);
  }
  return kinds;
}

class linear_kernels : public testing::TestWithParam<linear_kind> {};
INSTANTIATE_TEST_SUITE_P(kinds, linear_kernels, testing::ValuesIn(kinds_without_outside()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(linear_kernels, make_the_cpus_means) {
  const linear_device p(linear_scene(GetParam(), 5, 0), 5);
  report r{outcome::bad_launch, "there are no such formats"};
  cuda::with_formats(GetParam().target, GetParam().mean, [&]<number_format T, number_format M>() {
    r = p.pass<cuda::hide_kernel, cuda::predict_kernel<M>, T, M>({1, 8, 3});
  });
  ASSERT_TRUE(r) << r.message;
  EXPECT_TRUE(p.has_cpu_means());
}

// Numbers, bases and means with strides beyond 2^32.
class far_linear : public testing::TestWithParam<far_strides> {};
INSTANTIATE_TEST_SUITE_P(apart, far_linear, testing::ValuesIn(far_cases()),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(far_linear, makes_the_cpus_means) {
  linear_kind k;
  k.head_dim = 24;
  linear_scene scene(k, 1, 0);
  // Small enough for rows not to meet when all strides are far.
  for (std::uint64_t seed = 2; scene.scene.geometry.tokens > 10 || scene.scene.items > 4; ++seed)
    scene = linear_scene(k, seed, 0);
  ASSERT_GT(scene.scene.geometry.tokens * scene.scene.items, 4u);
  linear_device p(std::move(scene), 5);
  const far_cache numbers(p.d, p.d.numbers_at, p.all.scene.numbers, bf16, GetParam());
  const far_cache bases(p.d, p.bases_at, p.all.bases, bf16, GetParam());
  const far_cache means(p.d, p.d.means_at, p.all.bases, bf16, GetParam());
  means.fill();
  const report r = p.pass<cuda::hide_kernel, cuda::predict_kernel<bf16>, bf16, bf16>({1, 8, 3});
  ASSERT_TRUE(r) << r.message;
  EXPECT_TRUE(p.has_cpu_means());
}

/// A kernel of a copy, whose parameters are another type with the same members.
template <class Copied, class Parameters>
struct copy_of : Parameters {
  static std::size_t shared_bytes(std::uint32_t a, std::uint32_t b) {
    return Copied::shared_bytes(a, b);
  }
  void operator()() const { std::bit_cast<Copied>(static_cast<const Parameters&>(*this))(); }
};

// A stage is filled while others still multiply what is in it.
TEST(planted_in_linear_kernels, missing_stage_barrier) {
  namespace planted = cuda::missing_stage_barrier;
  int good = 0, copies_good = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    linear_kind k;
    k.head_dim = 120;
    const linear_device p(linear_scene(k, 9, 0), seed), copy(linear_scene(k, 9, 0), seed);
    good += p.pass<cuda::hide_kernel, cuda::predict_kernel<bf16>, bf16, bf16>({seed, 8, 2}) &&
            p.has_cpu_means();
    copies_good +=
        copy.pass<copy_of<planted::hide_kernel, cuda::hide_parameters>,
                  copy_of<planted::predict_kernel<bf16>, cuda::predict_parameters>, bf16, bf16>(
            {seed, 8, 2}) &&
        copy.has_cpu_means();
  }
  EXPECT_EQ(good, 4);
  EXPECT_LT(copies_good, 4);
}

struct product_of_matrices {
  const std::int8_t *a, *b;  // [16][32], [32][8]
  std::int32_t* sums;        // [16][8]

  void operator()() const {
    const std::uint32_t g = device::lane() / 4, t = device::lane() % 4;
    const auto four = [](auto at) {
      std::uint32_t word = 0;
      for (std::uint32_t i = 0; i < 4; ++i)
        word |= std::uint32_t{static_cast<std::uint8_t>(at(i))} << (8 * i);
      return word;
    };
    std::uint32_t rows[4], columns[2];
    for (std::uint32_t i = 0; i < 4; ++i)
      rows[i] = four(
          [&](std::uint32_t k) { return a[(g + 8 * (i % 2)) * 32 + 4 * t + 16 * (i / 2) + k]; });
    for (std::uint32_t i = 0; i < 2; ++i)
      columns[i] = four([&](std::uint32_t k) { return b[(4 * t + 16 * i + k) * 8 + g]; });
    std::int32_t own[4];
    const auto at = [&](std::uint32_t i) { return (g + 8 * (i / 2)) * 8 + 2 * t + i % 2; };
    for (std::uint32_t i = 0; i < 4; ++i) own[i] = sums[at(i)];
    device::multiply_add(own, rows, columns);
    for (std::uint32_t i = 0; i < 4; ++i) sums[at(i)] = own[i];
  }
};

TEST(executor, multiplies_matrices) {
  random_source random(3);
  const buffer<std::int8_t> a("a", 16 * 32), b("b", 32 * 8);
  const buffer<std::int32_t> sums("sums", 16 * 8);
  std::vector<std::int32_t> expected;
  for (auto* m : {&a, &b})
    for (std::int8_t& each : m->span()) each = static_cast<std::int8_t>(random.bits());
  sums.fill(1000);
  for (std::uint32_t row = 0; row < 16; ++row)
    for (std::uint32_t column = 0; column < 8; ++column) {
      expected.push_back(1000);
      for (std::uint32_t k = 0; k < 32; ++k) expected.back() += a[row * 32 + k] * b[k * 8 + column];
    }
  const report r = launch({1, 32, 0, 1}, product_of_matrices{a.data(), b.data(), sums.data()});
  ASSERT_TRUE(r) << r.message;
  EXPECT_THAT(sums.span(), testing::ElementsAreArray(expected));
}

/// Two groups of copies: only the first is waited for.
struct waits_for_one_group {
  const std::byte* from;
  std::byte* seen;

  void operator()() const {
    std::byte* const own = device::shared() + device::thread() * 32;
    own[0] = own[16] = std::byte{0};
    device::copy_async(own, from);
    device::commit_copies();
    device::copy_async(own + 16, from);
    device::commit_copies();
    device::wait_copies<1>();
    seen[2 * device::thread()] = own[0];
    seen[2 * device::thread() + 1] = own[16];
  }
};

TEST(executor, copies_are_there_after_the_wait_and_not_before) {
  const buffer<std::byte> from("from", 16), seen("seen", 64);
  from.fill(std::byte{7});
  const report r = launch({1, 32, 32 * 32, 1}, waits_for_one_group{from.data(), seen.data()});
  ASSERT_TRUE(r) << r.message;
  for (std::uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(seen[2 * i], std::byte{7});
    EXPECT_EQ(seen[2 * i + 1], std::byte{0});
  }
}

}  // namespace
}  // namespace skv::simt
