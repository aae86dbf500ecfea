// Arrays that no encoder left, on a device: decoding ends, writes nothing but numbers, and never calls
// wrong numbers ok.
#include <gtest/gtest.h>

#include "gpu/gpu_scene.hpp"

namespace skv::gpu {
namespace {

class gpu_hostile : public on_device<testing::TestWithParam<coding_id>> {};
INSTANTIATE_TEST_SUITE_P(codings, gpu_hostile, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

/// Values at random, near what they are, and where counting wraps around.
template <class T>
void alter(T& x, random_source& random) {
  x = random.chance(0.5) ? x + random.below(9) - 4 : static_cast<T>(random.edgy());
}

void alter(mirror& m, std::vector<std::byte>& means, output how, random_source& random) {
  const std::uint32_t block = random.below(static_cast<std::uint32_t>(m.sizes.size()));
  tile_record& r = m.records[block * m.plan.tiles + random.below(m.plan.tiles)];
  switch (random.below(9)) {
    case 0: alter(r.packed, random); break;
    case 1: alter(r.data_hash, random); break;
    case 2: alter(r.prediction_hash, random); break;
    case 3: alter(m.sizes[block], random); break;
    case 4:
      alter(m.offsets[block], random);
      if (random.chance(0.5)) m.offsets[block] = ~std::uint64_t{0} - random.below(600);
      break;
    case 5: m.statuses[block] = static_cast<status>(random.bits() & 0xff); break;
    case 6: means[random.below(static_cast<std::uint32_t>(means.size()))] ^= std::byte{0x11}; break;
    default: {
      memory_image& image = how == output::in_place ? m.cache : m.slots;
      std::byte* const start = how == output::packed
                                   ? image.data() + m.offsets[block] % image.size()
                                   : m.places(how, 0).slots.at(0, block);
      const auto room = static_cast<std::size_t>(image.data() + image.size() - start);
      start[random.below(static_cast<std::uint32_t>(std::min<std::size_t>(room, 256)))] ^=
          std::byte{1} << random.below(8);
    }
  }
}

TEST_P(gpu_hostile, arrays_are_survived) {
  for (const output how : kOutputs)
    for (std::uint64_t seed = 10; seed < 12; ++seed) {
      cuda::block_geometry geometry =
          geometry_of({"", 8, {k(3, 24), v(2, 40), opaque(75)}, 2, 5, 2});
      const gpu_scene g(make_scene(GetParam(), geometry, 2, seed), page_layout::head_major,
                        page_layout::token_major);
      const std::uint64_t room = g.ample_room(how);
      ASSERT_TRUE(g.encode(how, nullptr, room));
      const mirror encoded = g.read_back();
      const auto means = g.means.to_host();
      random_source random(seed);
      for (int i = 0; i < 20; ++i) {
        SCOPED_TRACE(std::string(to_string(how)) + ", seed " + std::to_string(seed) + ", " +
                     std::to_string(i));
        mirror altered = g.read_back(&encoded);
        auto altered_means = means;
        altered.records = encoded.records;
        altered.sizes = encoded.sizes;
        altered.statuses = encoded.statuses;
        altered.offsets = encoded.offsets;
        std::ranges::copy(encoded.slots, altered.slots.begin());
        std::ranges::copy(encoded.cache, altered.cache.begin());
        for (std::uint32_t n = 1 + random.below(3); n > 0; --n)
          alter(altered, altered_means, how, random);
        if (how != output::in_place) std::ranges::fill(altered.cache, std::byte{0x5a});
        g.records.assign(altered.records);
        g.sizes.assign(altered.sizes);
        g.statuses.assign(altered.statuses);
        g.offsets.assign(altered.offsets);
        g.slots.assign(altered.slots);
        g.cache.assign(altered.cache);
        g.means.assign(altered_means);
        ASSERT_TRUE(g.decode(how, nullptr, room));
        check(cudaDeviceSynchronize());
        expect_only_numbers_written(g.read_back(&altered), how, room, [&](std::size_t index) {
          return altered.statuses[index] != status::ok;
        });
        g.expect_intact();
        if (HasFatalFailure()) return;
      }
    }
}

// What is said of a block may be written over what encoding said, which in place is needed to the end.
TEST_P(gpu_hostile, statuses_may_be_those_of_encoding) {
  for (const bool same_means : {true, false}) {
    if (!same_means && GetParam().source != mean_source::given) continue;
    const gpu_scene g(make_scene(GetParam(), small_geometry(), 5, 35), page_layout::token_major,
                      page_layout::head_major);
    ASSERT_TRUE(g.encode(output::in_place, nullptr));
    const mirror encoded = g.read_back();
    if (!same_means) {
      auto means = g.means.to_host();
      for (std::byte& b : means) b ^= std::byte{0x11};
      g.means.assign(means);
    }
    ASSERT_TRUE(g.coder.decode_async(g.batch(), as_stored(g.places(output::in_place)),
                                     g.means_at.cache, g.numbers_at.cache, true, {},
                                     g.statuses.data(), g.room(), nullptr));
    check(cudaDeviceSynchronize());
    mirror after = g.read_back(&encoded);
    after.decoded = std::exchange(after.statuses, encoded.statuses);
    const auto raw = [&](std::size_t i) { return encoded.statuses[i] != status::ok; };
    expect_only_numbers_written(after, output::in_place, g.ample_room(output::in_place), raw);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < g.count(); ++i) {
      if (after.decoded[i] == status::ok) continue;
      ++wrong;
      EXPECT_EQ(after.decoded[i], status::wrong_prediction);
    }
    EXPECT_EQ(wrong == 0, same_means);
    g.expect_intact();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace skv::gpu
