// What calls on a batch of blocks must leave behind: every byte of the caches and of the compressed
// blocks, those that nobody may touch included. `Scene`: simt::device_scene, or what was read back from
// a GPU (gpu::mirror).
#pragma once

#include <gtest/gtest.h>

#include "support/shapes.hpp"

namespace skv::test {

using memory_image = std::vector<std::byte>;

/// A block as the CPU codec writes it.
struct cpu_block {
  std::vector<tile_record> records;
  memory_image bytes;

  template <class Scene>
  cpu_block(const Scene& d, std::uint32_t layer, std::uint32_t item) {
    std::vector<std::byte> tile;
    for (std::uint32_t i = 0; i < d.plan.tiles; ++i) {
      records.push_back(d.exists(item) ? d.scene.encoded(d.plan, layer, item, i, tile)
                                       : tile_record{});
      if (!d.exists(item)) continue;
      bytes.insert(bytes.end(), tile.begin(), tile.end());
      bytes.resize(cuda::round_up<std::size_t>(bytes.size(), cuda::kTileAlign));
    }
  }
};

inline void copy_into(memory_image& image, const std::byte* image_begin, const std::byte* to,
                      const memory_image& bytes) {
  std::copy(bytes.begin(), bytes.end(), image.begin() + (to - image_begin));
}

/// Where two images differ first, or nothing.
inline testing::AssertionResult same_memory(const char* what, const memory_image& expected,
                                            const memory_image& actual) {
  const auto at = std::mismatch(expected.begin(), expected.end(), actual.begin(), actual.end());
  if (at.first == expected.end() && at.second == actual.end()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << what << ": byte " << at.first - expected.begin() << " of "
                                     << expected.size() << " is another";
}

/// Records, sizes, statuses, offsets and bytes are those of the CPU codec, and nothing else is
/// written: neither in the room of blocks that do not fit, nor between blocks, nor in the cache.
template <class Scene>
void expect_cpu_bytes(const Scene& d, output how, std::size_t room) {
  memory_image cache = d.cache_before, slots = d.slots_before;
  const cuda::encoded_places o = d.places(how, room);
  std::uint64_t packed_at = 0;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    SCOPED_TRACE("layer " + std::to_string(layer) + ", item " + std::to_string(item));
    const cpu_block expected(d, layer, item);
    for (std::uint32_t i = 0; i < d.plan.tiles; ++i)
      ASSERT_EQ(d.records[index * d.plan.tiles + i], expected.records[i]) << "tile " << i;
    const std::size_t size = expected.bytes.size();
    bool fits = size == 0 || size <= room;
    if (how == output::packed) fits = size == 0 || packed_at + size <= room;
    if (how == output::slots) fits &= size == 0 || d.slot_indices[item] >= 0;
    ASSERT_EQ(d.statuses[index], fits ? status::ok : status::does_not_fit);
    ASSERT_EQ(d.sizes[index], fits ? size : 0);
    if (how == output::packed) {
      ASSERT_EQ(d.offsets[index], packed_at);
    }
    if (fits && how == output::in_place)
      copy_into(cache, d.bytes_of(d.cache), o.slots.at(layer, item), expected.bytes);
    else if (fits)
      copy_into(slots, d.bytes_of(d.slots),
                how == output::packed ? o.packed + packed_at : o.slots.at(layer, item),
                expected.bytes);
    packed_at += cuda::round_up<std::uint64_t>(size, cuda::kBlockAlign);
  });
  if (how == output::packed) {
    ASSERT_EQ(d.total[0], packed_at);
  }
  ASSERT_TRUE(same_memory("cache", cache, d.image_of(d.cache)));
  ASSERT_TRUE(same_memory("slots", slots, d.image_of(d.slots)));
}

/// Copies to the image of the cache the rows of a block for which `which(tensor, token, head)` is
/// true; from `source`, or from the cache as it is.
template <class Scene, class Which>
void copy_rows_into(memory_image& image, const Scene& d, std::uint32_t layer, std::uint32_t item,
                    const std::vector<logical_tensor>* source, Which&& which) {
  const paged_scene& s = d.scene;
  s.each_row(d.numbers_at.cache, layer, item, d.block(layer, item), s.target(),
             [&](std::size_t tensor, std::size_t at, const std::byte* row, std::size_t bytes) {
               const auto t = static_cast<std::uint32_t>(tensor % s.geometry.tensor_count);
               const std::uint32_t heads = s.geometry.tensors[t].heads;
               const auto i = static_cast<std::uint32_t>(at / bytes);
               if (!which(t, heads == 0 ? 0 : i / heads, heads == 0 ? 0 : i % heads)) return;
               const std::byte* const from =
                   source == nullptr ? row : (*source)[tensor].data() + at;
               std::copy_n(from, bytes, image.begin() + (row - d.bytes_of(d.cache)));
             });
}
inline constexpr auto kEveryRow = [](std::uint32_t, std::uint32_t, std::uint32_t) { return true; };

/// After any decoding: a block whose status is ok has its numbers (in place, one that had stayed raw
/// still has them); the numbers of others are worth nothing, but in place the compressed bytes are
/// still there. Nothing else is written. `raw`: is a block said to have no compressed bytes?
template <class Scene, class Raw>
void expect_only_numbers_written(const Scene& d, output how, std::size_t room, Raw&& raw) {
  memory_image expected = d.cache_before;
  const memory_image actual = d.image_of(d.cache);
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    SCOPED_TRACE("layer " + std::to_string(layer) + ", item " + std::to_string(item));
    const status s = d.decoded[index];
    if (!d.exists(item)) {
      ASSERT_EQ(s, status::ok);
      return;
    }
    if (raw(index)) {
      const status said = d.statuses[index];
      if (how == output::in_place && said == status::does_not_fit)
        ASSERT_EQ(s, status::ok);
      else
        ASSERT_EQ(s, said > status::wrong_prediction ? status::corrupt : said);
      return;
    }
    if (s == status::ok) {
      copy_rows_into(expected, d, layer, item, &d.scene.numbers, kEveryRow);
      return;
    }
    ASSERT_TRUE(s == status::truncated || s == status::corrupt || s == status::wrong_prediction)
        << static_cast<int>(s);
    copy_rows_into(expected, d, layer, item, nullptr, kEveryRow);
    if (how != output::in_place || d.sizes[index] > room) return;
    const auto at = d.block(layer, item) - d.bytes_of(d.cache);
    std::copy_n(d.cache_before.begin() + at, d.sizes[index], expected.begin() + at);
  });
  ASSERT_TRUE(same_memory("cache", expected, actual));
  ASSERT_TRUE(same_memory("compressed blocks", d.slots_before, d.image_of(d.slots)));
}

/// After decoding a range into a cache that had other numbers: tiles that have some of it are whole, no
/// others are touched.
template <class Scene>
void expect_wanted(const Scene& d, const cuda::wanted_range& w) {
  SCOPED_TRACE("tokens " + std::to_string(w.first_token) + " + " + std::to_string(w.tokens) +
               ", heads " + std::to_string(w.first_head) + " + " + std::to_string(w.heads));
  const auto meets = [](std::uint64_t first, std::uint64_t count, std::uint64_t from,
                        std::uint64_t until) {
    return count != 0 && first < until && from < first + count;
  };
  memory_image expected = d.cache_before;
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    ASSERT_EQ(d.decoded[index], status::ok);
    copy_rows_into(expected, d, layer, item, &d.scene.numbers,
                   [&](std::uint32_t tensor, std::uint32_t token, std::uint32_t head) {
                     const cuda::tensor_plan& t = d.plan.tensors[tensor];
                     if (t.opaque_bytes != 0) return true;
                     const std::uint32_t token_at = token / t.tile_tokens * t.tile_tokens;
                     const std::uint32_t head_at = head / t.tile_heads * t.tile_heads;
                     const std::uint32_t token_end =
                         std::min(token_at + t.tile_tokens, d.scene.token_counts[item]);
                     return meets(w.first_token, w.tokens, token_at, token_end) &&
                            meets(w.first_head, w.heads, head_at,
                                  std::min(head_at + t.tile_heads, t.heads));
                   });
  });
  ASSERT_TRUE(same_memory("cache", expected, d.image_of(d.cache)));
}

/// After decoding what encode() wrote: every bit is back, but of blocks that stayed raw elsewhere.
template <class Scene>
void expect_restored(const Scene& d, output how, std::size_t room) {
  d.each_block([&](std::uint32_t layer, std::uint32_t item, std::size_t index) {
    const bool raw = d.exists(item) && d.statuses[index] != status::ok;
    ASSERT_EQ(d.decoded[index], raw && how != output::in_place ? status::does_not_fit : status::ok);
    if (raw && how == output::in_place) {
      ASSERT_TRUE(d.scene.equal(d.scene.numbers, d.numbers_at.cache, layer, item,
                                d.block(layer, item), d.scene.target()));
    }
  });
  expect_only_numbers_written(d, how, room,
                              [&](std::size_t i) { return d.statuses[i] != status::ok; });
}

}  // namespace skv::test
