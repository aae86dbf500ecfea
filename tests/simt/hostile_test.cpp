// Decoding what no encoder wrote: every launch ends, writes nothing but numbers, and never calls
// wrong numbers ok.
#include <gtest/gtest.h>

#include "simt/expectations.hpp"
#include "support/effort.hpp"

namespace skv::simt {
namespace {

class hostile : public testing::TestWithParam<coding_id> {
 public:
  static device_scene encoded(output how, std::uint64_t seed) {
    cuda::block_geometry g = small_geometry();
    g.layers = 1;
    g.tensors[0] = {tensor_kind::k, 3, 24, 0};
    g.tensors[1] = {tensor_kind::v, 2, 40, 0};
    if (seed % 2 == 0) {
      g.tensors[2] = {tensor_kind::k, 0, 0, 75};
      g.tensor_count = 3;
    }
    device_scene d(make_scene(GetParam(), g, 2, seed), page_layout::head_major,
                   page_layout::token_major, seed);
    const report r = d.encode(how, d.ample_room(how), {seed});
    EXPECT_TRUE(r) << r.message;
    return d;
  }
  /// Decodes, and looks at all that must hold.
  static void decode(device_scene& d, output how, std::uint64_t seed) {
    if (how != output::in_place) d.spoil();
    const report r = d.decode(how, d.ample_room(how), {seed, 2, 1 + seed % 2 == 0 ? 2u : 1u});
    ASSERT_EQ(r.what, outcome::ok) << r.message;
    expect_only_numbers_written(d, how, d.ample_room(how),
                                [&](std::size_t i) { return d.statuses[i] != status::ok; });
  }
};
INSTANTIATE_TEST_SUITE_P(codings, hostile, testing::ValuesIn(all_codings()),
                         [](const auto& p) { return name_of(p.param); });

/// What the kernels were given, to be put back after it was altered.
struct snapshot {
  explicit snapshot(const device_scene& of)
      : d(of),
        records(d.records.begin(), d.records.end()),
        sizes(d.sizes.begin(), d.sizes.end()),
        statuses(d.statuses.begin(), d.statuses.end()),
        offsets(d.offsets.begin(), d.offsets.end()),
        cache(d.image_of(d.cache)),
        means(d.image_of(d.mean_cache)),
        slots(d.image_of(d.slots)) {}
  void put_back() const {
    std::copy(records.begin(), records.end(), d.records.begin());
    std::copy(sizes.begin(), sizes.end(), d.sizes.begin());
    std::copy(statuses.begin(), statuses.end(), d.statuses.begin());
    std::copy(offsets.begin(), offsets.end(), d.offsets.begin());
    std::copy(cache.begin(), cache.end(), d.bytes_of(d.cache));
    std::copy(means.begin(), means.end(), d.bytes_of(d.mean_cache));
    std::copy(slots.begin(), slots.end(), d.bytes_of(d.slots));
  }

  const device_scene& d;
  std::vector<tile_record> records;
  std::vector<std::uint32_t> sizes;
  std::vector<status> statuses;
  std::vector<std::uint64_t> offsets;
  memory_image cache, means, slots;
};

TEST_P(hostile, every_bit_of_a_record_counts) {
  for (const output how : {output::slots, output::in_place}) {
    device_scene d = encoded(how, 3);
    const snapshot before(d);
    std::uint32_t step = 0;
    for (std::size_t r = 0; r < d.records.size(); ++r)
      for (std::uint32_t bit = step++ % 7; bit < 96; bit += kSlowBuild ? 29 : 7) {
        SCOPED_TRACE("record " + std::to_string(r) + ", bit " + std::to_string(bit));
        if (d.statuses[r / d.plan.tiles] != status::ok) continue;
        auto* const words = reinterpret_cast<std::byte*>(&d.records[r]);
        words[bit / 8] ^= std::byte{1} << bit % 8;
        decode(d, how, bit);
        if (HasFatalFailure()) return;
        ASSERT_NE(d.decoded[r / d.plan.tiles], status::ok);
        ASSERT_EQ(d.decoded[1 - r / d.plan.tiles], status::ok);
        before.put_back();
      }
  }
}

TEST_P(hostile, sizes_offsets_and_statuses_that_lie_are_survived) {
  for (const output how : kOutputs) {
    device_scene d = encoded(how, 4);
    const snapshot before(d);
    const std::uint32_t size = d.sizes[0];
    if (size == 0) continue;
    for (const std::uint32_t lie : {0u, 1u, 4u, size - 4, size - 1, size + 1, size + 4, size + 400,
                                    0x7ffffffcu, 0xfffffffcu, 0xffffffffu}) {
      SCOPED_TRACE(std::string(to_string(how)) + ", size " + std::to_string(lie));
      d.sizes[0] = lie;
      decode(d, how, lie);
      if (HasFatalFailure()) return;
      if (lie < size || lie % 4 != 0 || lie > size + 400) {
        ASSERT_NE(d.decoded[0], status::ok);
      }
      if (lie == size - 4) {
        ASSERT_EQ(d.decoded[0], status::truncated);
      }
      before.put_back();
    }
    for (int lie = 1; lie < 256; lie += 17) {
      d.statuses[1] = static_cast<status>(lie);
      decode(d, how, 1);
      if (HasFatalFailure()) return;
      before.put_back();
    }
    if (how != output::packed) continue;
    const std::uint64_t room = d.ample_room(how), offset = d.offsets[1];
    for (const std::uint64_t lie :
         {offset + 1, offset + 4, offset - 4, room, room - 4, room + 4, ~std::uint64_t{3},
          ~std::uint64_t{0}, ~std::uint64_t{0} - d.sizes[1] + 1, std::uint64_t{1} << 63}) {
      SCOPED_TRACE("offset " + std::to_string(lie));
      d.offsets[1] = lie;
      decode(d, how, 2);
      if (HasFatalFailure()) return;
      if (d.sizes[1] != 0) {
        ASSERT_NE(d.decoded[1], status::ok);
      }
      before.put_back();
    }
  }
}

void alter_bytes(std::byte* bytes, std::size_t size, random_source& random) {
  if (size == 0) return;
  const auto first = random.below(static_cast<std::uint32_t>(size));
  if (random.chance(0.5)) {
    bytes[first] ^= std::byte{1} << random.below(8);
    return;
  }
  const std::size_t count =
      std::min<std::size_t>(size - first, 1 + random.below(1u << random.below(10)));
  const std::uint32_t how = random.below(3);
  for (std::size_t i = first; i < first + count; ++i)
    bytes[i] = how == 0 ? std::byte{0} : how == 1 ? std::byte{0xff} : std::byte(random.bits());
}

void alter(const device_scene& d, output how, random_source& random) {
  const std::uint32_t block = random.below(static_cast<std::uint32_t>(d.count()));
  tile_record& r = d.records[block * d.plan.tiles + random.below(d.plan.tiles)];
  const auto other = [&](auto& x) {
    x = random.chance(0.5) ? x + random.below(9) - 4 : random.edgy();
  };
  switch (random.below(10)) {
    case 0: other(r.packed); break;
    case 1: r.packed = (r.packed & 0xffffff) | random.bits() << 24; break;
    case 2: other(r.data_hash); break;
    case 3: other(r.prediction_hash); break;
    case 4: other(d.sizes[block]); break;
    case 5:
      if (how == output::packed) other(d.offsets[block]);
      break;
    case 6: d.statuses[block] = static_cast<status>(random.bits() & 0xff); break;
    case 7: alter_bytes(d.bytes_of(d.mean_cache), d.means_at.bytes, random); break;
    default: {
      const cuda::encoded_places o = d.places(how, d.ample_room(how));
      std::byte* const at =
          how == output::packed ? o.packed + d.offsets[block] % 4096 : o.slots.at(0, block);
      alter_bytes(at, std::min<std::size_t>(d.sizes[block], 256), random);
    }
  }
}

TEST_P(hostile, any_alterations_are_survived) {
  for (const output how : kOutputs)
    for (std::uint64_t seed = 10; seed < 14; ++seed) {
      device_scene d = encoded(how, seed);
      const snapshot before(d);
      random_source random(seed);
      for (int i = 0; i < (kSlowBuild ? 2 : 20); ++i) {
        SCOPED_TRACE(std::string(to_string(how)) + ", seed " + std::to_string(seed) + ", " +
                     std::to_string(i));
        for (std::uint32_t n = 1 + random.below(3); n > 0; --n) alter(d, how, random);
        decode(d, how, random.bits());
        if (HasFatalFailure()) return;
        before.put_back();
      }
    }
}

TEST_P(hostile, garbage_everywhere_is_survived) {
  for (const output how : kOutputs) {
    device_scene d = encoded(how, 20);
    random_source random(21);
    for (int i = 0; i < (kSlowBuild ? 2 : 12); ++i) {
      SCOPED_TRACE(std::string(to_string(how)) + ", " + std::to_string(i));
      const auto garbage = [&](auto& to) {
        for (std::byte& b : std::as_writable_bytes(to.span()))
          b = static_cast<std::byte>(random.bits());
      };
      garbage(d.cache);
      garbage(d.slots);
      garbage(d.mean_cache);
      garbage(d.offsets);
      garbage(d.records);
      if (i % 3 == 0) garbage(d.sizes);
      for (status& s : d.statuses.span()) s = static_cast<status>(random.below(2));
      // Half of the records say something that could be.
      for (std::size_t r = 0; r < d.records.size(); ++r)
        if (random.chance(0.5))
          d.records[r].packed =
              tile_record::pack(static_cast<tile_mode>(random.below(4)), random.below(400),
                                random.chance(0.5) ? 0 : random.below(64));
      if (i % 3 != 0)
        for (std::uint32_t& s : d.sizes.span()) s = random.below(600) * 4;
      if (i % 2 == 0)
        for (std::uint64_t& o : d.offsets.span()) o = random.below(64) * 4;
      decode(d, how, random.bits());
      if (HasFatalFailure()) return;
    }
  }
}

// In place the compressed bytes are needed once more.
TEST_P(hostile, a_wrong_prediction_is_told_and_harms_nothing) {
  if (GetParam().source != mean_source::given) GTEST_SKIP() << "there is no prediction";
  for (const output how : kOutputs)
    for (std::uint64_t seed = 30; seed < 34; ++seed) {
      SCOPED_TRACE(std::string(to_string(how)) + ", seed " + std::to_string(seed));
      device_scene d = encoded(how, seed);
      const snapshot before(d);
      for (std::byte& b : std::as_writable_bytes(d.mean_cache.span())) b ^= std::byte{0x11};
      decode(d, how, seed);
      if (HasFatalFailure()) return;
      bool any_wrong = false;
      for (std::size_t i = 0; i < d.count(); ++i) {
        if (d.statuses[i] != status::ok) continue;
        bool has_means = false;
        for (std::uint32_t t = 0; t < d.plan.tiles; ++t) {
          const tile_mode mode = d.records[i * d.plan.tiles + t].mode();
          has_means |= mode == tile_mode::coded || mode == tile_mode::prediction;
        }
        EXPECT_EQ(d.decoded[i], has_means ? status::wrong_prediction : status::ok);
        any_wrong |= has_means;
        if (!has_means && how == output::in_place) d.statuses[i] = status::does_not_fit;  // raw now
      }
      EXPECT_TRUE(any_wrong);
      std::copy(before.means.begin(), before.means.end(), d.bytes_of(d.mean_cache));
      ASSERT_TRUE(d.decode(how, d.ample_room(how), {seed}));
      expect_restored(d, how, d.ample_room(how));
      if (HasFatalFailure()) return;
    }
}

// What is said of a block may be written over what encoding said, which in place is needed to the end.
TEST_P(hostile, statuses_may_be_those_of_encoding) {
  if (GetParam().source != mean_source::given) GTEST_SKIP() << "there is no prediction";
  device_scene d = encoded(output::in_place, 35);
  const memory_image before = d.image_of(d.cache);
  const std::vector<status> stored(d.statuses.begin(), d.statuses.end());
  for (std::byte& b : std::as_writable_bytes(d.mean_cache.span())) b ^= std::byte{0x11};
  const auto decode_over = [&](coding_id id, cuda::head_layout heads, cuda::decode_parameters p,
                               launch_shape shape) {
    p.statuses = d.statuses.data();
    return run_decode(id, heads, p, shape);
  };
  ASSERT_TRUE(d.decode_by(decode_over, output::in_place, d.ample_room(output::in_place), {35}));
  const memory_image after = d.image_of(d.cache);
  std::uint32_t wrong = 0;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t i) {
    if (stored[i] != status::ok || d.statuses[i] == status::ok) return;
    ++wrong;
    EXPECT_EQ(d.statuses[i], status::wrong_prediction);
    const auto at = d.block(layer, item) - d.bytes_of(d.cache);
    EXPECT_TRUE(
        std::equal(before.begin() + at, before.begin() + at + d.sizes[i], after.begin() + at));
  });
  EXPECT_NE(wrong, 0u);
}

// Nothing says which profile it was: the numbers do not come out, and nothing else happens.
TEST_P(hostile, the_tables_of_another_profile_are_survived) {
  for (const output how : kOutputs) {
    device_scene d = encoded(how, 40);
    for (std::size_t i = 0; i + 1 < d.decode_table.size(); i += 2)
      std::swap(d.decode_table[i], d.decode_table[d.decode_table.size() - 1 - i]);
    decode(d, how, 40);
    if (HasFatalFailure()) return;
    for (std::uint32_t i = 0; i < d.records.size(); ++i)
      if (d.records[i].mode() == tile_mode::coded && d.statuses[i / d.plan.tiles] == status::ok) {
        EXPECT_NE(d.decoded[i / d.plan.tiles], status::ok);
      }
  }
}

}  // namespace
}  // namespace skv::simt
